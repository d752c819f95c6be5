"""A picture cut into tiles whose codes, put together, are the picture's own.

A tile is read with as much around it as the layers see, and begins at a multiple of their strides:
of its code the part that belongs to the tile alone is what the whole picture's code has there, the
padding at the picture's own edges included.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from texton.errors import TextonError

if TYPE_CHECKING:
    from texton.network.network import Network


@dataclass(frozen=True)
class Span:
    """Of one axis: what is read, and what of it is the tile's own; multiples of every stride but
    at the picture's end."""

    reads: slice
    owns: slice

    def own(self, stride: int, last: bool) -> slice:
        """The tile's own units, among those of what is read."""
        first = (self.owns.start - self.reads.start) // stride
        return slice(first, None if last else (self.owns.stop - self.reads.start) // stride)

    def among_all(self, stride: int, last: bool) -> slice:
        """The same among those of the whole picture."""
        return slice(self.owns.start // stride, None if last else self.owns.stop // stride)


@dataclass(frozen=True)
class Tile:
    """One tile of a picture."""

    rows: Span
    columns: Span
    lowest: bool
    rightmost: bool

    def of(self, image: Tensor) -> Tensor:
        """What is read: (…, H, W) → (…, h, w), a view."""
        return image[..., self.rows.reads, self.columns.reads]

    def own(self, code: Tensor, stride: int) -> Tensor:
        """Of the code of what is read, the tile's own part."""
        rows = self.rows.own(stride, self.lowest)
        return code[..., rows, self.columns.own(stride, self.rightmost)]

    def among_all(self, code: Tensor, stride: int) -> Tensor:
        """Of the whole picture's code, or something of its size, the tile's own part."""
        rows = self.rows.among_all(stride, self.lowest)
        return code[..., rows, self.columns.among_all(stride, self.rightmost)]


class Tiling:
    """How pictures of any size are cut for some layers of a network.

    Args:
        side: pixels a side that are a tile's own, about.

    Raises:
        TextonError: no tile has the whole picture's code, as the layers see all of it, or it is
            not known what they see, or their units do not lie on a grid of whole pixels.
    """

    def __init__(self, network: Network, layers: Iterable[str], side: int) -> None:
        names = list(dict.fromkeys(layers))
        self.strides: dict[str, int] = {}
        for name in names:
            self.strides[name] = whole_stride(network, name)
        self._step = math.lcm(*self.strides.values())
        self._side = max(self._step, side // self._step * self._step)
        self._reach = [_reach(network, names, axis, self.strides, self._step) for axis in (2, 3)]

    def tiles(self, size: Sequence[int]) -> Iterator[Tile]:
        """Those of a picture of that (height, width), row by row."""
        rows, columns = (self._spans(size[i], *self._reach[i]) for i in (0, 1))
        for row in rows:
            for column in columns:
                yield Tile(row, column, row is rows[-1], column is columns[-1])

    def _spans(self, length: int, before: int, after: int) -> list[Span]:
        count = -(-length // self._side)
        side = -(-length // (count * self._step)) * self._step
        spans = []
        for first in range(0, length, side):
            last = min(first + side, length)
            reads = slice(max(0, first - before), min(length, last + after))
            spans.append(Span(reads, slice(first, last)))
        return spans


def whole_stride(network: Network, name: str) -> int:
    """How many pixels lie between neighbours of a layer's code.

    Raises:
        TextonError: no whole number, or more in a column than in a row.
    """
    across, down = network.layer(name).strides
    if across != down or across < 1 or across != int(across):
        raise TextonError(
            f"'{name}' has units that do not lie on a grid of whole pixels, as tiles and masks "
            "need it: choose other layers"
        )
    return int(across)


def _reach(
    network: Network, names: list[str], axis: int, strides: dict[str, int], step: int
) -> tuple[int, int]:
    """How far what units see reaches beyond a tile's first and last pixel, in whole steps."""
    if network.resizes or network.intake(names).only is not None:
        raise _no_tiles(names[0], "the network takes images of one size")
    before = after = 0
    for name, edges in network.edges_of(names, axis).items():
        if (widest := edges.widest()) is None or edges.phases != 1:
            raise _no_tiles(name, "it sees the whole picture, or nobody knows how much of it")
        before = max(before, -edges.begins)
        after = max(after, edges.begins + widest - strides[name])
    return -(-before // step) * step, -(-after // step) * step


def _no_tiles(layer: str, why: str) -> TextonError:
    return TextonError(
        f"'{layer}' cannot be solved for in tiles ({why}): choose other layers, or a smaller --size"
    )
