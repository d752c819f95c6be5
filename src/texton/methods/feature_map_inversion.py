"""Feature map inversion: what does a filter extract? (the paper's section 2.1)"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from texton.images.files import content_hash
from texton.methods.result import DEAD_SHARE, Result
from texton.methods.seeds import generator_for
from texton.methods.setup import (
    OnStep,
    algorithm_for,
    check_photo,
    compute_for,
    finished,
    make_canvas,
    make_solver,
    recorded_settings,
    run,
)
from texton.network.codes import check_channel, energy_shares, total_map
from texton.network.device import Compute, in_batches
from texton.network.network import Network
from texton.solve.canvas import Bleed
from texton.solve.directions import Directions, Shares, Units, share_vector, shares_by_filter
from texton.solve.objective import Activation, FeatureMapMatch
from texton.solve.presets import SolverSettings, solver_settings
from texton.solve.solver import MAX_STARTS, Opening, Solver

_FINE_STRIDE = 8
_BLEED_COST = 1.085  # of the picture's area, so that a step costs no more than a tenth extra


def invert_filter(
    image: Tensor, network: Network, layer: str, channel: int, **options: Any
) -> Result:
    """Feature map inversion of one filter; options as in `invert_filters`."""
    return next(iter_filters(image, network, layer, [channel], **options))


def invert_direction(
    image: Tensor,
    network: Network,
    layer: str,
    shares: Shares,
    name: str | None = None,
    **options: Any,
) -> Result:
    """Feature map inversion of a direction of channel space: several filters in given shares.

    The target gives filter c the share u_c of all activity at every position; a filter is the
    direction whose only share is 1.

    Args:
        shares: u, a vector of a number per filter or ``{4: 0.5, 7: 0.5}``; none negative, as no
            rectified map can reach it.
        name: directions of one name begin from the same noise; the shares themselves by default.
        options: as in `invert_filters`.

    Raises:
        TextonError: as `invert_filters`; shares of another layer, negative, infinite or all zero.
    """
    label = name or ",".join(f"{c}={u:.6g}" for c, u in shares_by_filter(shares).items())
    return next(iter_filters(image, network, layer, {label: shares}, **options))


def invert_filters(
    image: Tensor,
    network: Network,
    layer: str,
    channels: Sequence[int] | Mapping[str, Shares],
    **options: Any,
) -> list[Result]:
    """Feature map inversion of several filters of one layer: what does each of them extract?

    Args:
        image: the photograph, (1, C, H, W) in [0, 1].
        layer, channels: the filters, numbered from 0; or directions, each by a name that tells
            it apart, with shares as in `invert_direction`.
        preset: ``fast``, ``normal``, ``fine`` or ``paper`` (the 2016 algorithm).
        steps: exactly so many evaluations of the network per filter, the opening included.
        seed: the same seed gives the same picture, whatever else is asked for beside it.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        on_step: called after every step of the solver.

    Raises:
        TextonError: an unknown layer, channel, preset or device; numbers out of range; an image
            too small for the layer or that leaves it silent.
    """
    return list(iter_filters(image, network, layer, channels, **options))


def iter_filters(
    image: Tensor,
    network: Network,
    layer: str,
    channels: Sequence[int] | Mapping[str, Shares],
    *,
    preset: str = "normal",
    steps: int | None = None,
    seed: int = 0,
    device: str = "auto",
    on_step: OnStep | None = None,
) -> Iterator[Result]:
    """`invert_filters`, one result after the other as they are solved."""
    check_photo(image, network)
    settings = solver_settings(preset, steps=steps)
    compute = compute_for(settings, device)
    inversion = FilterInversion(image, network, layer, settings, compute)
    units = inversion.units(channels)
    photo = content_hash(image)
    recorded = recorded_settings("filter", network, image, preset, steps, seed, settings, compute)
    if isinstance(channels, Mapping):
        seeds: list[tuple[str, int | None]] = [(f"{layer}/{name}", None) for name in channels]
        more = [{"direction": n, "shares": shares_by_filter(u)} for n, u in channels.items()]
    else:
        seeds, more = [(layer, channel) for channel in channels], [{}] * len(channels)

    def solve(part: slice) -> list[Result]:
        generators = [generator_for(seed, photo, *which) for which in seeds[part]]
        return list(inversion.solve(units[part], generators, on_step))

    side_by_side = in_batches(len(seeds), compute, solve)
    for result, own in zip(chain.from_iterable(side_by_side), more, strict=True):
        yield replace(result, settings=recorded | own)


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
            del code  # as large as all that a batch holds together
            self._bleed = _bleed(image, network.layer(layer).stride, settings)
            self._wide_total = self._total
            self._photo = image
            if any(self._bleed):
                self._photo = F.pad(image, self._bleed, mode="reflect")
                wide = network.encode(self._photo, layer, compute.exact())[layer]
                self._wide_total = total_map(wide)

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

    def energy_shares(self, units: Units) -> list[float]:
        """The share of the photograph's energy in each filter, or in all of a direction's."""
        energy = self.energy.expand(len(units), -1)
        return Directions(units, energy.device).within(energy).tolist()

    def solver(
        self, units: Units, generators: list[torch.Generator], settings: SolverSettings
    ) -> Solver:
        """The solver of a batch of filters or directions, about to begin."""
        objective = FeatureMapMatch(self._layer, units, self._wide_total)
        lift = Activation(self._network.preactivation(self._layer), units, self._wide_total)
        return make_solver(
            self._network,
            objective,
            make_canvas(
                self._network, self._photo, generators, settings, self._compute, False, self._bleed
            ),
            settings,
            self._compute,
            generators,
            objective.target_square,
            Opening(lift, objective.achieved),
            smooth=True,
        )

    def solve(
        self, units: Units, generators: list[torch.Generator], on_step: OnStep | None
    ) -> Iterator[Result]:
        solved = self._solve_once(units, generators, self._settings, on_step)
        for b, (result, generator) in enumerate(zip(solved, generators, strict=True)):
            yield self._insist(units[b : b + 1], result, generator, on_step)

    def _insist(
        self, unit: Units, result: Result, generator: torch.Generator, on_step: OnStep | None
    ) -> Result:
        """Give a filter that ended dead its other starts, from stronger noise each time.

        Not where the number of steps was asked for: it is exact.
        """
        settings = self._settings
        if not (settings.early_stop and settings.opening):
            return result
        while result.status == "dead" and result.starts < MAX_STARTS:
            settings = replace(
                settings, contrast=1.5 * settings.contrast, opening=2 * settings.opening
            )
            again = next(self._solve_once(unit, [generator], settings, on_step))
            kept = again if (again.achieved or 0) > (result.achieved or 0) else result
            result = replace(
                kept,
                starts=result.starts + again.starts,
                steps=result.steps + again.steps,
                seconds=result.seconds + again.seconds,
            )
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
        for b in range(len(units)):
            yield Result(
                image=solved[b].cpu(),
                error=found.errors[b],
                achieved=found.achieved[b],
                leakage=found.leakage[b],
                status="dead" if found.achieved[b] < DEAD_SHARE else "ok",
                layer=self._layer,
                channel=None if isinstance(units, Tensor) else units[b],
                steps=steps[b],
                starts=starts[b],
                seconds=seconds,
                trace=tuple(traces[b]),
            )

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


def _bleed(image: Tensor, stride: int, settings: SolverSettings) -> Bleed:
    """How much more than the picture to solve (left, right, top, bottom), to be cut off.

    Zero padding draws a frame a few pixels wide: it shows in textures of that grain. And a layer
    is blind to what its stride leaves over at the right and at the bottom: noise stays there.
    """
    height, width = image.shape[2:]
    if algorithm_for(settings).as_published:
        return (0, 0, 0, 0)
    for edge in (4, 2, 0) if stride <= _FINE_STRIDE else (0,):
        rest = (-(width + 2 * edge) % stride, -(height + 2 * edge) % stride)
        for right, bottom in (rest, (0, 0)):
            wide = (height + 2 * edge + bottom) * (width + 2 * edge + right)
            fits = edge + max(right, bottom) < min(height, width)
            if fits and wide <= _BLEED_COST * height * width:
                return (edge, edge + right, edge, edge + bottom)
    return (0, 0, 0, 0)
