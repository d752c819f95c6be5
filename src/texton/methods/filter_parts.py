"""Parts: the filters of the layer before that a filter is made of, and that it is silenced by."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from texton.errors import TextonError
from texton.methods.method import Figure, Method, OnStep, Task
from texton.methods.options import Solving, option
from texton.methods.result import Result, Unit

if TYPE_CHECKING:
    from torch import Tensor

    from texton.evidence.format import Evidence
    from texton.methods.parts.composition import Contributions, Peak, Wiring
    from texton.network.network import Network

_PLACES = 16


@dataclass(frozen=True)
class PartsOptions(Solving):
    """Of ``texton parts``."""

    pictures: Path | None = option(
        None,
        "What excites the filters: evidence that `texton scan` made, a folder of pictures, or one "
        "picture.",
        also="--from",
        holds="evidence",
        named=True,
    )
    count: int = option(6, "How many parts that add, and that take away.", low=1, high=16)
    edge: int = option(128, "Long edge of the textures in pixels.", low=32, high=1024)

    preset: str = Solving.declared("preset", "fast")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.pictures is None:
            raise TextonError(
                "name --from: evidence that `texton scan` made, a folder of pictures, or a picture"
            )


def parts(
    network: Network, layer: str, channel: int, pictures: Path | str, **options: Any
) -> Result:
    """What a filter is made of, as textures with their kernels.

    The contributions of all its inputs are in ``settings["parts"]``, by channel.

    Args:
        pictures: an evidence folder, a folder of pictures, or one.
        options: ``count``, ``edge``, ``preset``, ``steps``, ``seed``.

    Raises:
        TextonError: a layer that does not come from one convolution; no such pictures; none that
            excites the filter.
    """
    device = options.pop("device", "auto")
    told = PartsOptions.of({"pictures": Path(pictures), **options})
    return next(make(Task(network, (Unit(layer, channel),), {}, told, device)))


def check(task: Task) -> None:
    """Refuse layers that do not come from one convolution, and evidence without them."""
    from texton.methods.parts.composition import wiring_of
    from texton.methods.parts.patching import check_source

    for layer in dict.fromkeys(unit.layer or "" for unit in task.units):
        wiring_of(task.network, layer)
    check_source(task, task.options.pictures)


def make(task: Task, on_step: OnStep | None = None) -> Iterator[Result]:
    """The parts of every unit, a filter of a layer."""
    from texton.methods.parts.composition import contributions, wiring_of
    from texton.network.codes import check_channel
    from texton.network.device import choose_compute

    for unit in task.units:
        if unit.channel is None:
            raise TextonError(f"{unit.layer} alone is no filter: name a channel")
        check_channel(task.network.layer(unit.layer or "").channels, unit.channel)
    check(task)
    compute = task.network.suited(choose_compute(task.device).exact())
    source = _source(task)
    for unit in task.units:
        started = time.perf_counter()
        layer, channel = unit.layer or "", unit.channel or 0
        wiring = wiring_of(task.network, layer)
        peaks = _peaks(task, source, layer, channel)
        found = contributions(task.network, wiring, channel, peaks, compute)
        yield _result(task, unit, wiring, found, peaks, started, on_step)


def _source(task: Task) -> Evidence | Tensor:
    """What a folder says of the layers, scanned or gathered now; or the one picture."""
    from texton.images.files import read_image
    from texton.methods.parts.patching import open_evidence

    source, size = task.options.pictures, task.size or METHOD.size
    layers = list(dict.fromkeys(unit.layer or "" for unit in task.units))
    if not source.is_dir():
        needs = task.network.intake(layers).told()
        return read_image(source, size, channels=task.network.channels, **needs)
    return open_evidence(source, task.network, layers, size, task.device)


def _peaks(task: Task, source: Evidence | Tensor, layer: str, channel: int) -> list[Peak]:
    """The places that excite a filter most, one a picture; those that have vanished left out."""
    from texton.evidence.format import Evidence
    from texton.methods.parts.composition import strongest_places
    from texton.network.device import choose_compute

    if not isinstance(source, Evidence):
        compute = task.network.suited(choose_compute(task.device))
        found = strongest_places(task.network, layer, [channel], [source], compute)[channel]
        return [peak for _, peak in found]
    places = source.layer(layer).places(channel)[:_PLACES]
    read = source.still_there(places)
    return [(image, place.row, place.column) for place, image in read]


def _result(
    task: Task,
    unit: Unit,
    wiring: Wiring,
    found: Contributions,
    peaks: Sequence[Peak],
    started: float,
    on_step: OnStep | None,
) -> Result:
    from texton.images.files import as_saved
    from texton.methods.parts.parts_sheet import draw_parts
    from texton.methods.parts.tuning_plot import as_image

    count, network = task.options.count, task.network
    adding, taking = found.adding[:count], found.taking[:count]
    photo = network.intake([wiring.layer]).fitted(peaks[0][0], task.options.edge)
    textures = _textures(task, wiring.source, [*adding, *taking], photo, on_step)
    own = _textures(task, wiring.layer, [found.channel], photo, on_step)[found.channel]
    rows = [
        [_part(wiring, found, channel, textures[channel]) for channel in row]
        for row in (adding, taking)
    ]
    whole = [(f"{unit.layer}:{unit.channel}", own), ("excited most", _seen(task, unit, *peaks[0]))]
    sheet = draw_parts(whole, rows[0], rows[1], count, network.bands)
    image = as_saved(as_image(sheet))
    strengths = wiring.strengths[found.channel]
    listed = [
        {"channel": c, "adds": found.of(c), "weight": float(strengths[c - found.inputs.start])}
        for c in (*found.adding, *reversed(found.taking))
    ]
    figures = {
        "half": float(found.for_half()),
        "against": found.taken / found.added if found.added else None,
        "inputs": float(len(found.inputs)),
    }
    seconds = time.perf_counter() - started
    recorded = {**_recorded(task), "reads": wiring.source or "the image", "parts": listed}
    return Result(image, unit, figures, seconds, settings=recorded)


def _part(wiring: Wiring, found: Contributions, channel: int, texture: Tensor) -> Any:
    from texton.methods.parts.parts_sheet import Part

    name = f"{wiring.source}:{channel}" if wiring.source else f"channel {channel}"
    kernel = wiring.weight[found.channel, channel - found.inputs.start]
    return Part(name, texture, kernel, found.of(channel) / max(found.added, 1e-12))


def _textures(
    task: Task, layer: str, channels: Sequence[int], photo: Tensor, on_step: OnStep | None
) -> dict[int, Tensor]:
    """What the inputs extract from the photograph; of the image itself, its channels."""
    from texton.methods.feature_map_inversion import iter_filters
    from texton.methods.parts.parts_sheet import colour_tile

    if not layer:
        return {channel: colour_tile(channel, task.network.channels) for channel in channels}
    told = task.options
    solved = {"preset": told.preset, "steps": told.steps, "seed": told.seed, "device": task.device}
    found = iter_filters(photo, task.network, layer, channels, on_step=on_step, **solved)
    return {result.channel or 0: result.image for result in found}


def _seen(task: Task, unit: Unit, image: Tensor, row: int, column: int) -> Tensor:
    """What of a picture excites the filter most: as much as one unit sees, (C, h, w)."""
    from texton.network.placing import placing

    layer = task.network.layer(unit.layer or "")
    height, width = image.shape[2:]
    code = math.ceil(height / layer.strides[0]), math.ceil(width / layer.strides[1])
    centre = placing(task.network, layer.name, (height, width), code).pixel(row, column)
    side = min(layer.receptive_field or max(height, width), height, width)
    top, left = (
        min(max(round(at - (side - 1) / 2), 0), most - side)
        for at, most in zip(centre, (height, width), strict=True)
    )
    return image[0, :, top : top + side, left : left + side]


def _recorded(task: Task) -> dict[str, Any]:
    import torch

    from texton.version import __version__

    told = {"texton": __version__, "torch": torch.__version__, "method": METHOD.name}
    options = task.options.as_json()
    return {**told, **task.network.describe(), "seed": options.pop("seed"), "options": options}


METHOD = Method(
    name="parts",
    title="The filters of the layer before that a filter is made of",
    caption="What {unit} is made of",
    axes=("layer", "channel"),
    options=PartsOptions,
    figures=(
        Figure(
            "half",
            "For half",
            "How many filters of the layer before add half of all that is added, where the filter "
            "is excited most: few make a filter that is assembled of few parts.",
            digits=0,
        ),
        Figure(
            "against",
            "Taken away",
            "What the others take away there, of all that is added.",
            "percent",
            0,
        ),
        Figure("inputs", "Inputs", "How many filters it reads.", digits=0, shown=False),
    ),
    make=make,
    check=check,
    about="Each part as its texture, with its kernel below (orange adds, blue takes away) and what "
    "it adds or takes away where the filter is excited most, of all that is added.",
    suffix="parts",
)
