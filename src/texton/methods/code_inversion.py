"""Code inversion, of a photograph's code as it is or modified (the paper's section 2).

Modified at random it is RMCI, the photograph in a random style (section 2.2); ``ranks`` is the
2016 code's direct purposeful modification (section 2.3).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from texton.errors import TextonError
from texton.methods.method import ERROR, STARTS, STEPS, Method, OnStep, Task
from texton.methods.options import MAX_SEED, Solving, option
from texton.methods.result import Result, Unit
from texton.solve.presets import SolverSettings, solver_settings

if TYPE_CHECKING:
    from torch import Tensor

    from texton.network.network import Network

Modify = Callable[["Tensor"], "Tensor"]

_STEPS = {"fast": 50, "normal": 100, "fine": 267}


@dataclass(frozen=True)
class Inverting(Solving):
    """What natural images are like, for inversions of a code; 0 turns a term off."""

    tv: float = option(0.1, "Weight of total variation (β = 2).", low=0)
    alpha_norm: float = option(0.0, "Weight of the α-norm (α = 6): no extreme colours.", low=0)
    jitter: int = option(0, "Random shifts by up to so many pixels.", low=0)
    fourier: bool = option(False, "Optimise a spectrum with decorrelated colours, not pixels.")

    def __post_init__(self) -> None:
        super().__post_init__()
        priors = (self.alpha_norm, self.jitter, self.fourier, self.tv != 0.1)
        if self.preset == "paper" and any(priors):
            raise TextonError("the paper preset is the 2016 algorithm alone: leave the priors out")

    def settings(self) -> SolverSettings:
        return _settings(self)


@dataclass(frozen=True)
class InvertOptions(Inverting):
    """Of ``texton invert``."""

    modify: str = option(
        "none",
        "Before inverting: none; random reallocates the energy (RMCI, a style per --seed); "
        "ranks orders the maps as in --style.",
        choices=("none", "random", "ranks"),
        named=True,
    )
    style: Any = option(None, "The image of --modify ranks.", named=True, picture=True)
    shares_seed: int | None = option(
        None, "The random shares' own seed; --seed by default.", low=0, high=MAX_SEED, named=True
    )
    spread: float = option(
        1.0, "0 even shares, 1 half-normal, more: few carry most.", low=0, high=10, named=True
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.modify == "ranks") != (self.style is not None):
            raise TextonError("--modify ranks and --style IMAGE go together")
        if self.modify == "random" and self.shares_seed is None:
            object.__setattr__(self, "shares_seed", self.seed)  # which style it is: told in names


def invert(
    image: Tensor,
    network: Network,
    layer: str,
    *,
    modify: Modify | None = None,
    device: str = "auto",
    on_step: OnStep | None = None,
    **options: Any,
) -> Result:
    """Code inversion: an image whose code at ``layer`` is the photograph's.

    Args:
        image: (1, C, H, W) in [0, 1].
        modify: changes the code before it is inverted, (1, C, M, N) → (1, C, M, N): the
            functions of `texton.network.codes`, or your own.
        options: of `Inverting`: ``preset``, ``steps``, ``seed``, ``tv``, ``jitter``, …

    Raises:
        TextonError: an unknown layer, option or device; numbers out of range; an image too small.
    """
    task = Task.of(image, network, Inverting.of(options), layer, device=device)
    return inverted(task, task.units[0], modify, on_step)


def invert_random(
    image: Tensor,
    network: Network,
    layer: str,
    *,
    shares_seed: int = 0,
    spread: float = 1.0,
    **options: Any,
) -> Result:
    """Randomly modified code inversion, RMCI: the photograph in a random style.

    Args:
        shares_seed: which random style; apart from the solver's ``seed``, so that one style
            can be solved from different starts.
        spread: 0 shares energy evenly, 1 half-normally, more makes few filters carry most.

    Raises:
        TextonError: ``spread`` outside 0 to 10; else as `invert`.
    """
    told = {"modify": "random", "shares_seed": shares_seed, "spread": spread, **options}
    return METHOD.picture(image, network, layer, **told)


def invert_ranks(
    image: Tensor, style: Tensor, network: Network, layer: str, **options: Any
) -> Result:
    """The 2016 code's direct purposeful modification: maps permuted and shifted to a style's.

    Args:
        style: (1, C, H, W) in [0, 1], of any size.
    """
    return METHOD.picture(image, network, layer, modify="ranks", style=style, **options)


def inversion_steps(preset: str, steps: int | None) -> int:
    """The most evaluations that a code inversion takes: a preset's own, or what was asked for."""
    asked = solver_settings(preset, steps=steps).steps
    return asked if steps is not None else _STEPS.get(preset, asked)


