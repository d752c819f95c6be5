"""What one unit sees and how far apart its neighbours lie, added up along a chain of modules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from torch import nn

RECTIFIERS = (
    *(nn.ReLU, nn.Hardtanh, nn.GELU, nn.SiLU, nn.Hardswish, nn.ELU, nn.LeakyReLU, nn.Mish),
    *(nn.PReLU, nn.SELU, nn.CELU, nn.Softplus, nn.Threshold, nn.Hardsigmoid, nn.Sigmoid),
)
POOLS = (nn.AvgPool2d, nn.MaxPool2d)
STEPPING = (nn.Conv2d, *POOLS)
_PADDING = (nn.ConstantPad2d, nn.ReflectionPad2d, nn.ReplicationPad2d, nn.CircularPad2d)
_ELEMENTWISE = (*RECTIFIERS, nn.BatchNorm2d, nn.Dropout, nn.Dropout2d, nn.Identity)

Pair = tuple[int, int]


@dataclass(frozen=True)
class Geometry:
    """Of rows and of columns: how many pixels a unit sees, how many lie between neighbours."""

    fields: Pair = (1, 1)
    strides: Pair = (1, 1)

    def after(self, part: nn.Module) -> Geometry | None:
        """Behind a module; None where what it sees is not known from its kernel."""
        if isinstance(part, STEPPING):
            kernel, steps = pair(part.kernel_size), steps_of(part)
            dilation = pair(getattr(part, "dilation", 1))
            grown = (
                self.fields[axis] + (kernel[axis] - 1) * dilation[axis] * self.strides[axis]
                for axis in (0, 1)
            )
            apart = (self.strides[axis] * steps[axis] for axis in (0, 1))
            return Geometry((next(grown), next(grown)), (next(apart), next(apart)))
        return self if isinstance(part, _ELEMENTWISE) else None


class Strides:
    """Strides by extent, so that a sum or a concatenation has that of what is as large.

    What is larger than the image has a stride of less than a pixel.
    """

    def __init__(self, size: Sequence[int]) -> None:
        self._size = tuple(size)
        self._known: dict[tuple[int, int], Fraction] = {
            (axis, extent): Fraction(1) for axis, extent in enumerate(size)
        }

    def note(self, extents: Sequence[int], strides: Sequence[Fraction | int]) -> None:
        for axis in (0, 1):
            self._known[axis, extents[axis]] = Fraction(strides[axis])

    def after(
        self, part: nn.Module, before: Sequence[int], after: Sequence[int]
    ) -> tuple[Fraction, Fraction]:
        """A module's own, or that of what has the same extent, or by how much it shrinks."""
        found = [self._along(axis, part, before[axis], after[axis]) for axis in (0, 1)]
        return found[0], found[1]

    def _along(self, axis: int, part: nn.Module, before: int, after: int) -> Fraction:
        side = self._size[axis]
        guess = Fraction(side // before) if before <= side else Fraction(1, before // side)
        known = self._known.get((axis, before), guess)
        if isinstance(part, STEPPING):
            return known * steps_of(part)[axis]
        if isinstance(part, _PADDING):  # more units, as far apart
            return known
        ratio = known * before / after
        nice = Fraction(round(ratio)) if ratio >= 1 else Fraction(1, round(1 / ratio))
        return self._known.get((axis, after), nice)


def cuts(part: nn.Module) -> bool:
    """Whether it is a convolution of patches that do not overlap."""
    return isinstance(part, nn.Conv2d) and pair(part.kernel_size) == steps_of(part) != (1, 1)


def steps_of(part: Any) -> Pair:
    return pair(part.stride if part.stride is not None else part.kernel_size)


def pair(value: Any) -> Pair:
    """Of rows and columns, from one number or two."""
    return (value[0], value[-1]) if isinstance(value, (tuple, list)) else (int(value), int(value))
