"""Inverting filters, and directions of channel space, of one layer over one photograph."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from texton.errors import TextonError
from texton.methods.method import OnStep
from texton.methods.parts.setup import (
    algorithm_for,
    bytes_each,
    finished,
    make_canvas,
    make_solver,
    run,
)
from texton.methods.result import DEAD_SHARE, Result, Unit
from texton.network.codes import check_channel, energy_shares, total_map
from texton.network.device import Compute, in_batches
from texton.solve.canvas import NO_BLEED, Bleed, Canvas
from texton.solve.directions import Directions, Shares, Units, share_vector
from texton.solve.objective import Activation, FeatureMapMatch
from texton.solve.presets import SolverSettings
from texton.solve.solver import MAX_STARTS, Opening, Solver

if TYPE_CHECKING:
    from texton.network.network import Network

_FINE_STRIDE = 8
_LEAST = 0.01
_BLEED_COST = 1.085  # of the picture's area, so that a step costs no more than a tenth extra


class Measured(NamedTuple):
    """Of every image of a batch: its `Result`'s error, achieved and leakage."""

    errors: list[float]
    achieved: list[float]
    leakage: list[float]


class FilterInversion:
    """What the filters of one layer share: the photograph's maps, added up once.

    Attributes:
        energy: (C,), each filter's share of the photograph's energy.
    """

    def __init__(
        self,
        image: Tensor,
        network: Network,
        layer: str,
        settings: SolverSettings,
        compute: Compute,
    ) -> None:
        self._network, self._layer = network, layer
        self._settings, self._compute = settings, compute
        with torch.no_grad():
            code = network.encode(image, layer, compute.exact())[layer]
            self.energy = energy_shares(code)[0]
            self._total = total_map(code)
            self._peaks = code.amax((0, 2, 3)).float()
            del code  # as large as all that a batch holds together
            self._bleed, self._photo, self._wide_total = NO_BLEED, image, self._total
            for bleed in _bleeds(image, network, layer, settings):
                photo = F.pad(image, bleed, mode="reflect")
                try:
                    wide = network.encode(photo, layer, compute.exact())[layer]
                except TextonError:  # a size that it does not take: a decoder's, mostly
                    continue
                self._bleed, self._photo, self._wide_total = bleed, photo, total_map(wide)
                break

    @property
    def bytes_each(self) -> int:
        """What one image takes while it is solved."""
        return bytes_each(self._network, self._layer, self._photo.shape, self._compute)

    def units(self, channels: Sequence[int] | Mapping[str, Shares]) -> Units:
        """Filters, or the share vectors of directions, (B, C).

        Raises:
            TextonError: the layer has no such filter; shares that are none of its directions.
        """
        count = len(self.energy)
        if isinstance(channels, Mapping):
            rows = [share_vector(shares, count, name) for name, shares in channels.items()]
            return torch.stack(rows) if rows else []
        for channel in channels:
            check_channel(count, channel)
        return list(channels)

    def reach(self, units: Units) -> Tensor:
        """(B,), how much of what is asked of each unit its layer can give: 1, but where
        activations saturate below the photograph's maps added up.

        A filter's ceiling is the most that it was seen to give, or 1 % of what the others do
        where nothing raised it.
        """
        ceilings = self._network.ceilings.get(self._layer)
        total = self._total.flatten()
        if ceilings is None:
            return torch.ones(len(units), device=total.device)
        most = torch.maximum(ceilings.to(total.device), self._peaks)
        most = most.clamp_min(_LEAST * float(most.max()))
        rows = units if isinstance(units, Tensor) else F.one_hot(torch.tensor(units), len(most))
        given = []
        for row in rows.to(most):
            sought = row.nonzero()[:, 0]
            shares = row[sought, None]
            maps = torch.minimum(shares * total, most[sought, None])
            given.append((shares * maps).sum() / (row.square().sum() * total.sum()))
        return torch.stack(given).clamp_max(1)

    def energy_shares(self, units: Units) -> list[float]:
        """The share of the photograph's energy in each filter, or in all of a direction's."""
        energy = self.energy.expand(len(units), -1)
        return Directions(units, energy.device).within(energy).tolist()

    def solver(
        self, units: Units, generators: list[torch.Generator], settings: SolverSettings
    ) -> Solver:
        """The solver of a batch of filters or directions, about to begin."""
        objective, opening = self.sought(units)
        return make_solver(
            self._network,
            objective,
            self.canvas(generators, settings),
            settings,
            self._compute,
            generators,
            objective.target_square,
            opening,
            smooth=True,
        )

    def sought(self, units: Units) -> tuple[FeatureMapMatch, Opening]:
        """What is minimised for a batch, and how a silent one is brought to life."""
        objective = FeatureMapMatch(self._layer, units, self._wide_total)
        lift = Activation(self._network.preactivation(self._layer), units, self._wide_total)
        return objective, Opening(lift, objective.achieved)

    def canvas(self, generators: list[torch.Generator], settings: SolverSettings) -> Canvas:
        """Noise to start from, with the bleed."""
        told = settings, self._compute, False, self._bleed
        return make_canvas(self._network, self._photo, generators, *told)

    def solve(
        self, units: Units, generators: list[torch.Generator], on_step: OnStep | None
    ) -> Iterator[Result]:
        solved = self._solve_once(units, generators, self._settings, on_step)
        for b, (result, generator) in enumerate(zip(solved, generators, strict=True)):
            yield self._insist(units[b : b + 1], result, generator, on_step)

    def _insist(
        self, unit: Units, result: Result, generator: torch.Generator, on_step: OnStep | None
    ) -> Result:
        """Give a filter that ended all but silent its other starts, from stronger noise each time.

        Not where the number of steps was asked for: it is exact.
        """
        settings = self._settings
        if not (settings.early_stop and settings.opening):
            return result
        while result.achieved < DEAD_SHARE and result.starts < MAX_STARTS:
            settings = replace(
                settings, contrast=1.5 * settings.contrast, opening=2 * settings.opening
            )
            again = next(self._solve_once(unit, [generator], settings, on_step))
            kept = again if again.achieved > result.achieved else result
            spent = {key: getattr(result, key) + getattr(again, key) for key in ("starts", "steps")}
            seconds = result.seconds + again.seconds
            result = replace(kept, figures={**kept.figures, **spent}, seconds=seconds)
        return result

    def _solve_once(
        self,
        units: Units,
        generators: list[torch.Generator],
        settings: SolverSettings,
        on_step: OnStep | None,
    ) -> Iterator[Result]:
        started = time.perf_counter()
        solver = self.solver(units, generators, settings)
        run(solver, on_step)
        seconds = (time.perf_counter() - started) / len(units)
        solved = finished(solver.canvas.images(), settings)
        found = self.measure(solved, units)
        if solver.revive([share < DEAD_SHARE for share in found.achieved]):
            solved = finished(solver.canvas.images(), settings)
            found = self.measure(solved, units)
        steps, starts, traces = solver.steps.tolist(), solver.starts.tolist(), solver.traces
        energy = self.energy_shares(units)
        for b in range(len(units)):
            yield Result(
                image=solved[b].cpu(),
                unit=Unit(self._layer, None if isinstance(units, Tensor) else units[b]),
                figures={
                    "error": found.errors[b],
                    "achieved": found.achieved[b],
                    "energy_share": energy[b],
                    "leakage": found.leakage[b],
                    "steps": steps[b],
                    "starts": starts[b],
                },
                status="dead" if self._is_dead(units[b : b + 1], found.achieved[b]) else "ok",
                seconds=seconds,
                trace=tuple(traces[b]),
            )

    def _is_dead(self, unit: Units, achieved: float) -> bool:
        """Whether a unit gives next to nothing of what it could."""
        return achieved < DEAD_SHARE and achieved < DEAD_SHARE * float(self.reach(unit)[0])

    def measure(self, solved: Tensor, units: Units) -> Measured:
        """Every image as it is saved, in float32."""
        parts = in_batches(
            len(units), self._compute, lambda part: self._measured(solved[part], units[part])
        )
        return Measured(*(list(chain.from_iterable(found)) for found in zip(*parts, strict=True)))

    def _measured(self, solved: Tensor, units: Units) -> Measured:
        match = FeatureMapMatch(self._layer, units, self._total)
        with torch.no_grad():
            codes = self._network.encode(solved, self._layer, self._compute.exact())
            shares = energy_shares(codes[self._layer])
            within = Directions(units, shares.device).within(shares)
            leakage = torch.where(shares.any(1), 1 - within, 0)
            errors, achieved = match(codes, solved), match.achieved(codes)
        return Measured(errors.tolist(), achieved.tolist(), leakage.tolist())


