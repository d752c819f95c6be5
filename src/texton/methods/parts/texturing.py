"""How a texture is solved for: its scales, its statistics, and the torus that a tile lies on."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from texton.errors import TextonError
from texton.images.colours import with_colours_of
from texton.images.files import as_saved
from texton.methods.method import OnStep, Task
from texton.methods.parts.seams import check_torus, seam, torus_multiple
from texton.methods.parts.setup import algorithm_for, check_photo, run
from texton.methods.result import Result, Unit
from texton.network.codes import gram, means, moments
from texton.network.device import Compute
from texton.network.sizes import Intake
from texton.solve.canvas import Bleed, PixelCanvas, noise
from texton.solve.objective import Objective, StatisticMatch, WeightedSum
from texton.solve.priors import TotalVariation
from texton.solve.scales import resized, resized_tile, scaled
from texton.solve.solver import Solver
from texton.solve.statistics import inside, random_directions, shifted_gram, sorted_along

if TYPE_CHECKING:
    from texton.network.network import Network

Statistic = Callable[[Tensor], Tensor]

SMALLEST = 32  # pixels a side, of a source
_LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1")
_DEEPEST = 8  # of strides: what is seen further apart is a picture's, no texture's
_BLEED = 16  # pixels solved around a picture and cut off, where its network pads
_COARSEST = 64  # pixels a side
_REACHES = (8, 32)  # pixels apart, of shifted Gram matrices
_DIRECTIONS = 32  # of a layer, that are sorted at a time
_ROUND = 20  # steps with the same directions: L-BFGS learns nothing from others
_WEIGHT = 10.0  # of the statistics, beside total variation
_CONTRAST = 0.1  # of the first noise, about the source's mean colour


@dataclass(frozen=True)
class Plan:
    """Where statistics are taken, and how large the picture is.

    Attributes:
        size: (H, W) of the picture.
        multiple: what its sides are multiples of, at every scale.
        bleed: pixels solved around it.
    """

    layers: tuple[str, ...]
    size: tuple[int, int]
    intake: Intake
    multiple: int = 1
    bleed: int = 0


@dataclass(frozen=True, eq=False)
class Solved:
    """A texture's result without its unit, and what else its settings record."""

    result: Result
    about: dict[str, Any]


def planned(task: Task) -> Plan:
    """What a task's pictures are solved on.

    Raises:
        TextonError: an unknown layer; sides that cannot be tiled; a network that sees no torus.
    """
    network, told = task.network, task.options
    layers = layers_of(network, told.texture_layers)
    intake = network.intake(layers)
    side = task.size or 512
    if not told.tile:
        size = intake.square(side)
        bleed = 0 if intake.only or 2 * _BLEED % intake.multiple else _BLEED
        return Plan(layers, size, intake, intake.multiple, bleed)
    multiple = torus_multiple(network, layers)
    check_torus(network, layers)
    if rest := side % multiple:
        less, more = side - rest, side - rest + multiple
        choice = f"{less} or {more}" if less else str(more)
        raise TextonError(
            f"a tile of {side} pixels leaves a rest in the pools before {layers[-1]}: its sides "
            f"are multiples of {multiple}, use --size {choice}"
        )
    return Plan(layers, (side, side), intake, multiple)


def layers_of(network: Network, named: Sequence[str]) -> tuple[str, ...]:
    """Those that are named; the usual ones of VGG-19, the first rectified one of each stride
    elsewhere.

    Raises:
        TextonError: an unknown layer.
    """
    if named:
        return tuple(dict.fromkeys(network.layer(name).name for name in named))
    if all(name in network.layers for name in _LAYERS):
        return _LAYERS
    known = list(network.layers.values())
    first: dict[int, str] = {}
    for layer in [x for x in known if x.rectifies] or known:
        if layer.stride <= _DEEPEST:
            first.setdefault(layer.stride, layer.name)
    return tuple(first.values()) or (known[0].name,)


def check_source(image: Tensor, network: Network) -> None:
    """Refuse what no texture can be seen in."""
    check_photo(image, network)
    height, width = image.shape[2:]
    if min(height, width) < SMALLEST:
        raise TextonError(
            f"the source is {width}×{height} pixels: a texture is seen in {SMALLEST} a side or more"
        )


