"""What the methods share: the canvas to start on, the device, what a picture records of itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from texton.errors import TextonError
from texton.images.files import as_saved, content_hash
from texton.methods.method import OnStep, Task
from texton.methods.options import Solving
from texton.methods.parts.algorithm import Algorithm
from texton.methods.parts.paper2016 import Algorithm2016
from texton.methods.parts.photographs import check_photo as check_photo
from texton.methods.result import Unit
from texton.network.device import Compute
from texton.solve.canvas import NO_BLEED, Bleed, Canvas, FourierCanvas
from texton.solve.history import Historical
from texton.solve.objective import Objective
from texton.solve.presets import SolverSettings
from texton.solve.rules import Adam, Lbfgs
from texton.solve.solver import Opening, Solver
from texton.solve.views import Views
from texton.version import __version__

if TYPE_CHECKING:
    from texton.network.network import Network

_ALGORITHMS = {
    "adam": Algorithm(Adam),
    "lbfgs": Algorithm(Lbfgs),
    "sgd2016": Algorithm2016(),
    "history": Algorithm(Historical),
}

_NAMED = {"preset": "preset", "steps": "steps_asked", "seed": "seed"}  # outside the options


def algorithm_for(settings: SolverSettings) -> Algorithm:
    return _ALGORITHMS[settings.rule]


def make_canvas(
    network: Network,
    photo: Tensor,
    generators: Sequence[torch.Generator],
    settings: SolverSettings,
    compute: Compute,
    fourier: bool,
    bleed: Bleed = NO_BLEED,
) -> Canvas:
    channels, height, width = photo.shape[1:]
    size = (channels, height, width)
    if fourier:
        return FourierCanvas(generators, size, compute.device, bleed=bleed)
    algorithm = algorithm_for(settings)
    start = algorithm.start(size, generators, network.mean_colour, settings.contrast)
    return algorithm.canvas(start.to(compute.device), bleed)


def make_solver(
    network: Network,
    objective: Objective,
    canvas: Canvas,
    settings: SolverSettings,
    compute: Compute,
    generators: Sequence[torch.Generator],
    square: Tensor,
    opening: Opening | None = None,
    smooth: bool = False,
    views: Views | None = None,
) -> Solver:
    """
    Args:
        square: (B,) or (1,), ‖target‖²: what the objective is divided by.
    """
    rule = algorithm_for(settings).rule(canvas, settings, network.mean_colour, square)
    encoder = partial(network.encoder, compute=compute)
    told = (settings, generators, opening, smooth, compute.arithmetic, views)
    return Solver(encoder, objective, canvas, rule, *told)


def compute_for(network: Network, told: Solving, device: str) -> Compute:
    """Where and how a network is solved for: what the device is best at and it can take.

    Raises:
        TextonError: an unknown device; a dtype asked for that the network cannot take.
    """
    algorithm = algorithm_for(told.settings())
    return network.suited(algorithm.compute(device, told.dtype), asked=told.dtype != "auto")


def finished(images: Tensor, settings: SolverSettings) -> Tensor:
    """The images as a reader of the saved files gets them back.

    Raises:
        TextonError: they are no numbers any more, as where a number format has no room for codes.
    """
    if not bool(images.isfinite().all()):
        raise TextonError(
            "the picture came out as NaN: its codes are too large for the number format, use "
            "--dtype float32"
        )
    return as_saved(algorithm_for(settings).finish(images))


def run(solver: Solver, on_step: OnStep | None) -> None:
    for step in solver:
        if on_step is not None:
            on_step(step)


def bytes_each(network: Network, layer: str, size: Sequence[int], compute: Compute) -> int:
    """About what one image (…, H, W) takes while it is solved for a layer: its codes, their
    slopes, and as much again for what is worked in."""
    height, width = size[-2:]
    values = 0
    for name, known in network.layers.items():
        values += known.channels * -(-height // known.stride) * -(-width // known.stride)
        if name == layer:
            break
    return 3 * values * compute.dtype.itemsize


def recorded_settings(
    method: str, task: Task, unit: Unit, settings: SolverSettings, compute: Compute
) -> dict[str, Any]:
    """What makes a unit's picture again, as PNG and JSON carry it."""
    told = task.options.as_json()
    told.pop("dtype", None)  # what became of it is told below
    seen: dict[str, Any] = {"size": [task.size, task.size]}  # of methods that take no photograph
    if task.photos:
        image = task.photo(unit)
        seen = {"photo_hash": content_hash(image), "size": [image.shape[3], image.shape[2]]}
        seen |= task.needs
    return {
        "texton": __version__,
        "torch": torch.__version__,
        "method": method,
        **task.network.describe(),
        **seen,
        **{named: told.pop(key) for key, named in _NAMED.items() if key in told},
        **({"options": told} if told else {}),
        **compute.describe(),
        "solver": asdict(settings),
    }