def make(task: Task, on_step: OnStep | None = None) -> Iterator[Result]:
    """An inversion for every unit: a layer of a photograph."""
    for unit in task.units:
        yield inverted(task, unit, change(task, unit), on_step)


def inverted(task: Task, unit: Unit, modify: Modify | None, on_step: OnStep | None) -> Result:
    """One unit; the task's options are `Inverting`."""
    import torch

    from texton.images.files import content_hash
    from texton.methods.parts import setup
    from texton.methods.parts.seeds import generator_for
    from texton.solve.objective import CodeMatch, Objective
    from texton.solve.priors import AlphaNorm, TotalVariation

    network, image, told = task.network, task.photo(unit), task.options
    layer = unit.layer or ""
    setup.check_photo(image, network)
    network.layer(layer)
    settings = _settings(told)
    compute = setup.compute_for(network, told, task.device)
    with torch.no_grad():
        code = network.encode(image, layer, compute.exact())[layer]
        code = modify(code) if modify else code
    match = CodeMatch(layer, code)
    generator = generator_for(told.seed, content_hash(image), layer, None)
    canvas = setup.make_canvas(network, image, [generator], settings, compute, told.fourier)
    tv = 0.0 if told.preset == "paper" else told.tv
    objective: Objective = match + tv * TotalVariation() if tv else match
    if told.alpha_norm:
        objective = objective + told.alpha_norm * AlphaNorm(network.mean_colour)
    square = match.target_square
    solver = setup.make_solver(network, objective, canvas, settings, compute, [generator], square)
    started = time.perf_counter()
    setup.run(solver, on_step)
    seconds = time.perf_counter() - started
    solved = setup.finished(canvas.images(), settings)
    with torch.no_grad():
        codes = network.encode(solved, layer, compute.exact())
        error = float(match(codes, solved)[0])
    return Result(
        image=solved[0].cpu(),
        unit=unit,
        figures={"error": error, "steps": int(solver.steps[0]), "starts": 1},
        seconds=seconds,
        trace=tuple(solver.traces[0]),
        settings=setup.recorded_settings(METHOD.name, task, unit, settings, compute),
    )


def check(task: Task) -> None:
    """Refuse a task whose style cannot be read."""
    if task.options.style is not None:
        task.picture(task.options.style)


def change(task: Task, unit: Unit) -> Modify | None:
    """What the options do to a code."""
    told, network, layer = task.options, task.network, unit.layer or ""
    if told.modify == "none":
        return None
    from texton.methods.parts.seeds import generator_for
    from texton.network.codes import match_ranks, random_shares, reallocate

    if told.modify == "random":
        # The style depends on the layer and the seed alone: one seed is one style on every photo.
        drawn = generator_for(told.shares_seed, "shares", layer, None)
        return lambda code: reallocate(code, random_shares(code, drawn, told.spread))
    style = task.picture(told.style)

    def ranked(code: Tensor) -> Tensor:
        return match_ranks(code, network.encode(style.to(code.device), layer)[layer])

    return ranked


def _settings(told: Inverting) -> SolverSettings:
    """A whole code can be reached, so the solver may be gentler and end finer.

    Curvature helps where every step sees the same problem in bounded pixels: half of Adam's
    error. A jittered image is another problem each time.
    """
    settings = solver_settings(told.preset, steps=told.steps, jitter=told.jitter)
    if told.preset == "paper":
        return settings
    steady = not (told.jitter or told.fourier)
    return replace(
        settings,
        steps=inversion_steps(told.preset, told.steps),
        rule="lbfgs" if steady else "adam",
        learning_rate=0.05,
        final_rate=0.1 if steady else 0.0,
        betas=(0.5, 0.9),
        contrast=0.05,
        tv=0.0,
        opening=0,
        early_stop=False,
    )


METHOD = Method(
    name="invert",
    title="What a layer's whole code still knows of a photograph",
    caption="{unit}, inverted from {photo}",
    axes=("photo", "layer"),
    options=InvertOptions,
    figures=(ERROR, STEPS, STARTS),
    make=make,
    check=check,
    about="Find an image whose code at a layer is the photograph's, as it is or modified.",
)
