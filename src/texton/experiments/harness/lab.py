"""Where an experiment runs: its networks, its pictures, its units."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch

from texton.errors import TextonError
from texton.experiments.harness.options import Options
from texton.experiments.harness.samples import PHOTOS, STYLES, sample
from texton.experiments.harness.workbench import Made, Workbench
from texton.images.files import content_hash
from texton.images.folder import Picture, read_pictures
from texton.network.device import Compute, choose_compute
from texton.network.load import load_network
from texton.network.network import Network
from texton.solve.presets import solver_settings
from texton.version import __version__

OnUnit = Callable[[str, int, int], None]  # what was made, how many are done, of how many
Make = Callable[[list[str]], Iterable[tuple[str, Made]]]


@dataclass(frozen=True)
class Work:
    """A share of an experiment's units: how long one takes follows from its layer."""

    network: Network
    layer: str
    keys: tuple[str, ...]
    evaluations: int
    size: int = 0


class Lab:
    """What an experiment's function gets: everything it needs, and nothing global."""

    def __init__(
        self,
        name: str,
        options: Options,
        bench: Workbench,
        on_unit: OnUnit | None = None,
        tell: Callable[[str], None] | None = None,
    ) -> None:
        self.name, self.options, self._bench = name, options, bench
        self._on_unit, self._tell = on_unit, tell
        self._noted: set[str] = set()
        self._units = 0

    @cached_property
    def network(self) -> Network:
        return load_network(self.options.network)

    @cached_property
    def random_network(self) -> Network | None:
        """The same architecture with random weights, for networks that have one by name."""
        name = self.options.network.partition("@")[0]
        if name != "vgg19" and not name.startswith(("torchvision:", "timm:")):
            return None
        return load_network(f"{name}@random{1000 + self.options.seed}")

    @cached_property
    def photos(self) -> list[Picture]:
        return self._pictures(self.options.photos, PHOTOS)

    @cached_property
    def styles(self) -> list[Picture]:
        return self._pictures(self.options.styles, STYLES)

    @cached_property
    def compute(self) -> Compute:
        return choose_compute(self.options.device)

    @property
    def solving(self) -> dict[str, Any]:
        """The options of texton's methods that all pictures of the run share."""
        chosen = self.options
        return {"preset": chosen.preset, "steps": chosen.steps, "device": chosen.device}

    def layers(self, index: int) -> list[str]:
        """relu1_N … relu5_N for the paper's network; five of any other; ``--layers`` first.

        By depth, each once: trends are taken over their order.
        """
        known = self.network.layers
        if self.options.layers:
            chosen = {self.network.layer(name).name for name in self.options.layers}
            return [name for name in known if name in chosen]
        paper = [f"relu{block}_{index}" for block in range(1, 6)]
        if all(name in known for name in paper):
            return paper
        rectified = [layer.name for layer in known.values() if layer.rectifies]
        usable = rectified or list(known)
        places = torch.linspace(0, len(usable) - 1, min(5, len(usable))).round().int().tolist()
        return [usable[place] for place in places]

    def settle(self) -> None:
        """Fix the settings of the folder before anything is made in it."""
        chosen = self.options
        solver_settings(chosen.preset, steps=chosen.steps)
        settings = {
            "experiment": self.name,
            "texton": __version__,
            **self.network.describe(),
            "size": chosen.size,
            "preset": chosen.preset,
            "steps": chosen.steps,
            "seed": chosen.seed,
            **self.compute.describe(),
        }
        kinds = {"photo": self.photos, "style": self.styles}
        inputs = {f"{k}/{p.name}": content_hash(p.image) for k, ps in kinds.items() for p in ps}
        self._bench.settle(settings, inputs)

    def plan(self, works: Sequence[Work]) -> None:
        """Say how many units there are, and how long those that are missing will take."""
        self._units = sum(len(work.keys) for work in works)
        left, seconds = 0, 0.0
        for work in works:
            missing = [key for key in work.keys if self._find(key) is None]
            left += len(missing)
            if missing:
                seconds += len(missing) * work.evaluations * self._pace(work)
        if self._tell:
            done = f", {self._units - left} done before" if left < self._units else ""
            self._tell(f"{self.name}: {self._units} pictures{done}, about {_duration(seconds)}")

    def picture(self, key: str, make: Callable[[], Made]) -> Made:
        """One unit, made unless it is there."""
        return self.pictures([key], lambda keys: [(keys[0], make())])[key]

    def pictures(self, keys: Sequence[str], make: Make) -> dict[str, Made]:
        """Several units; ``make`` gets the keys of those that are missing, gives them in turn."""
        found = {key: self._find(key) for key in keys}
        for key, made in found.items():
            if made is not None:
                self._note(key)
        missing = [key for key, made in found.items() if made is None]
        for key, made in make(missing) if missing else ():
            found[key] = self._bench.keep(key, made, {"experiment": self.name, "unit": key})
            self._note(key)
        return {key: made for key, made in found.items() if made is not None}

    def _find(self, key: str) -> Made | None:
        return self._bench.find(key, self.network.channels)

    def _note(self, key: str) -> None:
        if key in self._noted:
            return
        self._noted.add(key)
        if self._on_unit:
            done = len(self._noted)
            self._on_unit(key, done, max(self._units, done))

    def _pictures(self, paths: Sequence[Any], samples: Sequence[str]) -> list[Picture]:
        size, channels = self.options.size, self.network.channels
        if paths:
            return read_pictures(paths, size, channels)
        return [sample(name, size, channels) for name in samples]

    def _pace(self, work: Work) -> float:
        """Seconds of one evaluation, gradient included: to tell, never to decide by."""
        edge = work.size or self.options.size
        image = torch.rand(1, work.network.channels, edge * 2 // 3, edge).to(self.compute.device)
        image.requires_grad_(True)
        seconds = 0.0
        for _ in range(2):
            started = time.perf_counter()
            code = work.network.encode(image, work.layer, self.compute)[work.layer]
            torch.autograd.grad(code.float().square().sum(), image)
            seconds = time.perf_counter() - started
        return seconds


def some_channels(count: int, wanted: int, seed: int) -> list[int]:
    """A random choice of filters that grows when more are wanted: the first stay the first."""
    generator = torch.Generator().manual_seed(7919 * seed + count)
    return [int(channel) for channel in torch.randperm(count, generator=generator)[:wanted]]


def in_turn(made: Iterator[Any], keys: Iterable[str]) -> Iterator[tuple[str, Made]]:
    """Results of a method as units."""
    for key, result in zip(keys, made, strict=True):
        yield key, Made(result.image, result.record())


def need(condition: bool, message: str) -> None:
    if not condition:
        raise TextonError(message)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, math.ceil(seconds))} s"
    return f"{seconds / 60:.0f} minutes"
