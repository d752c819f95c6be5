"""Where an experiment runs: its networks, its pictures, its units."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from texton.errors import TextonError
from texton.experiments.harness.folder import Folder, Made
from texton.experiments.harness.samples import PHOTOS, STYLES, sample
from texton.experiments.harness.work import Series, SeriesWork
from texton.images.files import content_hash
from texton.images.folder import Picture, read_pictures
from texton.jobs.engines import Engine
from texton.jobs.making import Made as Finished
from texton.network.device import Compute, choose_compute, dtype_named
from texton.network.load import load_network
from texton.network.network import Network
from texton.network.told import remarkable
from texton.solve.presets import solver_settings
from texton.version import __version__

if TYPE_CHECKING:
    from texton.experiments.harness.options import Options

OnUnit = Callable[[str, int, int], None]  # what was made, how many are done, of how many
_JOB = 32  # pictures that share a photograph's code


class Lab:
    """What an experiment's function gets: everything it needs, and nothing global."""

    def __init__(
        self,
        name: str,
        options: Options,
        folder: Folder,
        on_unit: OnUnit | None = None,
        tell: Callable[[str], None] | None = None,
        engine: Engine | None = None,
        samples: Sequence[str] = PHOTOS,
    ) -> None:
        self._samples = samples
        self.name, self.options, self._folder, self._engine = name, options, folder, engine
        self._on_unit, self._tell = on_unit, tell
        self._noted: set[str] = set()
        self._paces: dict[tuple[str, str, torch.Size], float] = {}
        self._units = 0

    @cached_property
    def network(self) -> Network:
        network = load_network(self.options.network)
        if self._tell:
            for line in remarkable(network):
                self._tell(line)
        return network

    @cached_property
    def random_network(self) -> Network | None:
        """The same architecture with random weights, for networks that have one by name."""
        return None if self._twin is None else load_network(self._twin)

    @property
    def _twin(self) -> str | None:
        name = self.options.network.partition("@")[0]
        if name != "vgg19" and not name.startswith(("torchvision:", "timm:")):
            return None
        return f"{name}@random{1000 + self.options.seed}"

    @cached_property
    def photos(self) -> list[Picture]:
        return self._pictures(self.options.photos, self._samples)

    @cached_property
    def styles(self) -> list[Picture]:
        return self._pictures(self.options.styles, STYLES)

    @cached_property
    def compute(self) -> Compute:
        wanted = choose_compute(self.options.device, dtype_named(self.options.dtype))
        return self.network.suited(wanted, asked=self.options.dtype != "auto")

    @property
    def solving(self) -> dict[str, Any]:
        """The options of texton's methods that all pictures of the run share."""
        return {key: getattr(self.options, key) for key in ("preset", "steps", "dtype")}

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
        solver_settings(self.options.preset, steps=self.options.steps)
        kinds = {"photo": self.photos, "style": self.styles}
        inputs = {f"{k}/{p.name}": content_hash(p.image) for k, ps in kinds.items() for p in ps}
        self._folder.settle(self.settings(), inputs)

    def settings(self) -> dict[str, Any]:
        """All that would make other pictures, as JSON has it."""
        chosen = self.options
        settings = {
            "experiment": self.name,
            "texton": __version__,
            **self.network.describe(),
            "size": chosen.size,
            **self.network.intake().told(),
            "preset": chosen.preset,
            "steps": chosen.steps,
            "seed": chosen.seed,
            **({} if chosen.dtype == "auto" else {"dtype_asked": chosen.dtype}),
            **self.compute.describe(),
        }
        told: dict[str, Any] = json.loads(json.dumps(settings))
        return told

    def make(self, series: Sequence[Series]) -> None:
        """Make what is missing of all these pictures, once it is told how long that will take."""
        wanted = {k: (one, u) for one in series for k, u in zip(one.keys, one.units, strict=True)}
        missing = {key: one for key, (one, _) in wanted.items() if self._find(key) is None}
        self._units = max(self._units, len(self._noted | wanted.keys()))
        if self._tell:
            seconds = sum(one.evaluations * self._pace(one) for one in missing.values())
            there = len(wanted) - len(missing)
            done = f", {there} done before" if there else ""
            about = _duration(seconds / (self._engine.workers if self._engine else 1))
            self._tell(f"{self.name}: {len(wanted)} pictures{done}, about {about}")
        for key in wanted.keys() - missing.keys():
            self._note(key)
        for here in (False, True):
            asked = {key: pair for key, pair in wanted.items() if pair[0].here == here}
            networks = {one.source: one.network for one, _ in asked.values()}
            work = SeriesWork(self._folder, asked, self.settings(), networks)
            jobs = [
                keys[start : start + _JOB]
                for one in series
                if one.here == here
                and (keys := [key for key in one.keys if missing.get(key) is one])
                for start in range(0, len(keys), _JOB)
            ]
            with closing(self._run(jobs, work, None if here else self._engine)) as made:
                for one in made:
                    self._note(one.unit)

    def reach(self, what: str, done: int, of: int) -> None:
        """Tell how far it is, of an experiment that makes no pictures."""
        if self._on_unit:
            self._on_unit(what, done, of)

    def made(self, series: Series) -> list[Made]:
        """The pictures of a series, in its order; what is not there is made."""
        found = [self._find(key) for key in series.keys]
        if None in found:
            self.make([series])
            found = [self._find(key) for key in series.keys]
        need(None not in found, f"pictures are not in '{self._folder.root}': is it seen from here?")
        return [made for made in found if made is not None]

    def picture(self, series: Series) -> Tensor:
        """The only picture of a series, (C, H, W)."""
        return self.made(series)[0].image

    def source(self, network: Network) -> str:
        """The name that loads it."""
        return self.options.network if network is self.network else str(self._twin)

    def _run(
        self, jobs: Sequence[Sequence[str]], work: SeriesWork, engine: Engine | None
    ) -> Generator[Finished[str], None, None]:
        if engine is None:
            for job in jobs:
                yield from work(job)
        elif jobs:
            yield from engine.run(jobs, work)

    def _find(self, key: str) -> Made | None:
        return self._folder.find(key, self.network.channels)

    def _note(self, key: str) -> None:
        if key in self._noted:
            return
        self._noted.add(key)
        if self._on_unit:
            done = len(self._noted)
            self._on_unit(key, done, max(self._units, done))

    def _pictures(self, paths: Sequence[Any], samples: Sequence[str]) -> list[Picture]:
        channels, needs = self.network.channels, self.network.intake().told()
        if paths:
            return read_pictures(paths, self.options.size, channels, **needs)
        return [sample(name, self.options.size, channels, **needs) for name in samples]

    def _pace(self, series: Series) -> float:
        """Seconds of one evaluation, gradient included: to tell, never to decide by."""
        place = (series.source, series.layer, series.photo.image.shape)
        if place not in self._paces:
            image = torch.rand(series.photo.image.shape).to(self.compute.device)
            image.requires_grad_(True)
            for _ in range(2):
                started = time.perf_counter()
                code = series.network.encode(image, series.layer, self.compute)[series.layer]
                torch.autograd.grad(code.float().square().sum(), image)
                self._paces[place] = time.perf_counter() - started
        return self._paces[place]


def some_channels(count: int, wanted: int, seed: int) -> list[int]:
    """A random choice of filters that grows when more are wanted: the first stay the first."""
    generator = torch.Generator().manual_seed(7919 * seed + count)
    return [int(channel) for channel in torch.randperm(count, generator=generator)[:wanted]]


def need(condition: bool, message: str) -> None:
    if not condition:
        raise TextonError(message)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, math.ceil(seconds))} s"
    return f"{seconds / 60:.0f} minutes"
