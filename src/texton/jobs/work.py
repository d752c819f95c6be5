"""The work on an atlas: its units, made by its method."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from texton.errors import TextonError
from texton.jobs.allocator import settle_allocator
from texton.jobs.making import Made, PictureWork, check_alike, check_seen, loaded
from texton.jobs.manifest import Manifest
from texton.jobs.store import Store
from texton.methods.catalogue import find_method
from texton.methods.command import NetworkOptions, ReadingOptions, command_of
from texton.methods.method import Method, Task, without_axes
from texton.methods.options import Options, Solving, declarations
from texton.methods.result import Unit
from texton.version import __version__

if TYPE_CHECKING:
    from torch import Tensor

    from texton.methods.result import Result
    from texton.network.network import Network

__all__ = ["Made", "UnitWork"]


@dataclass(frozen=True, eq=False)
class UnitWork(PictureWork[Unit]):
    """The work on an atlas. A job's units are of one layer and photograph.

    A unit that fails is recorded with its reason. A machine whose pictures would be others ends
    the run.
    """

    root: Path
    manifest: Manifest
    photos: Mapping[str, Tensor]

    @property
    def device(self) -> str:
        return str(self.manifest.settings["device"])

    @property
    def store(self) -> Store:
        return Store(self.root, self.manifest)

    @property
    def method(self) -> Method:
        return find_method(self.manifest.method)

    @property
    def options(self) -> Options:
        """The method's; of an atlas of before from its settings."""
        told, settings = self.manifest.options, self.manifest.settings
        known = [declared.name for declared in declarations(self.method.options)]
        return self.method.options.of(told or {k: settings[k] for k in known if k in settings})

    def prepare(self) -> None:
        """Load the network, once it is certain that the pictures will be this atlas's.

        Raises:
            TextonError: this machine does not see the atlas, or would make other pictures.
        """
        ours = self.manifest
        try:
            there = Store.open(self.root).manifest
            seen = (there.settings, there.weights_hash) == (ours.settings, ours.weights_hash)
        except TextonError:
            seen = False
        check_seen(seen, "this atlas", self.root)
        self._network()
        settle_allocator(self.manifest.settings["size"] ** 2)

    def task(self, keys: Sequence[Unit]) -> tuple[Method, Task]:
        units = tuple(without_axes(self.method, unit) for unit in keys)
        network = self._network()
        read = ReadingOptions.of(ReadingOptions.kept_in(self.manifest.settings))
        photos: dict[str | None, Tensor] = dict(self.photos.items())
        needs = network.intake().told(read.crop)
        told = (self.options, self.device, read.size, read.white, needs)
        return self.method, Task(network, units, photos, *told)

    def keep(self, key: Unit, result: Result) -> None:
        self.store.keep(key, result, self._of(key), self.command(key))

    def give_up(self, key: Unit, reason: str, seconds: float = 0.0) -> Made[Unit]:
        """Record a unit as failed; the next build tries it again."""
        record = {"status": "failed", "reason": reason, "seconds": seconds}
        self.store.write(key, {**record, **self._of(key)})
        return Made(key, "failed", seconds, reason)

    def command(self, unit: Unit) -> str:
        """The command line that makes a unit's picture again."""
        settings, asked = self.manifest.settings, without_axes(self.method, unit)
        named = dict(self.manifest.network_options)
        network = NetworkOptions.of(
            {**named, "bands": named.get("bands") or (), "device": self.device}
        )
        photo = next((p.source for p in self.manifest.photos if p.name == asked.photo), None)
        spec = ":".join(str(x) for x in (asked.layer, asked.channel) if x is not None)
        names = [unit.photo] if photo else []  # what stands for none begins like an option
        out = "-".join(map(str, [*names, unit.layer, unit.channel])).replace("/", "-") + ".png"
        alone = {"size": settings["size"] if self.method.size else None}
        reading = ReadingOptions.of(ReadingOptions.kept_in(settings) if photo else alone)
        told = [reading, self.options, network]
        return command_of(self.method, photo, [spec] if spec else [], told, out)

    def _network(self) -> Network:
        """The network, kept from one job to the next.

        Raises:
            TextonError: it cannot be loaded here, or this machine would make other pictures.
        """
        from texton.methods.parts.setup import compute_for
        from texton.network.device import choose_compute

        network, settings = loaded(self.manifest.network_options), self.manifest.settings
        if network.preprocessing != settings["preprocessing"]:
            raise TextonError(
                f"a worker finds {network.name} with {network.preprocessing}, the atlas was begun "
                f"with {settings['preprocessing']}"
            )
        compute, options = choose_compute(self.device), self.options
        if isinstance(options, Solving):
            if json.loads(json.dumps(options.solver())) != settings["solver"]:
                raise TextonError(
                    f"a worker's texton ({__version__}) has another preset '{options.preset}': "
                    "install the same version everywhere"
                )
            compute = compute_for(network, options, self.device)
        check_alike(network, self.manifest.weights_hash, compute.describe(), settings, "the atlas")
        return network

    def _of(self, unit: Unit) -> dict[str, Any]:
        hashes = {photo.name: photo.content_hash for photo in self.manifest.photos}
        return {
            "seed": getattr(self.options, "seed", None),
            "content_hash": hashes[str(unit.photo)],
            "weights_hash": self.manifest.weights_hash,
        }
