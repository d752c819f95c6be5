"""One inversion of a code: by the solver, by a decoder, or by both."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from texton.images.files import content_hash
from texton.learned.decoder import LoadedDecoder
from texton.methods.method import OnStep, Task
from texton.methods.parts import setup
from texton.methods.parts.seeds import generator_for
from texton.methods.result import Result, Unit
from texton.network.device import Compute
from texton.solve.canvas import PixelCanvas
from texton.solve.objective import CodeMatch, Objective
from texton.solve.presets import SolverSettings
from texton.solve.priors import AlphaNorm, TotalVariation
from texton.solve.solver import Solver

NAME = "invert"
# The solver's first step, whose length it cannot know, is about as long as the way to go: one as
# from noise would lose what a decoder has got right.
_NEAR = 0.05


def inverted(
    task: Task,
    unit: Unit,
    modify: Callable[[Tensor], Tensor] | None,
    on_step: OnStep | None,
    decoder: LoadedDecoder | None = None,
) -> Result:
    """The image of one unit's code.

    Args:
        task: its options are those of a code inversion.
        modify: changes the code before.
        decoder: makes the image, or where ``polish`` asks for steps what the solver begins from.
    """
    network, image, told = task.network, task.photo(unit), task.options
    layer = unit.layer or ""
    setup.check_photo(image, network)
    network.layer(layer)
    settings = told.settings()
    compute = setup.compute_for(network, told, task.device)
    with torch.no_grad():
        code = network.encode(image, layer, compute.exact())[layer]
        code = modify(code) if modify else code
    match = CodeMatch(layer, code)
    started = time.perf_counter()
    start = None if decoder is None else decoder(code, image.shape[2:], compute)
    solver = None
    if start is not None and told.polish:
        with torch.no_grad():
            far = float(match(network.encode(start, layer, compute.exact()), start)[0])
        settings = replace(settings, learning_rate=min(settings.learning_rate, _NEAR * far**0.5))
    if start is None or told.polish:
        solver = _solver(task, unit, match, settings, compute, start)
        setup.run(solver, on_step)
        start = solver.canvas.images()
    seconds = time.perf_counter() - started
    solved = setup.finished(start, settings)
    with torch.no_grad():
        codes = network.encode(solved, layer, compute.exact())
        error = float(match(codes, solved)[0])
    recorded = setup.recorded_settings(NAME, task, unit, settings, compute)
    return Result(
        image=solved[0].cpu(),
        unit=unit,
        figures={"error": error, "steps": int(solver.steps[0]) if solver else 0, "starts": 1},
        seconds=seconds,
        trace=tuple(solver.traces[0]) if solver else (),
        settings=recorded | ({} if decoder is None else decoder.describe()),
    )


def decoder_of(task: Task, path: Path | None) -> LoadedDecoder | None:
    """The decoder that is asked for.

    Raises:
        TextonError: it cannot be read, or is of another network or another layer.
    """
    if path is None:
        return None
    decoder = LoadedDecoder(path, task.network)
    for unit in task.units:
        decoder.check_layer(task.network.layer(unit.layer or "").name)
    return decoder


def _solver(
    task: Task,
    unit: Unit,
    match: CodeMatch,
    settings: SolverSettings,
    compute: Compute,
    start: Tensor | None,
) -> Solver:
    """
    Args:
        start: (1, C, H, W), what is gone on from; noise by default.
    """
    network, image, told = task.network, task.photo(unit), task.options
    generator = generator_for(told.seed, content_hash(image), unit.layer or "", None)
    canvas = (
        setup.make_canvas(network, image, [generator], settings, compute, told.fourier)
        if start is None
        else PixelCanvas(start)
    )
    tv = 0.0 if told.preset == "paper" else told.tv
    objective: Objective = match + tv * TotalVariation() if tv else match
    if told.alpha_norm:
        objective = objective + told.alpha_norm * AlphaNorm(network.mean_colour)
    square = match.target_square
    return setup.make_solver(network, objective, canvas, settings, compute, [generator], square)
