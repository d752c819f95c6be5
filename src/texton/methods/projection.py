"""What in a photograph an activation hangs on, sent back to the pixels."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from texton.errors import TextonError
from texton.methods.method import Figure, Method, OnStep, Task
from texton.methods.options import Options, option
from texton.methods.result import Result, Status, Unit
from texton.reading import decimal_number

if TYPE_CHECKING:
    from torch import Tensor

    from texton.network.network import Network

STRONGEST = "max"


@dataclass(frozen=True)
class ProjectOptions(Options):
    """Of ``texton project``."""

    rule: str = option(
        "guided",
        "What rectifiers let back: guided; gradient; deconv (of vgg19 with max pooling, whose "
        "switches are all it knows of the photograph); template (deconv with average pooling: "
        "the same for every photograph).",
        choices=("deconv", "guided", "gradient", "template"),
        named=True,
    )
    at: str = option(
        STRONGEST, "From the strongest position (max), or that nearest to pixel X,Y.", named=True
    )
    zoom: bool = option(
        False, "Cut at the effective field, which holds 95 %, and enlarged.", named=True
    )
    grey: bool = option(False, "How strong it is at each pixel, not in which colours.", named=True)
    beside: bool = option(False, "The photograph's own pixels left of it.", named=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.pixel()

    def pixel(self) -> tuple[float, float] | None:
        """(x, y) of ``at``; None of the strongest.

        Raises:
            TextonError: it is neither.
        """
        if self.at == STRONGEST:
            return None
        try:
            x, y = (decimal_number(word.strip()) for word in self.at.split(","))
        except ValueError:
            raise TextonError(f"at is '{self.at}': give max, or a pixel like 120,64") from None
        return x, y


def projection(image: Tensor, network: Network, layer: str, channel: int, **options: Any) -> Result:
    """What in a photograph (1, C, H, W) an activation hangs on, as a picture of three channels.

    `project` gives the numbers, of many images and filters at once.

    Args:
        options: of `ProjectOptions`; ``device``.

    Raises:
        TextonError: an unknown layer, channel or option; a photograph that is too small;
            rectifiers for which the rule is not defined.
    """
    return METHOD.picture(image, network, layer, channel, **options)


def make(task: Task, on_step: OnStep | None = None) -> Iterator[Result]:
    """A projection for every unit; a layer's filters share the way up."""
    for _, group in groupby(task.units, key=lambda x: (x.layer, x.photo)):
        yield from _of_one_layer(task, list(group))


def _of_one_layer(task: Task, wanted: list[Unit]) -> Iterator[Result]:
    from texton.images.files import as_saved
    from texton.methods.parts import projected
    from texton.methods.parts.projecting import Projector
    from texton.methods.parts.record import channel_of, described
    from texton.methods.parts.setup import check_photo

    image, network, told = task.photo(wanted[0]), task.network, task.options
    check_photo(image, network)
    started = time.perf_counter()
    channels = [channel_of(unit) for unit in wanted]
    projector = Projector(network, wanted[0].layer or "", told.rule, task.device)
    seen = projector.look(image)
    at = told.pixel()
    cells = None if at is None else seen.nearest(*at)
    pooling = {} if projector.pooling is None else {"pooling": projector.pooling}
    how = {"zoom": told.zoom, "grey": told.grey, "beside": told.beside}
    for unit, channel in zip(wanted, channels, strict=True):
        one = seen.project([channel], cells)
        centre = seen.centre(one.cells[0])
        picture = projected.drawn(one.slopes[0], image[0], centre, network.bands, **how)
        figures = {
            "value": float(one.values[0]),
            "x": centre[1],
            "y": centre[0],
            "field": float(projected.effective_side(one.slopes[0], centre)),
            "row": float(one.cells[0, 0]),
            "column": float(one.cells[0, 1]),
        }
        settings = {**described(METHOD.name, task, unit, projector.compute), **pooling}
        status: Status = "ok" if one.slopes.any() else "dead"
        seconds = time.perf_counter() - started
        yield Result(as_saved(picture), unit, figures, seconds, status, settings)
        started = time.perf_counter()


METHOD = Method(
    name="project",
    title="What in a photograph a filter's activation hangs on",
    caption="What {unit} hangs on in {photo}",
    axes=("photo", "layer", "channel"),
    options=ProjectOptions,
    figures=(
        Figure("value", "Activation", "What is sent back.", digits=1, better="high"),
        Figure("x", "x", "The pixel that its receptive field is centred on.", digits=1),
        Figure("y", "y", "The same, from the top.", digits=1),
        Figure(
            "field", "Field", "Side of the square that holds 95 % of the projection, px.", digits=0
        ),
        Figure("row", "Row", "Its position in the map.", digits=0, shown=False),
        Figure("column", "Column", "The same, from the left.", digits=0, shown=False),
    ),
    make=make,
    about="Colours around mid-grey: brighter where more of a colour would excite the filter more.",
    suffix="project",
)
