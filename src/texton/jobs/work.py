"""What a worker does: solves units one after the other and writes each as it is there."""

from __future__ import annotations

import json
import platform
import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from texton.errors import TextonError, one_line
from texton.images.files import write_image
from texton.jobs.allocator import settle_allocator
from texton.jobs.manifest import Manifest
from texton.jobs.store import Store
from texton.methods.feature_map_inversion import iter_filters
from texton.methods.method import Unit
from texton.methods.parts.setup import compute_for
from texton.methods.result import Result
from texton.network.codes import energy_shares
from texton.network.load import load_network
from texton.network.network import Network
from texton.solve.presets import solver_settings
from texton.version import __version__


@dataclass(frozen=True)
class Made:
    """A unit that is finished: ``seconds`` is all that it took its worker."""

    unit: Unit
    status: str
    seconds: float
    error: float | None = None
    reason: str | None = None


@dataclass(frozen=True, eq=False)
class UnitWork:
    """The work on an atlas, for an engine. A job's units are of one layer and photograph.

    A unit that fails is recorded with its reason. A disk that takes nothing, or a machine whose
    pictures would be others, ends the run.
    """

    root: Path
    manifest: Manifest
    photos: Mapping[str, Tensor]

    def prepare(self) -> None:
        """Load the network, once it is certain that the pictures will be this atlas's.

        Raises:
            TextonError: this machine does not see the atlas, or would make other pictures.
        """
        try:
            there = Store.open(self.root).manifest
        except TextonError:
            there = None
        ours = self.manifest
        if there is None or (there.settings, there.weights_hash) != (
            ours.settings,
            ours.weights_hash,
        ):  # written to a disk of its own, pictures would be lost
            raise TextonError(
                f"a worker on {platform.node()} does not find this atlas in '{self.root}': every "
                "machine must see the same folder under the same name"
            )
        self._network()
        settle_allocator(self.manifest.settings["size"] ** 2)

    @property
    def together(self) -> bool:
        return False

    def __call__(self, units: Sequence[Unit]) -> Iterator[Made]:
        network = self._network()
        shares = None
        results: Iterator[Result] | None = None
        for position, unit in enumerate(units):
            started = time.perf_counter()
            try:
                if shares is None:
                    shares = self._shares(self.photos[str(unit.photo)], network, str(unit.layer))
                if results is None:
                    results = self._results(units[position:], network)
                result = next(results)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is this unit's alone
                results = None
                yield self.give_up(unit, one_line(error), time.perf_counter() - started)
                continue
            self._write(unit, result, {"energy_share": float(shares[unit.channel])})
            seconds = time.perf_counter() - started
            yield Made(unit, result.status, seconds, result.error)

    def give_up(self, unit: Unit, reason: str, seconds: float = 0.0) -> Made:
        """Record a unit as failed; the next build tries it again."""
        record = {"status": "failed", "reason": reason, "seconds": seconds}
        Store(self.root, self.manifest).write(unit, {**record, **self._of(unit)})
        return Made(unit, "failed", seconds, reason=reason)

    def command(self, unit: Unit) -> str:
        """The command line that makes a unit's picture again."""
        settings, options = self.manifest.settings, dict(self.manifest.network_options)
        if options["bands"] is not None:
            options["bands"] = ",".join(map(str, options["bands"]))
        source = next(p.source for p in self.manifest.photos if p.name == unit.photo)
        words = ["texton", "filter", source, f"{unit.layer}:{unit.channel}"]
        words += ["--size", str(settings["size"])]
        words += ["--enlarge"] if settings["enlarge"] else []
        told = {
            "--preset": settings["preset"],
            "--steps": settings["steps"],
            "--seed": settings["seed"],
            **{f"--{name}": value for name, value in options.items()},
            "--device": settings["device"],
            "-o": f"{unit.photo}-{unit.layer}-{unit.channel}.png".replace("/", "-"),
        }
        for option, value in told.items():
            words += [] if value is None else [option, str(value)]
        return shlex.join(words)

    def _network(self) -> Network:
        """The network, kept from one job to the next.

        Raises:
            TextonError: it cannot be loaded here, or this machine would make other pictures.
        """
        network = _loaded(json.dumps(dict(self.manifest.network_options)))
        settings = self.manifest.settings
        if network.weights_hash != self.manifest.weights_hash:
            raise TextonError("a worker finds other weights than the atlas was begun with")
        if network.preprocessing != settings["preprocessing"]:
            raise TextonError(
                f"a worker finds {network.name} with {network.preprocessing}, the atlas was begun "
                f"with {settings['preprocessing']}"
            )
        solver = solver_settings(settings["preset"], steps=settings["steps"])
        if json.loads(json.dumps(asdict(solver))) != settings["solver"]:
            raise TextonError(
                f"a worker's texton ({__version__}) has another preset '{settings['preset']}': "
                "install the same version everywhere"
            )
        here = compute_for(solver, settings["device"]).describe()
        for key in ("dtype", "memory_format"):
            if here[key] != settings[key]:
                raise TextonError(
                    f"a worker would compute with {key} {here[key]}, the atlas with "
                    f"{settings[key]}: use machines that are alike"
                )
        return network

    def _results(self, units: Sequence[Unit], network: Network) -> Iterator[Result]:
        settings = self.manifest.settings
        return iter_filters(
            self.photos[str(units[0].photo)],
            network,
            str(units[0].layer),
            [unit.channel or 0 for unit in units],
            preset=settings["preset"],
            steps=settings["steps"],
            seed=settings["seed"],
            device=settings["device"],
        )

    def _shares(self, image: Tensor, network: Network, layer: str) -> Tensor:
        """Each filter's share of an image's energy, (C,), in float32."""
        device = self.manifest.settings["device"]
        exact = compute_for(solver_settings(), device).exact()
        with torch.no_grad():
            return energy_shares(network.encode(image, layer, exact)[layer])[0].cpu()

    def _write(self, unit: Unit, result: Result, more: Mapping[str, float]) -> None:
        store, command = Store(self.root, self.manifest), self.command(unit)
        settings = {"command": command, **result.settings, **result.record(), **more}
        write_image(result.image, store.picture(unit), settings)
        figures = {**result.record(), **more, **self._of(unit), "command": command}
        store.write(unit, figures)

    def _of(self, unit: Unit) -> dict[str, Any]:
        photo = next(photo for photo in self.manifest.photos if photo.name == unit.photo)
        return {
            "seed": self.manifest.settings["seed"],
            "content_hash": photo.content_hash,
            "weights_hash": self.manifest.weights_hash,
        }


@lru_cache(maxsize=1)
def _loaded(options: str) -> Network:
    named = json.loads(options)
    return load_network(
        named["network"],
        weights=named["weights"],
        pooling=named["pooling"],
        bands=named["bands"],
    )