class Matching:
    """The statistics of a source at one scale, and what is minimised to have them."""

    def __init__(
        self,
        source: Tensor,
        network: Network,
        told: Any,
        plan: Plan,
        compute: Compute,
        side: int,
        generator: torch.Generator,
    ) -> None:
        """
        Args:
            source: at that scale; ``side``, of the picture at it.
            told: the options of `texton.methods.texture`.
        """
        self._network, self._compute, self._tile = network, compute, told.tile
        self._tv = told.tv
        smaller = min(side, *source.shape[2:])
        self.statistics: dict[str, Statistic] = {}
        self._terms: list[StatisticMatch] = []
        with torch.no_grad():
            codes = network.encode(source.to(compute.device), plan.layers, compute.exact())
            for name in plan.layers:
                layer = network.layer(name)
                stride = max(1, layer.stride)
                far = [x // stride for x in _REACHES if stride <= x <= smaller // 4]
                statistic = _statistic(told, far, layer.channels, generator, compute)
                margin = -(-_BLEED // stride)
                target = _of(statistic, wraps=False)(inside(codes[name], margin))
                own = _of(statistic, wraps=told.tile)
                if plan.bleed:
                    own = _inside_of(own, margin)
                self._terms.append(StatisticMatch(name, own, target))

    def objective(self) -> Objective:
        each = _WEIGHT / len(self._terms)
        weighted: list[tuple[float, Objective]] = [(each, term) for term in self._terms]
        if self._tv:
            weighted.append((self._tv, TotalVariation(wraps=self._tile)))
        return WeightedSum(weighted)

    def errors(self, image: Tensor) -> dict[str, float]:
        """Of every layer, of an image, in float32."""
        compute = self._compute.exact()
        module = self._network.frozen(compute, torus=self._tile)
        layers = [term.layers[0] for term in self._terms]
        with torch.no_grad():
            image = image.to(compute.device)
            codes = self._network.encoder(layers, compute, module)(image)
            return {term.layers[0]: float(term(codes, image)[0]) for term in self._terms}


def _statistic(
    told: Any, shifts: Sequence[int], channels: int, generator: torch.Generator, compute: Compute
) -> Callable[[Tensor, bool], Tensor]:
    """(code, whether it wraps) → (B, …); directions are drawn here."""
    if told.statistic == "shifted":
        return lambda code, wraps: shifted_gram(code, shifts, wraps)
    if told.statistic == "sorted":
        directions = random_directions(channels, _DIRECTIONS, generator).to(compute.device)
        return lambda code, _: sorted_along(code, directions)
    plain = {"gram": gram, "means": means, "moments": moments}[told.statistic]
    return lambda code, _: plain(code)


def _of(statistic: Callable[[Tensor, bool], Tensor], wraps: bool) -> Statistic:
    return lambda code: statistic(code, wraps)


def _inside_of(statistic: Statistic, margin: int) -> Statistic:
    return lambda code: statistic(inside(code, margin))


@dataclass(frozen=True, eq=False)
class Synthesis:
    """What all scales of one texture share; ``told``: the options of `texton.methods.texture`."""

    source: Tensor
    network: Network
    told: Any
    plan: Plan
    compute: Compute
    generator: torch.Generator
    on_step: OnStep | None = None

    def solve(self) -> Solved:
        """Coarse to fine from noise, each scale begun from the one before."""
        started = time.perf_counter()
        picture: Tensor | None = None
        trace: list[float] = []
        each = stages(self.source, self.told, self.plan)
        for scale, count in each:
            canvas = self._canvas(picture, sides(self.plan, scale))
            matching, errors = self._at(scale, count, canvas)
            picture = with_colours_of(canvas.images(), self.source)
            trace += errors
        assert picture is not None
        saved = as_saved(picture)
        terms = matching.errors(saved)
        figures = {
            "error": sum(terms.values()) / len(terms),
            "seam": seam(saved) if self.told.tile else None,
            "steps": len(trace),
            "starts": 1,
        }
        seconds = time.perf_counter() - started
        result = Result(saved[0].cpu(), Unit(), figures, seconds, trace=tuple(trace))
        scales = [{"scale": scale, "steps": count} for scale, count in each]
        about = {"layers": list(self.plan.layers), "scales": scales, "terms": terms}
        return Solved(result, about)

    def _at(self, scale: float, count: int, canvas: PixelCanvas) -> tuple[Matching, list[float]]:
        """Turn a canvas by so many steps; what was matched last, and the errors."""
        network, told, compute = self.network, self.told, self.compute
        small = self.plan.intake.fitted(scaled(self.source, scale))
        module = network.frozen(compute, torus=told.tile)
        encoder = partial(network.encoder, compute=compute, module=module)
        square = torch.ones(1, device=compute.device)
        side = min(canvas.values.shape[2:])
        trace: list[float] = []
        for steps in _rounds(count, told.statistic):
            matching = Matching(small, network, told, self.plan, compute, side, self.generator)
            here = replace(told.settings(), steps=steps)
            turn = algorithm_for(here).rule(canvas, here, network.mean_colour, square)
            sought = matching.objective()
            solver = Solver(
                *(encoder, sought, canvas, turn, here, [self.generator]),
                arithmetic=compute.arithmetic,
            )
            run(solver, self.on_step)
            trace += solver.traces[0]
        return matching, trace

    def _canvas(self, picture: Tensor | None, size: tuple[int, int]) -> PixelCanvas:
        """Noise about the source's mean colour, or the picture of the scale before."""
        width = self.plan.bleed
        bleed: Bleed = (width,) * 4
        if picture is None:
            mean = self.source.mean((2, 3), keepdim=True)[0].cpu()
            shape = (self.source.shape[1], *(side + 2 * width for side in size))
            start = noise([self.generator], shape, mean, _CONTRAST).clamp(0, 1)
        elif self.told.tile:
            start = resized_tile(picture, size)
        else:
            start = F.pad(resized(picture, size), bleed, mode="reflect")
        return PixelCanvas(start.to(self.compute.device), bleed=bleed)


def stages(source: Tensor, told: Any, plan: Plan) -> list[tuple[float, int]]:
    """(scale, steps), coarse to fine, a factor of 2 apart; the last alone where steps are told or
    the network takes one size."""
    if told.steps is not None:
        return [(1.0, told.steps)]
    if plan.intake.only is not None:
        return [(1.0, told.counts[-1])]
    smallest = min(*plan.size, *source.shape[2:])
    every = [(2.0 ** (i + 1 - len(told.counts)), n) for i, n in enumerate(told.counts)]
    return [(scale, n) for scale, n in every if scale == 1 or smallest * scale >= _COARSEST]


def sides(plan: Plan, scale: float) -> tuple[int, int]:
    """Rows and columns of the picture at a scale, as the network takes them."""
    if plan.intake.only is not None:
        return plan.size
    step = plan.multiple
    rows, columns = (max(1, round(side * scale / step)) * step for side in plan.size)
    return rows, columns


def _rounds(count: int, statistic: str) -> list[int]:
    """How many steps in a row have the same statistic: all, or of directions drawn anew, some."""
    if statistic != "sorted":
        return [count]
    times = max(1, round(count / _ROUND))
    return [count // times + (i < count % times) for i in range(times)]
