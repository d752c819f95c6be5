"""Facets: the different things that excite a filter, a picture of each (Nguyen et al. 2016)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from texton.errors import TextonError
from texton.methods.method import STEPS, Figure, Method, OnStep, Task
from texton.methods.options import Solving, option
from texton.methods.result import Result, Unit
from texton.solve.presets import MAXIMISING, SolverSettings, solver_settings

if TYPE_CHECKING:
    from texton.network.network import Network


@dataclass(frozen=True)
class FacetsOptions(Solving):
    """Of ``texton facets``."""

    preset: str = option("normal", "fast, normal or fine.", choices=MAXIMISING)
    evidence: Path | None = option(
        None, "What `texton scan` found in your photographs.", holds="evidence"
    )
    most: int = option(4, "No more facets than so many.", low=1, high=8, named=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.evidence is None:
            raise TextonError("name --evidence: a folder that `texton scan` made")

    def settings(self) -> SolverSettings:
        return solver_settings(self.preset, steps=self.steps, presets=MAXIMISING)


def facets(
    network: Network,
    layer: str,
    channel: int,
    evidence: Path | str,
    *,
    device: str = "auto",
    on_step: OnStep | None = None,
    **options: Any,
) -> Result:
    """The facets of a filter: its strongest patches in clusters, and a picture of each.

    Args:
        evidence: a folder that ``texton scan`` made.
        options: of `FacetsOptions`: ``most``, ``preset``, ``steps``, ``seed``.

    Raises:
        TextonError: an unknown layer, channel, option or device; evidence that is missing or of
            another network, or in which nothing excites the filter.
    """
    told = FacetsOptions.of({"evidence": Path(evidence), **options})
    return next(make(Task(network, (Unit(layer, channel),), {}, told, device), on_step))


def make(task: Task, on_step: OnStep | None = None) -> Iterator[Result]:
    """The facets of every unit, a filter of a layer."""
    for layer, group in groupby(task.units, key=lambda x: x.layer or ""):
        yield from _of_one_layer(task, layer, list(group), on_step)


def _of_one_layer(
    task: Task, layer: str, wanted: list[Unit], on_step: OnStep | None
) -> Iterator[Result]:
    from texton.methods.parts.faceting import Faceting
    from texton.methods.parts.seeds import generator_for
    from texton.methods.parts.setup import compute_for, recorded_settings

    told, network = task.options, task.network
    settings, compute = told.settings(), compute_for(network, told, task.device)
    faceting = Faceting(network, told.evidence, layer, settings, compute)
    for unit in wanted:
        if unit.channel is None:
            raise TextonError(f"{layer} alone is no filter: name a channel")
        generator = generator_for(told.seed, "facets", layer, unit.channel)
        made = faceting.facets(unit.channel, told.most, generator, on_step)
        recorded = recorded_settings(METHOD.name, task, unit, settings, compute)
        yield Result(
            image=made.sheet,
            unit=unit,
            figures={
                "facets": len(made.peaks),
                "silhouette": made.found.silhouette if len(made.peaks) > 1 else None,
                "patches": made.patches,
                "strongest": sum(made.peaks) / len(made.peaks),
                "steps": made.steps,
            },
            seconds=made.seconds,
            settings={**recorded, "size": [made.sheet.shape[2], made.sheet.shape[1]]},
        )


def _check(task: Task) -> None:
    from texton.methods.parts.scanned import check_evidence

    check_evidence(task, task.options.evidence)


METHOD = Method(
    name="facets",
    title="The different things that excite a filter, a picture of each",
    caption="The facets of {unit}",
    axes=("layer", "channel"),
    options=FacetsOptions,
    figures=(
        Figure("facets", "Facets", "Clusters of its strongest patches.", digits=0),
        Figure(
            "silhouette",
            "Silhouette",
            "How far apart they lie, −1 to 1; nothing of a single one.",
            digits=2,
            better="high",
        ),
        Figure("patches", "Patches", "At least half as strong as the strongest.", digits=0),
        Figure(
            "strongest",
            "Of the strongest",
            "The pictures' peaks over the strongest patch's, on the average.",
            digits=2,
        ),
        STEPS,
    ),
    make=make,
    check=_check,
    size=0,
    about="Clusters of the strongest patches in --evidence; one, where chance would do as well. "
    "A picture begins at the mean of each, and stands above the patch nearest to it.",
    suffix="facets",
)
