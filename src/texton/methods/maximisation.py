"""Activation maximisation: which image does a filter answer most? (Erhan 2009; after Lucid)"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from texton.errors import TextonError
from texton.methods.directions import Directed, check_filters, named_units, shares_of
from texton.methods.method import STARTS, STEPS, Figure, Method, OnStep, Task
from texton.methods.options import option
from texton.methods.result import Result, Unit
from texton.solve.presets import (
    HISTORY,
    MATCHING,
    MAXIMISING,
    NATURAL,
    SolverSettings,
    solver_settings,
)

if TYPE_CHECKING:
    from texton.network.network import Network
    from texton.solve.directions import Shares


@dataclass(frozen=True)
class MaximiseOptions(Directed):
    """Of ``texton maximize``."""

    preset: str = option(
        "normal",
        "fast, normal, fine; or history, on pixels with decay, blur and clips.",
        choices=(*MAXIMISING, "history"),
    )
    at: tuple[int, ...] | None = option(
        None, "One neuron, ROW,COLUMN of the map: 7,7; the whole map without it.", low=0, named=True
    )
    class_: tuple[str, ...] = option(
        (), "Classes instead of filters: 281, or a name: tabby,beagle.", named=True
    )
    diversity: int = option(
        1, "So many pictures of each, every one unlike the others.", low=1, high=16, named=True
    )

    natural: bool = option(
        False, "Phases alone: as much of every frequency as in photographs.", named=True
    )
    photographs: Path | None = option(
        None, "Of --natural: a folder whose mean spectrum it is; a power law without it."
    )

    evidence: Path | None = option(
        None,
        "What `texton scan` found: the picture's peak over the strongest patch's, its path.",
        holds="evidence",
    )
    match: bool = option(
        False,
        "As strong as often as in its strongest patches of --evidence, and no stronger.",
        named=True,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.photographs is not None and not self.natural:
            raise TextonError("--photographs are of --natural pictures: add it")
        if self.at is not None and len(self.at) != 2:
            raise TextonError("--at is a row and a column of the map, like 7,7")
        if self.class_ and (self.at or self.direction or self.directions is not None):
            raise TextonError("a --class has no neurons or directions: leave the others out")

        if self.preset == "history" and (self.natural or self.match):
            raise TextonError("history is of pixels alone: leave --natural and --match out")
        self._check_match()

    def _check_match(self) -> None:
        if not self.match:
            return
        if self.evidence is None:
            raise TextonError("--match takes its patches from --evidence: name what a scan made")
        others = self.at, self.class_, self.direction, self.directions
        if any(x is not None and x != () for x in others):
            raise TextonError("--match is of filters: leave --at, --class, --direction(s) out")
        if self.natural or self.diversity > 1:
            raise TextonError("--match is bounded: leave --natural and --diversity out")

    def settings(self) -> SolverSettings:
        presets = NATURAL if self.natural else MATCHING if self.match else MAXIMISING
        if self.preset == "history":
            presets = {"history": HISTORY}
        return solver_settings(self.preset, steps=self.steps, presets=presets)


def maximize(
    network: Network,
    layer: str | None = None,
    channel: int | Shares | None = None,
    *,
    size: int = 224,
    device: str = "auto",
    on_step: OnStep | None = None,
    **options: Any,
) -> Result:
    """Activation maximisation, from noise: no photograph has a part in it.

    Args:
        channel: a filter of the layer; or a direction of channel space, a vector of a share per
            filter or ``{4: 1, 17: -0.5}``; its length does not matter.
        size: of the picture's sides, in pixels; a network of one size has its own.
        options: of `MaximiseOptions`: ``preset``, ``steps``, ``seed``, ``at``, ``diversity``;
            ``class_="tabby"`` instead of a layer and a channel.

    Raises:
        TextonError: an unknown layer, channel, class, preset or device; numbers out of range;
            pictures too small for the layer; a class of a network without a classifier.
    """
    if (classes := options.get("class_")) is not None:
        several = [classes] if isinstance(classes, (str, int)) else classes
        options["class_"] = tuple(map(str, several))
    if channel is None or isinstance(channel, int):
        unit = Unit(layer, channel)
    else:
        options["directions"], unit = {"direction": channel}, Unit(layer, direction="direction")
    told = MaximiseOptions.of(options)
    if told.class_:
        unit = _only(_named(told, network, [] if layer is None else [layer]) or [])
    task = Task(network, (unit,), {}, told, device, size)
    return next(make(task, on_step))


def _only(units: list[Unit]) -> Unit:
    if len(units) != 1:
        raise TextonError(
            f"class_ names {len(units)} classes, and this makes one picture: call it for each"
        )
    return units[0]


def _named(told: MaximiseOptions, network: Network, specs: Sequence[str]) -> list[Unit] | None:
    """Units that are classes or directions."""
    if not told.class_:
        return named_units(told, network, specs)
    if specs:
        raise TextonError(f"a --class is of no layer: leave '{specs[0]}' out")
    import torch

    from texton.methods.parts.classifier import CLASS, class_encoder, class_numbers
    from texton.network.device import choose_compute

    compute = choose_compute("cpu", torch.float32)
    with torch.no_grad():
        size = network.intake().square(METHOD.size)
        image = network.mean_colour.expand(1, network.channels, *size)
        count = class_encoder(network, compute)(image)[CLASS].shape[1]
    return [Unit(CLASS, number) for number in dict.fromkeys(class_numbers(told.class_, count))]


def _check(task: Task) -> None:
    check_filters(task)
    if task.options.class_:
        raise TextonError("an atlas is of a network's filters: leave --class out")
    from texton.methods.parts.scanned import check_evidence

    check_evidence(task, task.options.evidence)


def make(task: Task, on_step: OnStep | None = None) -> Iterator[Result]:
    """The picture of every unit, a filter of a layer."""
    for _, group in groupby(task.units, key=lambda x: (x.layer, x.direction is None)):
        yield from _of_one_layer(task, list(group), on_step)


def _of_one_layer(task: Task, wanted: list[Unit], on_step: OnStep | None) -> Iterator[Result]:
    from texton.methods.parts.evident import Evident
    from texton.methods.parts.maximising import Maximisation, Wanted
    from texton.methods.parts.natural import magnitude
    from texton.methods.parts.seeds import generator_for
    from texton.methods.parts.setup import compute_for, recorded_settings
    from texton.network.device import in_batches
    from texton.solve.directions import shares_by_filter

    told, layer = task.options, wanted[0].layer or ""
    settings = told.settings()
    compute = compute_for(task.network, told, task.device)
    directed = wanted[0].direction is not None
    if any(x.channel is None and x.direction is None for x in wanted):
        raise TextonError(f"{layer} alone is no filter: name a channel")
    place = None if told.at is None else (told.at[0], told.at[1])
    within = None if told.class_ else [layer]
    size = task.network.intake(within).square(task.size or METHOD.size)
    natural = None
    if told.natural:
        natural = magnitude(task.network.channels, size, told.photographs)
    evident = None
    if told.evidence is not None and not (directed or told.class_):
        filters = [x.channel or 0 for x in wanted]
        evident = Evident(task.network, told.evidence, layer, filters, compute)
    asked = Wanted(layer, size, place, evident, natural, told.diversity, told.match)
    maximisation = Maximisation(task.network, asked, settings, compute)
    units = maximisation.answers.units(
        {x.direction or "": shares_of(told, x, maximisation.answers.channels) for x in wanted}
        if directed
        else [x.channel or 0 for x in wanted]
    )

    def solve(part: slice) -> list[Result]:
        drawn = [
            generator_for(told.seed, f"facet {facet}" if facet else "", _from(layer, x), x.channel)
            for x in wanted[part]
            for facet in range(told.diversity)
        ]
        return list(maximisation.solve(units[part], drawn, on_step))

    each = maximisation.bytes_each * told.diversity
    solved = chain.from_iterable(in_batches(len(wanted), compute, solve, each))
    for unit, result in zip(wanted, solved, strict=True):
        alone = told
        if directed:
            own = {
                unit.direction: shares_by_filter(
                    shares_of(told, unit, maximisation.answers.channels)
                )
            }
            alone = replace(told, direction=None, directions=own)
        asked_for = replace(task, options=alone)
        recorded = recorded_settings(METHOD.name, asked_for, unit, settings, compute)
        recorded["size"] = [size[1], size[0]]
        yield replace(result, unit=unit, settings=recorded)


def _from(layer: str, unit: Unit) -> str:
    return layer if unit.direction is None else f"{layer}/{unit.direction}"


METHOD = Method(
    name="maximize",
    title="The picture that a filter answers most",
    caption="What {unit} answers most",
    axes=("layer", "channel"),
    options=MaximiseOptions,
    figures=(
        Figure(
            "error",
            "Error",
            "Of --match: ‖sorted − target‖² / ‖target‖² over maps by what they add, mean of "
            "layers, of the picture as saved.",
            better="low",
        ),
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
        Figure(
            "strongest",
            "Of the strongest",
            "The map's peak over the filter's strongest activation in --evidence.",
            digits=2,
        ),
        Figure(
            "path",
            "Path",
            "How it runs through the scanned layers before: 1 as the filter's strongest patches "
            "in --evidence, 0 as those of other filters; rank correlations of mean activations.",
            digits=2,
            better="high",
        ),
        STEPS,
        STARTS,
    ),
    make=make,
    check=_check,
    named=_named,
    about="Activation maximisation from noise: no photograph has a part in it.",
)
