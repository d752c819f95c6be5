"""Code inversion, of a photograph's code as it is or modified (the paper's section 2)."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

import torch
from torch import Tensor

from texton.errors import TextonError
from texton.images.files import content_hash
from texton.methods.result import Result
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
from texton.network.network import Network
from texton.solve.objective import CodeMatch
from texton.solve.presets import SolverSettings, solver_settings
from texton.solve.priors import AlphaNorm, TotalVariation

Modify = Callable[[Tensor], Tensor]

_STEPS = {"fast": 50, "normal": 100, "fine": 267}


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
    modify: Modify | None = None,
    on_step: OnStep | None = None,
) -> Result:
    """Code inversion: an image whose code at ``layer`` is the photograph's.

    Args:
        image: (1, C, H, W) in [0, 1].
        preset: ``fast``, ``normal``, ``fine`` or ``paper`` (the 2016 algorithm).
        steps: exactly so many evaluations of the network.
        modify: changes the code before it is inverted, (1, C, M, N) → (1, C, M, N): the
            functions of `texton.network.codes`, or your own.

    Raises:
        TextonError: an unknown layer, preset or device; numbers out of range; an image too small.
    """
    check_photo(image, network)
    settings = solver_settings(preset, steps=steps)
    if as_published := algorithm_for(settings).as_published:
        if priors != Priors():
            raise TextonError("the paper preset is the 2016 algorithm alone: leave the priors out")
        priors = Priors(tv=0.0)
    if not as_published:
        settings = replace(settings, steps=inversion_steps(preset, steps), jitter=priors.jitter)
        settings = _for_inversion(settings, steady=not (priors.jitter or priors.fourier))
    compute = compute_for(settings, device)
    with torch.no_grad():
        code = network.encode(image, layer, compute.exact())[layer]
        code = modify(code) if modify else code
    match = CodeMatch(layer, code)
    generator = generator_for(seed, content_hash(image), layer, None)
    canvas = make_canvas(network, image, [generator], settings, compute, priors.fourier)
    objective = match + priors.tv * TotalVariation() if priors.tv else match
    if priors.alpha_norm:
        objective = objective + priors.alpha_norm * AlphaNorm(network.mean_colour)
    square = match.target_square
    solver = make_solver(network, objective, canvas, settings, compute, [generator], square)
    started = time.perf_counter()
    run(solver, on_step)
    seconds = time.perf_counter() - started
    solved = finished(canvas.images(), settings)
    with torch.no_grad():
        codes = network.encode(solved, layer, compute.exact())
        error = float(match(codes, solved)[0])
    recorded = recorded_settings("invert", network, image, preset, steps, seed, settings, compute)
    return Result(
        image=solved[0].cpu(),
        error=error,
        achieved=None,
        status="ok",
        layer=layer,
        channel=None,
        steps=int(solver.steps[0]),
        starts=1,
        seconds=seconds,
        trace=tuple(solver.traces[0]),
        settings=recorded | {"priors": asdict(priors)},
    )


def inversion_steps(preset: str, steps: int | None) -> int:
    """The most evaluations that a code inversion takes: a preset's own, or what was asked for."""
    asked = solver_settings(preset, steps=steps).steps
    return asked if steps is not None else _STEPS.get(preset, asked)


def _for_inversion(settings: SolverSettings, steady: bool) -> SolverSettings:
    """A whole code can be reached, so the solver may be gentler and end finer.

    Curvature helps where every step sees the same problem in bounded pixels: half of Adam's
    error. A jittered image is another problem each time.
    """
    return replace(
        settings,
        rule="lbfgs" if steady else "adam",
        learning_rate=0.05,
        final_rate=0.1 if steady else 0.0,
        betas=(0.5, 0.9),
        contrast=0.05,
        tv=0.0,
        opening=0,
        early_stop=False,
    )
