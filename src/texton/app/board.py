"""What follows a hand on the mixing desk: one picture, solved on from where it is, coarse first.

Every size of the picture has a canvas and what its solver knows of curvature, and both stay while
what is sought changes. What a coarse step changes is carried to the finer sizes as it happens, so
that the picture seen keeps its grain. The picture that is kept is another: the method's own, solved
from its noise (`desk`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from texton.errors import TextonError
from texton.images.files import content_hash
from texton.methods.code_inversion import change
from texton.methods.directions import Directed, shares_of
from texton.methods.inversions import Inverting
from texton.methods.method import Task
from texton.methods.mixing import MixOptions
from texton.methods.parts.filter_inversion import FilterInversion
from texton.methods.parts.seeds import generator_for
from texton.methods.parts.setup import make_canvas
from texton.methods.result import Unit
from texton.network.codes import scale_energy
from texton.network.device import Compute
from texton.network.network import Network
from texton.solve.canvas import Canvas
from texton.solve.objective import CodeMatch, Codes, Objective
from texton.solve.presets import SolverSettings, solver_settings
from texton.solve.priors import TotalVariation
from texton.solve.rules import Following
from texton.solve.scales import scaled
from texton.solve.solver import Opening, Solver

Check = Callable[[], None]
Sought = tuple[Objective, Opening | None]

COARSEST, DEEP = 64, 48  # long edge; of layers whose step takes long, and sees as much
_DEEP_STRIDE = 8
_APART = 1.4  # sizes nearer to each other than this are one
_FROM_NOISE, _ON = (40, 40), (16, 32)  # steps at the coarsest size, and at each finer
_WINDOW, _FLAT = 4, 2e-3  # steps over which an error has to fall by that share of itself
_OPENING = 3
_SHORT = 0.02  # of the longest step


@dataclass(frozen=True, eq=False)
class Seen:
    """The picture after a step: (C, H, W) in [0, 1], and the error at the size of the step."""

    image: Tensor
    step: int
    steps: int
    error: float


class _Checked(Objective):
    """An objective that may be given up between a network's way forth and back."""

    def __init__(self, objective: Objective, check: Check) -> None:
        self.layers, self._objective, self._check = objective.layers, objective, check

    @property
    def seeds(self) -> Tensor | None:
        return self._objective.seeds

    def __call__(self, codes: Codes, image: Tensor) -> Tensor:
        self._check()
        return self._objective(codes, image)


class _Inversion:
    """A photograph's code at one size, which is modified and inverted: mixes, random styles."""

    smooth = False

    def __init__(self, photo: Tensor, network: Network, layer: str, compute: Compute) -> None:
        self.settings = Inverting().settings()
        self._photo, self._network, self._layer, self._compute = photo, network, layer, compute
        with torch.no_grad():
            self._code = network.encode(photo, layer, compute.exact())[layer]

    def canvas(self, generator: torch.Generator) -> Canvas:
        told = self.settings, self._compute, False
        return make_canvas(self._network, self._photo, [generator], *told)

    def sought(self, task: Task, unit: Unit) -> Sought:
        told = task.options
        with torch.no_grad():
            if isinstance(told, MixOptions):
                code = scale_energy(self._code, told.energy)
            else:
                modify = change(task, unit)
                code = modify(self._code) if modify else self._code
        match = CodeMatch(self._layer, code)
        return match + told.tv * TotalVariation() if told.tv else match, None


class _Blend:
    """A photograph's maps at one size, all of whose activity is given to some filters."""

    smooth = True

    def __init__(self, photo: Tensor, network: Network, layer: str, compute: Compute) -> None:
        self.settings = replace(solver_settings("fast"), early_stop=False, rule="lbfgs")
        self._filters = FilterInversion(photo, network, layer, self.settings, compute)
        self._channels = network.layer(layer).channels

    def canvas(self, generator: torch.Generator) -> Canvas:
        return self._filters.canvas([generator], self.settings)

    def sought(self, task: Task, unit: Unit) -> Sought:
        shares = shares_of(task.options, unit, self._channels)
        return self._filters.sought(self._filters.units({unit.direction or "": shares}))


