"""Which sizes of images a network takes, and what is said where it fails on one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from texton.errors import first_line
from texton.images.crop import cropped_planes, trimmed
from texton.images.planes import fit_planes
from texton.network.layers import Size, Trace

_DIVISORS = (2, 3, 4, 6, 7, 8, 12, 14, 16, 24, 28, 32, 48, 56, 64)
_ABOUT = 100  # pixels a side of what is tried
NEEDS = ("crop", "multiple")  # what `Intake.told` may tell


@dataclass(frozen=True)
class Intake:
    """Which images a network takes, as far as some of its layers.

    Attributes:
        only: the one size, (H, W); None where there are many.
        multiple: what both sides must be multiples of.
    """

    only: Size | None = None
    multiple: int = 1

    def told(self, crop: str = "auto") -> dict[str, Any]:
        """What `read_image` is told of a photograph, and what pictures record of it.

        Args:
            crop: ``auto``; ``square``, the middle for any network; ``none``, the whole.
        """
        if crop == "none":
            return {}
        if self.only is not None:
            return {"crop": list(self.only)}
        told: dict[str, Any] = {"crop": "square"} if crop == "square" else {}
        return told | ({"multiple": self.multiple} if self.multiple > 1 else {})

    def edge(self, wanted: int, crop: str = "auto") -> int:
        """The long edge of photographs, of one that is wanted; ``crop`` as in `told`."""
        return wanted if self.only is None or crop == "none" else max(self.only)

    def square(self, wanted: int) -> Size:
        """Rows and columns of a picture from nothing, of a side that is wanted: no more than it."""
        if self.only is not None:
            return self.only
        side = max(self.multiple, wanted - wanted % self.multiple)
        return side, side

    def near(self, size: Size) -> Size:
        """The size, or one that is near and taken."""
        if self.only is not None:
            return self.only
        rows, columns = (max(1, round(x / self.multiple)) * self.multiple for x in size)
        return (rows, columns) if self.multiple > 1 else size

    def fitted(self, image: Tensor, edge: int | None = None) -> Tensor:
        """An image (1, C, H, W) as it is taken, its long edge made smaller where it is longer."""
        if self.only is not None:
            whole = tuple(image.shape[2:]) == self.only
            return image if whole else cropped_planes(image, self.only)
        return trimmed(fit_planes(image, edge, enlarge=False), self.multiple)


def told_in(settings: Mapping[str, Any]) -> dict[str, Any]:
    """What `read_image` is told beside a size, of settings that have it among others."""
    return {key: settings[key] for key in (*NEEDS, "white") if settings.get(key) is not None}


class Sizes:
    """What is known of one network's sizes; what must be tried is tried once.

    Args:
        run: an image of that size as far as some layers: raises whatever the module does.
    """

    def __init__(
        self, name: str, trace: Trace, run: Callable[[Size, Sequence[str]], object]
    ) -> None:
        self._name, self._trace, self._run = name, trace, run
        self._multiples: dict[tuple[str, ...], int | None] = {}

    def only(self, layers: Iterable[str] | None = None) -> Size | None:
        """The only size whose images reach these layers, or all; None where many do."""
        names = self._trace.layers if layers is None else layers
        return self._trace.size if self._trace.fixed.intersection(names) else None

    def intake(self, layers: Iterable[str] | None = None) -> Intake:
        """What is taken on the way to these layers, or to all."""
        names = tuple(dict.fromkeys(self._trace.layers if layers is None else layers))
        if (only := self.only(names)) is not None:
            return Intake(only)
        fields = [self._trace.layers[name].receptive_field for name in names]
        if None not in fields or self._trace.resizes:  # convolutions and pools one by one
            return Intake()
        return Intake(None, self._multiple(names) or 1)

    def failure(self, size: Size, wanted: list[str], layers: list[str], error: Exception) -> str:
        """What is wrong with an image, as far as it is its size, and what to do.

        Args:
            wanted: what was asked for; ``layers`` are the layers that it is of.
        """
        only = self.only(layers)
        needed = max(self._trace.layers[name].stride for name in layers)
        if only is not None and only != size:
            return _of_one_size(self._name, size, only)
        if min(size) < needed:
            return _too_small(size, wanted, needed)
        number = self._multiple(tuple(dict.fromkeys(layers)))
        if number is not None and (size[0] % number or size[1] % number):
            return _no_multiple(self._name, size, number)
        return (
            f"{self._name} fails on {size[1]}×{size[0]} pixels before {', '.join(wanted)}, "
            f"try another size: {first_line(error)}"
        )

    def _multiple(self, layers: tuple[str, ...]) -> int | None:
        """What sides must be multiples of, to reach some layers; None where no number is found.

        Sides of one pixel more and of one less than a power of two stay odd, however often they
        are halved: what takes both takes any. Else a number is tried by two of its odd multiples,
        which are multiples of no power of two that it is not.
        """
        if layers not in self._multiples:
            about = max(_ABOUT, *self._trace.size)
            power = 1 << about.bit_length()
            numbers = (x for x in _DIVISORS if self._takes(layers, x, about))
            plain = self._works((power - 1, power + 1), layers)
            self._multiples[layers] = 1 if plain else next(numbers, None)
        return self._multiples[layers]

    def _takes(self, layers: Sequence[str], number: int, about: int) -> bool:
        odd = about // number | 1
        sides = (number * odd, number * (odd + 2))
        return all(self._works((side, side), layers) for side in sides)

    def _works(self, size: Size, layers: Sequence[str]) -> bool:
        try:
            self._run(size, layers)
        except Exception:  # noqa: BLE001 - a stranger's module may raise anything
            return False
        return True


def _too_small(size: Size, layers: Sequence[str], needed: int) -> str:
    """It has less pixels a side than lie between units of the layers."""
    rows, columns = size
    return (
        f"an image of {columns}×{rows} pixels is too small for {', '.join(layers)}: "
        f"it takes at least {needed} a side"
    )


def _of_one_size(name: str, size: Size, only: Size) -> str:
    rows, columns = only
    return (
        f"{name} takes images of {columns}×{rows} pixels alone, not of {size[1]}×{size[0]}: leave "
        f"--crop out, or read_image(…, crop=({rows}, {columns})), for the middle of a photograph"
    )


def _no_multiple(name: str, size: Size, number: int) -> str:
    """``name`` halves images so often that their sides must be multiples of a number."""
    return (
        f"{name} takes images whose sides are multiples of {number}, which {size[1]}×{size[0]} is "
        f"not: leave --crop out, or read_image(…, multiple={number}), to trim a photograph"
    )
