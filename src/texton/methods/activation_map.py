"""Where on a photograph a filter fires: its feature map, laid over the pixels it belongs to."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from texton.methods.method import Figure, Method, OnStep, Task
from texton.methods.options import Options, option
from texton.methods.result import Result, Status, Unit

if TYPE_CHECKING:
    from torch import Tensor

    from texton.network.network import Network


@dataclass(frozen=True)
class MapOptions(Options):
    """Of ``texton map``."""

    overlay: bool = option(False, "Over the photograph, in grey.", named=True)
    signs: str = option(
        "positive",
        "positive: what excites; both: what is below 0 too, in blue.",
        choices=("positive", "both"),
        named=True,
    )
    scale: str = option(
        "own",
        "The last colour stands for the map's own maximum, or for the layer's.",
        choices=("own", "layer"),
        named=True,
    )
    cells: bool = option(False, "Each position as a square, not faded.", named=True)
    bare: bool = option(False, "Without the scale and the ring around the maximum.", named=True)


def activation_map(
    image: Tensor, network: Network, layer: str, channel: int, **options: Any
) -> Result:
    """Where on a photograph (1, C, H, W) a filter fires, as a picture of three channels.

    Args:
        options: of `MapOptions`; ``device``.

    Raises:
        TextonError: an unknown layer, channel or option, a photograph too small for the layer.
    """
    return METHOD.picture(image, network, layer, channel, **options)


def make(task: Task, on_step: OnStep | None = None) -> Iterator[Result]:
    """A map for every unit; a photograph goes through the network once for a layer's filters."""
    for _, group in groupby(task.units, key=lambda x: (x.layer, x.photo)):
        yield from _of_one_layer(task, list(group))


def _of_one_layer(task: Task, wanted: list[Unit]) -> Iterator[Result]:
    from texton.images.files import as_saved
    from texton.methods.parts.mapping import Drawing, LayerMaps
    from texton.methods.parts.record import channel_of, described
    from texton.methods.parts.setup import check_photo
    from texton.network.codes import check_channel
    from texton.network.device import choose_compute

    image, layer, told = task.photo(wanted[0]), wanted[0].layer or "", task.options
    check_photo(image, task.network)
    for unit in wanted:
        check_channel(task.network.layer(layer).channels, channel_of(unit))
    started = time.perf_counter()
    compute = choose_compute(task.device).exact()
    maps = LayerMaps(image, task.network, layer, compute)
    common, signed = told.scale == "layer", told.signs == "both"
    how = Drawing(told.overlay, signed, common, told.cells, told.bare)
    for unit in wanted:
        drawn = maps.draw(channel_of(unit), how)
        settings = described(METHOD.name, task, unit, compute)
        figures = {
            "maximum": drawn.maximum,
            "x": drawn.pixel[1],
            "y": drawn.pixel[0],
            "active": drawn.active,
            "mean": drawn.mean,
            "row": float(drawn.cell[0]),
            "column": float(drawn.cell[1]),
        }
        seconds = time.perf_counter() - started
        status: Status = "dead" if drawn.silent else "ok"
        yield Result(as_saved(drawn.image), unit, figures, seconds, status, settings)
        started = time.perf_counter()


METHOD = Method(
    name="map",
    title="Where on a photograph a filter fires",
    caption="Where {unit} fires on {photo}",
    axes=("photo", "layer", "channel"),
    options=MapOptions,
    figures=(
        Figure("maximum", "Strongest", "The largest activation.", digits=1, better="high"),
        Figure("x", "x", "The pixel that its receptive field is centred on.", digits=1),
        Figure("y", "y", "The same, from the top.", digits=1),
        Figure("active", "Active", "The share of positions above 0.", "percent", 1),
        Figure("mean", "Mean", "The mean over all positions, of both signs.", digits=2),
        Figure("row", "Row", "The position of the largest, in the map.", digits=0, shown=False),
        Figure("column", "Column", "The same, from the left.", digits=0, shown=False),
    ),
    make=make,
    about="Every position of the map stands at the pixel that its receptive field is centred on.",
    suffix="map",
)