class _Size:
    """The picture at one size, as it stands."""

    def __init__(
        self,
        of: _Inversion | _Blend,
        network: Network,
        compute: Compute,
        generator: torch.Generator,
        first: float,
    ) -> None:
        self._of, self._compute, self._generator = of, compute, generator
        self._encoder = partial(network.encoder, compute=compute)
        self.canvas = of.canvas(generator)
        self._rule = Following(self.canvas, of.settings, first)

    @property
    def image(self) -> Tensor:
        """(1, C, H, W), without bleed."""
        return self.canvas.images()

    def become(self, image: Tensor) -> None:
        """Another picture, of any size."""
        self.add(_fitted(image, self.image) - self.image)

    def add(self, moved: Tensor) -> None:
        """What has changed at a coarser size."""
        left, right, top, bottom = self.canvas.bleed
        values = F.pad(_fitted(moved, self.image), (left, right, top, bottom), mode="replicate")
        with torch.no_grad():
            self.canvas.values += values
            self.canvas.values.clamp_(0, 1)

    def solve(
        self, task: Task, unit: Unit, steps: int, anew: bool, check: Check
    ) -> Iterator[float]:
        """At most so many steps, each with the error before it; ends where that no longer falls.

        Args:
            anew: filters are sought that the picture may not show at all.
        """
        objective, opening = self._of.sought(task, unit)
        self._rule.turn()
        settings: SolverSettings = replace(
            self._of.settings, steps=steps, opening=_OPENING if anew and opening else 0
        )
        solver = Solver(
            self._encoder,
            _Checked(objective, check),
            self.canvas,
            self._rule,
            settings,
            [self._generator],
            opening,
            self._of.smooth,
            self._compute.arithmetic,
        )
        errors: list[float] = []
        for step in solver:
            errors.append(float(step.errors[0]))
            yield errors[-1]
            if len(errors) > 2 * _WINDOW + settings.opening:
                before, now = errors[-2 * _WINDOW : -_WINDOW], errors[-_WINDOW:]
                if sum(before) - sum(now) < _FLAT * abs(sum(before)):
                    return


class Board:
    """The present picture of one photograph at one layer, in every size that it is solved at.

    Args:
        photo: (1, C, H, W) in [0, 1], at the size of the picture.
        blends: filters in shares are sought (``texton filter --direction``), no modified code.

    Raises:
        TextonError: an unknown layer; a photograph too small for it or that leaves it silent.
    """

    def __init__(
        self,
        photo: Tensor,
        network: Network,
        layer: str,
        compute: Compute,
        *,
        blends: bool = False,
        seed: int = 0,
    ) -> None:
        kind = _Blend if blends else _Inversion
        self._sizes: list[_Size] = []
        generator = generator_for(seed, content_hash(photo), layer, None)
        for scale in _scales(photo, network, layer):
            small = scaled(photo, scale, network.intake([layer]).near)
            try:
                of = kind(small, network, layer, compute)
            except TextonError:
                if scale == 1:
                    raise
                continue  # too small for the layer
            # From noise a long step is right; a finer size begins with a picture.
            size = _Size(of, network, compute, generator, _SHORT if self._sizes else 1.0)
            if self._sizes:
                size.become(self._sizes[-1].image)
            self._sizes.append(size)
        self._from_noise = True
        self._filters: set[int] = set()

    @property
    def picture(self) -> Tensor:
        """(C, H, W) in [0, 1]: as it stands."""
        return self._sizes[-1].image[0]

    def follow(self, task: Task, unit: Unit, check: Check = lambda: None) -> Iterator[Seen]:
        """Solve on for what the options ask for now, and show every step.

        It may be left at any step, by ``check`` or by its reader: the next call goes on from there.

        Raises:
            TextonError: a channel that the layer has not; a target that is zero.
        """
        counts = _FROM_NOISE if self._from_noise else _ON
        plan = [counts[min(at, 1)] for at in range(len(self._sizes))]
        anew, done = self._wakes(task), 0
        for at, (size, count) in enumerate(zip(self._sizes, plan, strict=True)):
            before = size.image
            for error in size.solve(task, unit, count, anew and at == 0, check):
                now = size.image
                for finer in self._sizes[at + 1 :]:
                    finer.add(now - before)
                before, done = now, done + 1
                yield Seen(self.picture, done, sum(plan), error)
                check()
            self._from_noise = False

    def _wakes(self, task: Task) -> bool:
        """Whether filters are sought that were not before."""
        told = task.options
        sought = set(told.direction or ()) if isinstance(told, Directed) else set()
        anew = bool(sought - self._filters)
        self._filters = sought
        return anew


def _scales(photo: Tensor, network: Network, layer: str) -> list[float]:
    """From the coarsest size up, each twice the one before."""
    edge = max(photo.shape[2:])
    found, size = [], DEEP if network.layer(layer).stride >= _DEEP_STRIDE else COARSEST
    while size * _APART < edge and network.intake([layer]).only is None:
        found.append(size / edge)
        size *= 2
    return [*found, 1.0]


def _fitted(image: Tensor, like: Tensor) -> Tensor:
    """At another picture's size; values may be anything."""
    size = like.shape[2:]
    if image.shape[2:] == size:
        return image
    return F.interpolate(image, list(size), mode="bicubic", antialias=True)
