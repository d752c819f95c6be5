"""Feature map inversion: what does a filter extract? (the paper's section 2.1)"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from texton.images.files import content_hash
from texton.methods.result import DEAD_SHARE, Result
from texton.methods.seeds import generator_for
from texton.methods.setup import (
    OnStep,
    check_photo,
    compute_for,
    finished,
    make_canvas,
    recorded_settings,
    run,
)
from texton.network.codes import check_channel, energy_shares, total_map
from texton.network.device import Compute, halved, is_out_of_memory
from texton.network.network import Network
from texton.solve.canvas import Bleed
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


def invert_filters(
    image: Tensor, network: Network, layer: str, channels: Sequence[int], **options: Any
) -> list[Result]:
    """Feature map inversion of several filters of one layer: what does each of them extract?

    Args:
        image: the photograph, (1, C, H, W) in [0, 1].
        layer, channels: the filters, numbered from 0.
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
    channels: Sequence[int],
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
    for channel in channels:
        check_channel(inversion.code, channel)
    inversion.code = inversion.code[:, :0]  # its maps are added up: the rest is not needed
    photo = content_hash(image)
    recorded = recorded_settings("filter", network, image, preset, steps, seed, settings, compute)
    side_by_side, rest = compute.batch, list(channels)
    while rest:
        batch = rest[:side_by_side]
        generators = [generator_for(seed, photo, layer, channel) for channel in batch]
        try:
            solved = list(inversion.solve(batch, generators, on_step))
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            side_by_side = halved(len(batch), compute.device)
            continue
        rest = rest[len(batch) :]
        for result in solved:
            yield replace(result, settings=recorded)


class Measured(NamedTuple):
    """Of every image of a batch: its `Result`'s error, achieved and leakage."""

    errors: list[float]
    achieved: list[float]
    leakage: list[float]


class FilterInversion:
    """What the filters of one layer share: the photograph's maps, added up once."""

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
            self.code = network.encode(image, layer, compute.exact())[layer]
            self._total = total_map(self.code)
            self._bleed = _bleed(image, network.layer(layer).stride, settings)
            self._wide_total = self._total
            self._photo = image
            if any(self._bleed):
                self._photo = F.pad(image, self._bleed, mode="reflect")
                wide = network.encode(self._photo, layer, compute.exact())[layer]
                self._wide_total = total_map(wide)

    def solver(
        self, channels: list[int], generators: list[torch.Generator], settings: SolverSettings
    ) -> Solver:
        """The solver of a batch of filters, about to begin."""
        objective = FeatureMapMatch(self._layer, channels, self._wide_total)
        lift = Activation(self._network.preactivation(self._layer), channels, self._wide_total)
        return Solver(
            self._network,
            objective,
            make_canvas(
                self._network, self._photo, generators, settings, self._compute, False, self._bleed
            ),
            settings,
            self._compute,
            generators,
            Opening(lift, objective.achieved),
            smooth=True,
        )

    def solve(
        self, channels: list[int], generators: list[torch.Generator], on_step: OnStep | None
    ) -> Iterator[Result]:
        solved = self._solve_once(channels, generators, self._settings, on_step)
        for result, generator in zip(solved, generators, strict=True):
            yield self._insist(result, generator, on_step)

    def _insist(self, result: Result, generator: torch.Generator, on_step: OnStep | None) -> Result:
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
            again = next(self._solve_once([result.channel or 0], [generator], settings, on_step))
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
        channels: list[int],
        generators: list[torch.Generator],
        settings: SolverSettings,
        on_step: OnStep | None,
    ) -> Iterator[Result]:
        started = time.perf_counter()
        solver = self.solver(channels, generators, settings)
        canvas, layer = solver.canvas, self._layer
        run(solver, on_step)
        seconds = (time.perf_counter() - started) / len(channels)
        solved = finished(canvas.images(), settings)
        found = self.measure(solved, channels)
        if settings.opening:
            fallen = [b for b, share in enumerate(found.achieved) if share < DEAD_SHARE]
            if any([solver.revive(b) for b in fallen]):  # noqa: C419 - every one of them
                solved = finished(canvas.images(), settings)
                found = self.measure(solved, channels)
        for b, channel in enumerate(channels):
            yield Result(
                image=solved[b].cpu(),
                error=found.errors[b],
                achieved=found.achieved[b],
                leakage=found.leakage[b],
                status="dead" if found.achieved[b] < DEAD_SHARE else "ok",
                layer=layer,
                channel=channel,
                steps=solver.steps[b],
                starts=solver.starts[b],
                seconds=seconds,
                trace=tuple(float(step[b]) for step in solver.trace[: solver.steps[b]]),
            )

    def measure(self, solved: Tensor, channels: list[int]) -> Measured:
        """Every image as it is saved, in float32."""
        found = Measured([], [], [])
        for b, channel in enumerate(channels):
            image = solved[b : b + 1]
            exact = FeatureMapMatch(self._layer, [channel], self._total)
            with torch.no_grad():
                codes = self._network.encode(image, self._layer, self._compute.exact())
                shares = energy_shares(codes[self._layer])[0]
                found.errors.append(float(exact(codes, image)[0]))
                found.achieved.append(float(exact.achieved(codes)[0]))
                found.leakage.append(float(1 - shares[channel]) if bool(shares.any()) else 0.0)
        return found


def _bleed(image: Tensor, stride: int, settings: SolverSettings) -> Bleed:
    """How much more than the picture to solve (left, right, top, bottom), to be cut off.

    Zero padding draws a frame a few pixels wide: it shows in textures of that grain. And a layer
    is blind to what its stride leaves over at the right and at the bottom: noise stays there.
    """
    height, width = image.shape[2:]
    if settings.rule != "adam":
        return (0, 0, 0, 0)
    for edge in (4, 2, 0) if stride <= _FINE_STRIDE else (0,):
        rest = (-(width + 2 * edge) % stride, -(height + 2 * edge) % stride)
        for right, bottom in (rest, (0, 0)):
            wide = (height + 2 * edge + bottom) * (width + 2 * edge + right)
            fits = edge + max(right, bottom) < min(height, width)
            if fits and wide <= _BLEED_COST * height * width:
                return (edge, edge + right, edge, edge + bottom)
    return (0, 0, 0, 0)
