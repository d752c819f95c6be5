"""The work on an experiment's pictures, for an engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NoReturn

from torch import Tensor

from texton.errors import TextonError
from texton.experiments.harness.folder import Folder
from texton.images.folder import Picture
from texton.jobs.allocator import settle_allocator
from texton.jobs.making import Made, PictureWork, check_alike, check_seen, loaded
from texton.methods.catalogue import find_method
from texton.methods.method import Method, Task
from texton.methods.options import Solving
from texton.methods.result import Result, Unit
from texton.network.device import choose_compute, dtype_named
from texton.network.network import Network


@dataclass(frozen=True, eq=False)
class Series:
    """Pictures by one method, with one set of options, from one photograph.

    Attributes:
        kind: what tells it from other series of the experiment.
        network: with ``source``, what loads it in another process.
        units, keys: what each picture is of, and where it is kept.
        layer, evaluations: how long a picture takes: so many of the network up to that layer.
        shares: (units, C) share vectors of directions; None where there are none.
        here: the network has been changed, no name loads it: made in this process alone.
    """

    kind: str
    network: Network
    source: str
    photo: Picture
    method: str
    options: Solving
    units: tuple[Unit, ...]
    keys: tuple[str, ...]
    layer: str
    evaluations: float
    shares: Tensor | None = None
    here: bool = False

    @property
    def seed(self) -> int:
        return self.options.seed


@dataclass(eq=False)
class SeriesWork(PictureWork[str]):
    """Pictures by their keys. One that cannot be made ends the experiment."""

    folder: Folder
    wanted: Mapping[str, tuple[Series, Unit]]
    settings: Mapping[str, Any]
    networks: Mapping[str, Network]

    @property
    def device(self) -> str:
        return str(self.settings["device"])

    def __getstate__(self) -> dict[str, Any]:
        """As workers get it: they load the networks themselves."""
        bare = {id(one): replace(one, network=None) for one, _ in self.wanted.values()}  # type: ignore[arg-type]
        wanted = {key: (bare[id(one)], unit) for key, (one, unit) in self.wanted.items()}
        hashes = {source: net.weights_hash for source, net in self.networks.items()}
        return {**vars(self), "wanted": wanted, "networks": {}, "hashes": hashes}

    def prepare(self) -> None:
        """
        Raises:
            TextonError: this machine does not see the folder, or would make other pictures.
        """
        there = self.folder.settled() if self.folder.root.is_dir() else None
        seen = there is not None and there["settings"] == self.settings
        check_seen(seen, "this experiment", self.folder.root)
        wanted = choose_compute(self.device, dtype_named(self.settings.get("dtype_asked", "auto")))
        for source, digest in vars(self).get("hashes", {}).items():
            network = loaded({"network": source})
            here = network.suited(wanted).describe()
            check_alike(network, digest, here, self.settings, "the experiment")
        settle_allocator(self.settings["size"] ** 2)

    def task(self, keys: Sequence[str]) -> tuple[Method, Task]:
        series, _ = self.wanted[keys[0]]
        network = self.networks.get(series.source) or loaded({"network": series.source})
        units = tuple(self.wanted[key][1] for key in keys)
        photos: dict[str | None, Tensor] = {series.photo.name: series.photo.image}
        size = self.settings["size"]
        task = Task(network, units, photos, series.options, self.device, size)
        return find_method(series.method), task

    def keep(self, key: str, result: Result) -> None:
        self.folder.keep(key, result, {})

    def failed(self, key: str, error: Exception, seconds: float) -> NoReturn:
        raise error

    def give_up(self, key: str, reason: str, seconds: float = 0.0) -> Made[str]:
        raise TextonError(f"{key}: {reason}")
