"""Activation maximisation: which image does a filter answer most? (Erhan 2009; after Lucid)"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain, groupby
from typing import TYPE_CHECKING, Any

from texton.errors import TextonError
from texton.methods.method import STARTS, STEPS, Figure, Method, OnStep, Task
from texton.methods.options import Solving, option
from texton.methods.result import Result, Unit
from texton.solve.presets import MAXIMISING, SolverSettings, solver_settings

if TYPE_CHECKING:
    from texton.network.network import Network


@dataclass(frozen=True)
class MaximiseOptions(Solving):
    """Of ``texton maximize``."""

    preset: str = option("normal", "fast, normal or fine.", choices=MAXIMISING)
    at: tuple[int, ...] | None = option(
        None, "One neuron, ROW,COLUMN of the map: 7,7; the whole map without it.", low=0, named=True
    )
    diversity: int = option(
        1, "So many pictures of each, every one unlike the others.", low=1, high=16, named=True
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.at is not None and len(self.at) != 2:
            raise TextonError("--at is a row and a column of the map, like 7,7")

    def settings(self) -> SolverSettings:
        return solver_settings(self.preset, steps=self.steps, presets=MAXIMISING)


def maximize(
    network: Network,
    layer: str,
    channel: int,
    *,
    size: int = 224,
    device: str = "auto",
    on_step: OnStep | None = None,
    **options: Any,
) -> Result:
    """Activation maximisation of one filter, from noise: no photograph has a part in it.

    Args:
        size: of the picture's sides, in pixels.
        options: of `MaximiseOptions`: ``preset``, ``steps``, ``seed``, ``at``, ``diversity``.

    Raises:
        TextonError: an unknown layer, channel, preset or device; numbers out of range; pictures
            too small for the layer.
    """
    told = MaximiseOptions.of(options)
    task = Task(network, (Unit(layer, channel),), {}, told, device, size)
    return next(make(task, on_step))


def make(task: Task, on_step: OnStep | None = None) -> Iterator[Result]:
    """The picture of every unit, a filter of a layer."""
    for _, group in groupby(task.units, key=lambda x: x.layer):
        yield from _of_one_layer(task, list(group), on_step)


def _of_one_layer(task: Task, wanted: list[Unit], on_step: OnStep | None) -> Iterator[Result]:
    from texton.methods.parts.maximising import Maximisation, Wanted
    from texton.methods.parts.seeds import generator_for
    from texton.methods.parts.setup import compute_for, recorded_settings
    from texton.network.codes import check_channel
    from texton.network.device import in_batches

    told, layer = task.options, wanted[0].layer or ""
    task = replace(task, size=task.size or METHOD.size)
    settings = told.settings()
    compute = compute_for(settings, task.device)
    if any(x.channel is None for x in wanted):
        raise TextonError(f"{layer} alone is no filter: name a channel")
    channels = [x.channel or 0 for x in wanted]
    for channel in channels:
        check_channel(task.network.layer(layer).channels, channel)
    place = None if told.at is None else (told.at[0], told.at[1])
    asked = Wanted(layer, task.size or 0, place, told.diversity)
    maximisation = Maximisation(task.network, asked, settings, compute)

    def solve(part: slice) -> list[Result]:
        drawn = [
            generator_for(told.seed, f"facet {facet}" if facet else "", layer, channel)
            for channel in channels[part]
            for facet in range(told.diversity)
        ]
        return list(maximisation.solve(channels[part], drawn, on_step))

    each = maximisation.bytes_each * told.diversity
    solved = chain.from_iterable(in_batches(len(wanted), compute, solve, each))
    for unit, result in zip(wanted, solved, strict=True):
        recorded = recorded_settings(METHOD.name, task, unit, settings, compute)
        yield replace(result, unit=unit, settings=recorded)


METHOD = Method(
    name="maximize",
    title="The picture that a filter answers most",
    caption="What {unit} answers most",
    axes=("layer", "channel"),
    options=MaximiseOptions,
    figures=(
        Figure(
            "activation",
            "Activation",
            "The mean of the map, or the neuron, times the layer's mean activation by pink noise.",
            digits=1,
            better="high",
        ),
        Figure(
            "transfer",
            "Transfer",
            "How much of it is left under eight views that the solver never saw: turned by 5°, "
            "scaled by 5 %, half a pixel on.",
            "percent",
            0,
            "high",
        ),
        STEPS,
        STARTS,
    ),
    make=make,
    about="Activation maximisation from noise: no photograph has a part in it.",
)
