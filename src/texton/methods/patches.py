"""Patches: what excites a filter most in your own pictures, cut at what its units see."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from texton.errors import TextonError
from texton.methods.method import Figure, Method, OnStep, Task
from texton.methods.options import Options, option
from texton.methods.result import Result, Status, Unit
from texton.solve.presets import PRESETS

if TYPE_CHECKING:
    from torch import Tensor

    from texton.evidence.format import LayerEvidence
    from texton.methods.parts.patching import Patches, Projected
    from texton.network.network import Network

NONE = "none"


@dataclass(frozen=True)
class PatchesOptions(Options):
    """Of ``texton patches``."""

    pictures: Path | None = option(
        None,
        "Evidence that `texton scan` made, or a folder of pictures.",
        also="--from",
        holds="evidence",
    )
    texture: str = option(
        "fast",
        "The filter's texture beside: fast, normal, fine or paper; none to leave it out.",
        choices=(*PRESETS, NONE),
        named=True,
    )
    rule: str = option(
        "guided",
        "Of the projections below the patches: guided, gradient, deconv, or none.",
        choices=("guided", "gradient", "deconv", NONE),
        named=True,
    )
    edge: int = option(128, "Long edge of the texture in pixels.", low=32, high=1024)
    seed: int = option(0, "Of the texture.", low=0, high=2**63 - 1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.pictures is None:
            raise TextonError("name --from: evidence that `texton scan` made, or a folder")


def patches(
    network: Network, layer: str, channel: int, pictures: Path | str, **options: Any
) -> Result:
    """What excites a filter most, as a strip of patches with projections, and its figures.

    Args:
        pictures: an evidence folder, or a folder of pictures.
        options: of `PatchesOptions`; ``device``.

    Raises:
        TextonError: an unknown layer or channel; neither evidence nor pictures.
    """
    device = options.pop("device", "auto")
    told = PatchesOptions.of({"pictures": Path(pictures), **options})
    return next(make(Task(network, (Unit(layer, channel),), {}, told, device)))


def make(task: Task, on_step: OnStep | None = None) -> Iterator[Result]:
    """A strip for every unit, a filter of a layer."""
    from texton.methods.parts.patching import Patches, open_evidence
    from texton.methods.parts.record import channel_of

    layers = list(dict.fromkeys(task.network.layer(unit.layer or "").name for unit in task.units))
    for unit in task.units:
        channel_of(unit)
    told, size = task.options, task.size or METHOD.size
    evidence = open_evidence(told.pictures, task.network, layers, size, task.device)
    rule = None if told.rule == NONE else told.rule
    for layer, group in groupby(task.units, key=lambda unit: unit.layer or ""):
        cutting = Patches(task.network, evidence, layer, rule, task.device)
        for unit in group:
            yield _result(task, unit, cutting, on_step)


def _result(task: Task, unit: Unit, cutting: Patches, on_step: OnStep | None) -> Result:
    from texton.evidence.format import BANDS
    from texton.images.files import as_saved
    from texton.methods.parts.patch_sheet import COLUMNS, draw_strip
    from texton.methods.parts.tuning_plot import as_image

    started, channel = time.perf_counter(), unit.channel or 0
    figures = _figures(cutting.found, channel)
    made = cutting.of(channel, most=COLUMNS)
    strongest = [(f"{x.patch.place.value:.4g}", x.patch.image, x.projection) for x in made]
    weaker = [
        (f"q{100 * low:g}-{100 * high:g}", cutting.plain(channel, name))
        for name, (low, high) in BANDS.items()
    ]
    texture = _texture(task, unit, cutting, made, on_step)
    heading = _heading(unit, figures)
    strip = draw_strip(heading, texture, strongest, weaker, task.network.bands)
    image = as_saved(as_image(strip))
    status: Status = "dead" if cutting.found.dead[channel] else "ok"
    settings = _recorded(task, cutting)
    return Result(image, unit, figures, time.perf_counter() - started, status, settings)


def _figures(found: LayerEvidence, channel: int) -> dict[str, float | None]:
    return {
        "strongest": float(found.top_value[channel, 0]),
        "q99": float(found.quantile(0.99)[channel]),
        "mean": float(found.mean[channel]),
        "silent": float(found.silent[channel]),
        "active": float(found.active_pictures[channel]),
        "selectivity": float(found.selectivity[channel]),
        "pictures": float(found.pictures),
    }


def _heading(unit: Unit, figures: dict[str, float | None]) -> str:
    count = int(figures["pictures"] or 0)
    if not figures["active"]:
        return f"{unit}   none of {count:,} pictures excites it"
    told = [
        f"strongest {figures['strongest']:.4g}",
        f"q99 {figures['q99']:.4g}",
        f"mean {figures['mean']:.3g}",
        f"silent at {100 * (figures['silent'] or 0):.0f} % of places",
        f"active in {100 * (figures['active'] or 0):.0f} % of {count:,} pictures",
        f"selectivity {figures['selectivity']:.1f}",
    ]
    return f"{unit}   " + "   ".join(told)


def _texture(
    task: Task, unit: Unit, cutting: Patches, made: Sequence[Projected], on_step: OnStep | None
) -> Tensor | None:
    """What the filter extracts from the picture that excites it most; grey if there is none."""
    import torch

    from texton.methods.feature_map_inversion import iter_filters

    told = task.options
    if told.texture == NONE:
        return None
    if not made:
        return torch.full((task.network.channels, told.edge, told.edge), 0.5)
    whole = cutting.evidence.read(made[0].patch.place.picture)
    photo = task.network.intake([unit.layer or ""]).fitted(whole, told.edge)
    solved = {"preset": told.texture, "seed": told.seed, "device": task.device}
    channels = [unit.channel or 0]
    found = iter_filters(photo, task.network, unit.layer or "", channels, on_step=on_step, **solved)
    return next(iter(found)).image


def _recorded(task: Task, cutting: Patches) -> dict[str, Any]:
    import torch

    from texton.version import __version__

    told = {"texton": __version__, "torch": torch.__version__, "method": METHOD.name}
    options = {**task.options.as_json(), "rule": cutting.rule or NONE}
    return {**told, **task.network.describe(), "seed": options.pop("seed"), "options": options}


def _check(task: Task) -> None:
    from texton.methods.parts.patching import check_source

    check_source(task, task.options.pictures)


METHOD = Method(
    name="patches",
    title="What excites a filter most in a folder of pictures",
    caption="What excites {unit}",
    axes=("layer", "channel"),
    options=PatchesOptions,
    figures=(
        Figure("strongest", "Strongest", "The largest activation on any picture.", digits=1),
        Figure("q99", "q99", "A hundredth of the places are above it.", digits=1),
        Figure("mean", "Mean", "Over all places.", digits=2),
        Figure("silent", "Silent", "Share of the places that are not above 0.", "percent", 0),
        Figure("active", "Active", "Share of the pictures that excite it at all.", "percent", 0),
        Figure(
            "selectivity",
            "Selectivity",
            "(Mean of the strongest hundredth of places − mean) / standard deviation.",
            digits=1,
        ),
        Figure("pictures", "Pictures", "How many are behind it.", digits=0, shown=False),
    ),
    make=make,
    check=_check,
    about="A row a filter: its texture; the nine strongest patches, one a picture, cut at the "
    "receptive field, with projections below; three patches each of weaker pictures, by quantile.",
    suffix="patches",
)
