"""Code inversion and feature map inversion (the paper's sections 2 and 2.1)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from texton import __version__
from texton.canvas import Canvas, FourierCanvas, PixelCanvas, noise
from texton.codes import check_channel, total_map
from texton.device import Compute, choose_compute
from texton.errors import TextonError
from texton.images import as_saved, content_hash
from texton.methods.denoise import denoised
from texton.methods.seeds import generator_for
from texton.network import Network
from texton.objective import Activation, AlphaNorm, CodeMatch, FeatureMapMatch, TotalVariation
from texton.presets import SolverSettings, solver_settings
from texton.result import DEAD_SHARE, Result
from texton.solver import Opening, Solver, Step

OnStep = Callable[[Step], None]
_BLEED = (4, 2)
_FINE_STRIDE = 8
_BLEED_COST = 1.085  # of the picture's area, so that a step costs no more than a tenth extra


@dataclass(frozen=True)
class Priors:
    """What natural images are like, for inversions; 0 turns a term off.

    Attributes:
        tv: weight of total variation (β = 2); 0.1 cleans up without costing error, 1 and
            more smooth what deep layers invent.
        alpha_norm: weight of the α-norm (α = 6), which keeps colours from the extremes.
        jitter: pixels by which the image is shifted at random; a quarter of the layer's stride.
        fourier: optimise a spectrum with decorrelated colours instead of pixels.
    """

    tv: float = 0.1
    alpha_norm: float = 0.0
    jitter: int = 0
    fourier: bool = False

    def __post_init__(self) -> None:
        for name in ("tv", "alpha_norm", "jitter"):
            value = getattr(self, name)
            if not 0 <= value < float("inf"):
                raise TextonError(f"{name} is {value}: use 0 or more")


def invert(
    image: Tensor,
    network: Network,
    layer: str,
    *,
    preset: str = "normal",
    steps: int | None = None,
    seed: int = 0,
    device: str = "auto",
    priors: Priors = Priors(),
    on_step: OnStep | None = None,
) -> Result:
    """Code inversion: an image whose code at ``layer`` is the photograph's.

    Args:
        image: (1, C, H, W) in [0, 1].
        preset: ``fast``, ``normal``, ``fine`` or ``paper`` (the 2016 algorithm).
        steps: exactly so many evaluations of the network.

    Raises:
        TextonError: an unknown layer, preset or device; numbers out of range; an image too small.
    """
    _check_photo(image, network)
    if preset == "paper":
        if priors != Priors():
            raise TextonError("the paper preset is the 2016 algorithm alone: leave the priors out")
        priors = Priors(tv=0.0)
    settings = _for_inversion(solver_settings(preset, steps=steps, jitter=priors.jitter))
    compute = _compute_for(settings, device)
    with torch.no_grad():
        code = network.encode(image, layer, compute.exact())[layer]
    match = CodeMatch(layer, code)
    generator = generator_for(seed, content_hash(image), layer, None)
    canvas = _canvas(network, image, [generator], settings, compute, priors.fourier, bleed=0)
    objective = match + priors.tv * TotalVariation() if priors.tv else match
    if priors.alpha_norm:
        objective = objective + priors.alpha_norm * AlphaNorm(network.mean_colour)
    solver = Solver(network, objective, canvas, settings, compute, [generator])
    started = time.perf_counter()
    _run(solver, on_step)
    seconds = time.perf_counter() - started
    solved = _finished(canvas.images(), settings)
    with torch.no_grad():
        codes = network.encode(solved, layer, compute.exact())
        error = float(match(codes, solved)[0])
    recorded = _settings("invert", network, image, preset, steps, seed, settings, compute)
    return Result(
        image=solved[0].cpu(),
        error=error,
        achieved=None,
        status="ok",
        layer=layer,
        channel=None,
        steps=solver.steps[0],
        starts=1,
        seconds=seconds,
        trace=tuple(float(step[0]) for step in solver.trace),
        settings=recorded | {"priors": asdict(priors)},
    )


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
    _check_photo(image, network)
    settings = solver_settings(preset, steps=steps)
    compute = _compute_for(settings, device)
    inversion = _FilterInversion(image, network, layer, settings, compute)
    for channel in channels:
        check_channel(inversion.code, channel)
    inversion.code = inversion.code[:, :0]  # its maps are added up: the rest is not needed
    photo = content_hash(image)
    recorded = _settings("filter", network, image, preset, steps, seed, settings, compute)
    for start in range(0, len(channels), compute.batch):
        batch = list(channels[start : start + compute.batch])
        generators = [generator_for(seed, photo, layer, channel) for channel in batch]
        for result in inversion.solve(batch, generators, on_step):
            yield replace(result, settings=recorded)


class _FilterInversion:
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
        self._size = image.shape
        with torch.no_grad():
            self.code = network.encode(image, layer, compute.exact())[layer]
            self._total = total_map(self.code)
            self._bleed = _bleed(image, network.layer(layer).stride, settings)
            self._wide_total = self._total
            self._photo = image
            if self._bleed:
                self._photo = F.pad(image, (self._bleed,) * 4, mode="reflect")
                wide = network.encode(self._photo, layer, compute.exact())[layer]
                self._wide_total = total_map(wide)

    def solve(
        self, channels: list[int], generators: list[torch.Generator], on_step: OnStep | None
    ) -> Iterator[Result]:
        started = time.perf_counter()
        layer, settings = self._layer, self._settings
        objective = FeatureMapMatch(layer, channels, self._wide_total)
        canvas = _canvas(
            self._network, self._photo, generators, settings, self._compute, False, self._bleed
        )
        lift = Activation(self._network.preactivation(layer), channels, self._wide_total)
        opening = Opening(lift, objective.achieved)
        smooth = objective + settings.tv * TotalVariation() if settings.tv else objective
        solver = Solver(self._network, smooth, canvas, settings, self._compute, generators, opening)
        _run(solver, on_step)
        seconds = (time.perf_counter() - started) / len(channels)
        solved = _finished(canvas.images(), settings)
        errors, achieved = self._measure(solved, channels)
        if settings.opening:
            fallen = [b for b, share in enumerate(achieved) if share < DEAD_SHARE]
            if any([solver.revive(b) for b in fallen]):  # noqa: C419 - every one of them
                solved = _finished(canvas.images(), settings)
                errors, achieved = self._measure(solved, channels)
        for b, channel in enumerate(channels):
            yield Result(
                image=solved[b].cpu(),
                error=errors[b],
                achieved=achieved[b],
                status="dead" if achieved[b] < DEAD_SHARE else "ok",
                layer=layer,
                channel=channel,
                steps=solver.steps[b],
                starts=solver.starts[b],
                seconds=seconds,
                trace=tuple(float(step[b]) for step in solver.trace[: solver.steps[b]]),
            )

    def _measure(self, solved: Tensor, channels: list[int]) -> tuple[list[float], list[float]]:
        errors, shares = [], []
        for b, channel in enumerate(channels):
            image = solved[b : b + 1]
            exact = FeatureMapMatch(self._layer, [channel], self._total)
            with torch.no_grad():
                codes = self._network.encode(image, self._layer, self._compute.exact())
                errors.append(float(exact(codes, image)[0]))
                shares.append(float(exact.achieved(codes)[0]))
        return errors, shares


def _canvas(
    network: Network,
    photo: Tensor,
    generators: Sequence[torch.Generator],
    settings: SolverSettings,
    compute: Compute,
    fourier: bool,
    bleed: int,
) -> Canvas:
    channels, height, width = photo.shape[1:]
    size = (channels, height, width)
    if settings.rule == "sgd2016":
        drawn = [torch.rand(size, generator=generator) * 0.2 - 0.1 for generator in generators]
        start = torch.stack(drawn) / 255 + network.mean_colour
        return PixelCanvas(start.to(compute.device), bounded=False)
    if fourier:
        return FourierCanvas(generators, size, compute.device, bleed=bleed)
    start = noise(generators, size, 0.5, settings.contrast).clamp(0, 1)
    return PixelCanvas(start.to(compute.device), bleed=bleed)


def _for_inversion(settings: SolverSettings) -> SolverSettings:
    """A whole code can be reached, so the solver may be gentler and end finer."""
    if settings.rule == "sgd2016":
        return settings
    steps = settings.steps if not settings.early_stop else round(settings.steps * 5 / 3)
    return replace(
        settings,
        steps=steps,
        learning_rate=0.05,
        final_rate=0.0,
        contrast=0.05,
        tv=0.0,
        opening=0,
        early_stop=False,
    )


def _bleed(image: Tensor, stride: int, settings: SolverSettings) -> int:
    """How much to cut off. A frame is a few pixels wide: it shows in textures of that grain."""
    height, width = image.shape[2:]
    if settings.rule != "adam" or stride > _FINE_STRIDE:
        return 0
    return next(
        (b for b in _BLEED if (height + 2 * b) * (width + 2 * b) <= _BLEED_COST * height * width), 0
    )


def _compute_for(settings: SolverSettings, device: str) -> Compute:
    compute = choose_compute(device)
    return compute.exact() if settings.rule == "sgd2016" else compute


def _finished(images: Tensor, settings: SolverSettings) -> Tensor:
    """The images as a reader of the saved files gets them back."""
    return as_saved(denoised(images) if settings.rule == "sgd2016" else images)


def _run(solver: Solver, on_step: OnStep | None) -> None:
    for step in solver:
        if on_step is not None:
            on_step(step)


def _check_photo(image: Tensor, network: Network) -> None:
    if image.ndim != 4 or image.shape[0] != 1 or image.shape[1] != network.channels:
        raise TextonError(
            f"the photograph is {tuple(image.shape)}: {network.name} takes "
            f"(1, {network.channels}, H, W)"
        )


def _settings(
    method: str,
    network: Network,
    image: Tensor,
    preset: str,
    steps: int | None,
    seed: int,
    settings: SolverSettings,
    compute: Compute,
) -> dict[str, Any]:
    return {
        "texton": __version__,
        "torch": torch.__version__,
        "method": method,
        **network.describe(),
        "photo_hash": content_hash(image),
        "size": [image.shape[3], image.shape[2]],
        "preset": preset,
        "steps_asked": steps,
        "seed": seed,
        **compute.describe(),
        "solver": asdict(settings),
    }
