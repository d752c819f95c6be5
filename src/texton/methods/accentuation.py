"""Feature accentuation: a photograph with more of what a filter answers (Hamblin et al. 2024)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from texton.errors import TextonError
from texton.methods.directions import Directed, check_filters, named_units, shares_of
from texton.methods.method import STEPS, Figure, Method, OnStep, Task
from texton.methods.options import option
from texton.methods.result import Result, Unit
from texton.solve.presets import ACCENTUATING, SolverSettings, solver_settings

if TYPE_CHECKING:
    from torch import Tensor

    from texton.network.network import Network
    from texton.solve.directions import Shares


@dataclass(frozen=True)
class AccentuateOptions(Directed):
    """Of ``texton accentuate``."""

    preset: str = option("normal", "fast, normal or fine.", choices=ACCENTUATING)
    hold: str | None = option(
        None, "The layer whose code holds the photograph; one that sees a quarter.", named=True
    )
    weight: float = option(
        1.0, "How strongly it is held: 1 as much as the filter pulls.", low=0, named=True
    )

    def settings(self) -> SolverSettings:
        return solver_settings(self.preset, steps=self.steps, presets=ACCENTUATING)


def accentuate(
    image: Tensor,
    network: Network,
    layer: str,
    channel: int | Shares,
    *,
    device: str = "auto",
    on_step: OnStep | None = None,
    **options: Any,
) -> Result:
    """A photograph changed until a filter, or a direction, answers more.

    Args:
        image: (1, C, H, W) in [0, 1].
        channel: a filter; or shares of several, as in `texton.maximize`.
        options: of `AccentuateOptions`: ``preset``, ``steps``, ``seed``, ``hold``, ``weight``.

    Raises:
        TextonError: an unknown layer, channel, option or device; numbers out of range; an image
            too small.
    """
    unit = Unit(layer, direction="direction")
    if isinstance(channel, int):
        unit = Unit(layer, channel)
    else:
        options["directions"] = {"direction": channel}
    told = AccentuateOptions.of(options)
    return next(make(Task(network, (unit,), {None: image}, told, device), on_step))


def make(task: Task, on_step: OnStep | None = None) -> Iterator[Result]:
    """A picture for every unit: a filter, or a direction, and a photograph."""
    for unit in task.units:
        yield _accentuated(task, unit, on_step)


def _accentuated(task: Task, unit: Unit, on_step: OnStep | None) -> Result:
    from texton.images.files import content_hash
    from texton.methods.parts.accentuating import accentuation, holding_layer
    from texton.methods.parts.answers import Answers
    from texton.methods.parts.seeds import generator_for
    from texton.methods.parts.setup import (
        check_photo,
        compute_for,
        finished,
        recorded_settings,
        run,
    )

    told, photo, network, layer = task.options, task.photo(unit), task.network, unit.layer or ""
    check_photo(photo, network)
    if unit.channel is None and unit.direction is None:
        raise TextonError(f"{layer} alone is no filter: name a channel")
    settings, compute = told.settings(), compute_for(network, told, task.device)
    size = network.intake([layer]).square(min(photo.shape[2:]))
    filters = Answers(network, layer, size, compute)
    units = filters.units(
        [unit.channel]
        if unit.channel is not None
        else {unit.direction or "": shares_of(told, unit, filters.channels)}
    )
    hold = network.layer(told.hold or holding_layer(network, layer)).name
    generator = generator_for(told.seed, content_hash(photo), layer, unit.channel)
    maximise = filters.objective(units)
    solver = accentuation(network, photo, maximise, hold, told.weight, settings, compute, generator)
    started = time.perf_counter()
    run(solver, on_step)
    seconds = time.perf_counter() - started
    solved = finished(solver.canvas.images(), settings)
    (before,), _ = filters.measure(photo.to(solved), units)
    (after,), (transfer,) = filters.measure(solved, units)
    return Result(
        image=solved[0].cpu(),
        unit=unit,
        figures={
            "activation": after,
            "before": before,
            "transfer": transfer / after if after > 0 else None,
            "moved": float((solved.cpu() - photo.cpu()).abs().mean()),
            "steps": int(solver.steps[0]),
        },
        seconds=seconds,
        settings={
            **recorded_settings(METHOD.name, task, unit, settings, compute),
            "held_by": hold,
        },
        trace=tuple(solver.traces[0]),
    )


METHOD = Method(
    name="accentuate",
    title="A photograph with more of what a filter answers",
    caption="{photo}, with more of what {unit} answers",
    axes=("photo", "layer", "channel"),
    options=AccentuateOptions,
    figures=(
        Figure(
            "activation",
            "Activation",
            "The mean of the map, times the layer's mean activation by pink noise.",
            digits=2,
        ),
        Figure("before", "Before", "The same, of the photograph.", digits=2),
        Figure(
            "transfer",
            "Transfer",
            "How much of it is left under eight views that the solver never saw.",
            "percent",
            0,
            "high",
        ),
        Figure("moved", "Moved", "How far pixels moved.", "percent", 1),
        STEPS,
    ),
    make=make,
    check=check_filters,
    named=named_units,
    about="Feature accentuation: begun from the photograph, held by an earlier layer's code.",
    suffix="accentuated",
)