def _bleeds(
    image: Tensor, network: Network, layer: str, settings: SolverSettings
) -> Iterator[Bleed]:
    """How much more than the picture to solve (left, right, top, bottom), to be cut off; the best
    that costs little first, until the network takes one.

    Zero padding draws a frame a few pixels wide: it shows in textures of that grain. And a layer
    is blind to what its stride leaves over at the right and at the bottom: noise stays there. Whole
    patches of a network that cuts images into such: cut off, less would shift all others. None
    where the network takes one size alone, or would shrink what it sees to make room.
    """
    height, width = image.shape[2:]
    stride = network.layer(layer).stride
    resized = network.resizes or network.intake([layer]).only is not None
    if algorithm_for(settings).as_published or resized:
        return
    for edge in (4, 2, 0) if stride <= _FINE_STRIDE else (0,):
        if network.patched and edge % stride:
            continue
        rest = (-(width + 2 * edge) % stride, -(height + 2 * edge) % stride)
        for right, bottom in (rest, (0, 0)):
            wide = (height + 2 * edge + bottom) * (width + 2 * edge + right)
            fits = edge + max(right, bottom) < min(height, width)
            if not edge + right + bottom:
                return
            if fits and wide <= _BLEED_COST * height * width:
                yield (edge, edge + right, edge, edge + bottom)
