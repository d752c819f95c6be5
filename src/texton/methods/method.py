"""What a method is: what it takes, what it may be told, and which figures its pictures have.

This file and the head of every method's own declare; they import no torch, so that a command line
can be read, and a mistake in it told, before anything heavy is loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from texton.methods.options import Options
from texton.methods.result import Result, Unit

if TYPE_CHECKING:
    from torch import Tensor

    from texton.network.network import Network
    from texton.solve.solver import Step

Axis = Literal["photo", "layer", "channel"]
OnStep = Callable[["Step"], None]


_LONG = 1e7  # figures from here on would fill the line with digits


@dataclass(frozen=True)
class Figure:
    """A number that every picture of a method has: how it is called, shown and compared.

    Attributes:
        key: in results, sidecars and JSON.
        show: ``percent``, or a plain ``number``; with so many ``digits`` after the point.
        better: which end is the good one; None where neither is.
        shown: whether people see it, or only programs.
    """

    key: str
    label: str
    help: str
    show: Literal["number", "percent"] = "number"
    digits: int = 3
    better: Literal["low", "high"] | None = None
    shown: bool = True

    def text(self, value: Any) -> str:
        """As people read it: ``0.812``, ``15.1 %``, ``3.1e+08``; a dash where it is no number."""
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return "–"
        if self.show == "percent":
            return f"{100 * value:.{self.digits}f} %"
        return f"{value:.{self.digits}f}" if abs(value) < _LONG else f"{value:.3g}"


@dataclass(frozen=True, eq=False)
class Task:
    """Pictures that are wanted of a method, on one device.

    Attributes:
        units: the pictures wanted; results come in this order.
        photos: (1, C, H, W) in [0, 1], by the names that units give.
        options: the method's own.
        check: refuses a task before anything is made of it, as an atlas asks of all its units.
        size: the long edge that the photographs were read at; None where nobody said.
        white: the value that is white in files of their kind; None where nobody said.
        needs: what the network's images must be, as `read_image` is told it; see `Intake.told`.
    """

    network: Network
    units: tuple[Unit, ...]
    photos: Mapping[str | None, Tensor] = field(default_factory=dict)
    options: Any = None
    device: str = "auto"
    size: int | None = None
    white: float | None = None
    needs: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        image: Tensor,
        network: Network,
        options: Options,
        layer: str | None = None,
        channels: Sequence[int | None] = (None,),
        device: str = "auto",
    ) -> Task:
        """Pictures of one photograph that has no name."""
        units = tuple(Unit(layer, channel) for channel in channels)
        return cls(network, units, {None: image}, options, device)

    def photo(self, unit: Unit) -> Tensor:
        """The photograph of a unit, (1, C, H, W)."""
        return self.photos[unit.photo]

    def picture(self, named: Any) -> Tensor:
        """An option's picture, (1, C, H, W): itself, or read from a file at the task's size.

        Raises:
            TextonError: it cannot be read.
        """
        from texton.images.files import read_image

        if not isinstance(named, (str, Path)):
            return named  # type: ignore[no-any-return]
        told = {"white": self.white, **self.needs}
        return read_image(named, self.size, channels=self.network.channels, **told)


Named = Callable[[Any, "Network", Sequence[str]], "Sequence[Unit] | None"]
Make = Callable[[Task, "OnStep | None"], Iterator["Result"]]


@dataclass(frozen=True)
class Method:
    """One way to make pictures; its command, Python, atlas and pages follow from it.

    Attributes:
        name: the command's, and the atlas's.
        title: one line: what its pictures show.
        caption: under a picture; ``{unit}`` and ``{photo}`` are filled in.
        axes: what tells its pictures apart: a photograph, a layer, a channel.
        options: its declaration; every field has help, bounds, choices (see `options.option`).
        make: results of a task, one after the other as they are made. What it imports beyond
            declarations it imports inside.
        named: units that a command's options name, of options, network and what else was said
            (LAYER:CHANNELS, which may then be left out); None where these options name none.
        animation: the ending of an animation that its options ask for beside a picture, or "".
        size: the long edge that its photographs are read at where nobody says; 0: its pictures have
            a size of their own.
        takes_pictures: a picture may be named in a filter's place: its unit has a path for a photo,
            and neither layer nor channel.
        keeps_alpha: its pictures are as opaque as their photographs, by its option ``alpha``.
        takes_frames: its photograph may be a row of frames, each begun from the picture before by
            its option ``start``.
        about: what ``--help`` says below the title.
        suffix: what the default names of its files end in.
    """

    name: str
    title: str
    caption: str
    axes: tuple[Axis, ...]
    options: type[Options]
    figures: tuple[Figure, ...]
    make: Make
    check: Callable[[Task], None] | None = None
    named: Named | None = None
    animation: Callable[[Any], str] | None = None
    size: int = 224
    takes_pictures: bool = False
    keeps_alpha: bool = False
    takes_frames: bool = False
    about: str = ""
    suffix: str = ""

    def picture(
        self,
        image: Tensor,
        network: Network,
        layer: str | None = None,
        channel: int | None = None,
        *,
        device: str = "auto",
        on_step: OnStep | None = None,
        **options: Any,
    ) -> Result:
        """One picture, from Python: of a photograph (1, C, H, W), a layer, or a filter.

        Raises:
            TextonError: an unknown option or one out of range; else what the method raises.
        """
        told = self.options.of(options)
        task = Task.of(image, network, told, layer, (channel,), device)
        return next(iter(self.make(task, on_step)))

    def figure(self, key: str) -> Figure:
        """The declared figure of that key; KeyError if there is none."""
        return next(x for x in self.figures if x.key == key)

    def shown(self) -> tuple[Figure, ...]:
        """The figures that people see."""
        return tuple(x for x in self.figures if x.shown)


SECONDS = Figure("seconds", "Seconds", "What it took to solve.", digits=1, shown=False)
ERROR = Figure(
    "error",
    "Error",
    "‖code − target‖² / ‖target‖² of the picture as saved, in float32; 0.5 to 0.99 is normal "
    "for a filter, whose target no image reaches.",
    better="low",
)


def without_axes(method: Method, unit: Unit) -> Unit:
    """A unit of an atlas as its method knows it: without what stands for axes that it has not."""
    missing = [axis for axis in ("photo", "layer", "channel") if axis not in method.axes]
    return replace(unit, **dict.fromkeys(missing))


STEPS = Figure("steps", "Steps", "Evaluations of the network.", digits=0, shown=False)
STARTS = Figure("starts", "Starts", "How many beginnings they hold.", digits=0, shown=False)
