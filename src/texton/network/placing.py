"""Where in an image the units of a code lie: what a resized map only roughly says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from texton.network.hooks import CALL
from texton.network.layers import Layer
from texton.network.network import Network

Pair = tuple[float, float]


@dataclass(frozen=True)
class Placing:
    """Of rows and of columns: unit i is centred on pixel ``first + i·stride`` of the image.

    Attributes:
        first: in pixels; a pixel's own centre is a whole number, so a unit that sees two lies
            half between them. Zero padding brings it left of what a unit sees within the image.
        strides: pixels between neighbours.
        exact: False where units see the whole image and nothing but that: they are taken to
            lie in it evenly.
    """

    first: Pair
    strides: Pair
    exact: bool = True

    def pixel(self, row: int, column: int) -> Pair:
        """The row and column of pixels that a unit is centred on."""
        y, x = ((i, at) for i, at in enumerate((row, column)))
        return self._centre(*y), self._centre(*x)

    def nearest(self, y: float, x: float, rows: int, columns: int) -> tuple[int, int]:
        """The row and column of the unit whose centre is nearest to a pixel."""
        places = (
            round((at - first) / stride)
            for at, first, stride in zip((y, x), self.first, self.strides, strict=True)
        )
        row, column = places
        return min(max(row, 0), rows - 1), min(max(column, 0), columns - 1)

    def _centre(self, axis: int, index: int) -> float:
        return self.first[axis] + index * self.strides[axis]


_KNOWN: WeakKeyDictionary[Network, dict[str, Placing | None]] = WeakKeyDictionary()


def placing(network: Network, layer: str, image: tuple[int, int], code: tuple[int, int]) -> Placing:
    """Where a layer's units lie in an image.

    Added up along a plain chain of convolutions and pools; else measured, as receptive fields
    are, gates over the whole image (squeeze and excitation) left aside.

    Args:
        image, code: their rows and columns, for units of which nothing is to be had.

    Raises:
        TextonError: an unknown layer.
    """
    found = network.layer(layer)
    known = _KNOWN.setdefault(network, {})
    if layer not in known:
        known[layer] = _added_up(network, found) or _measured(network, found)
    if (placed := known[layer]) is not None:
        return placed
    strides = tuple(pixels / units for pixels, units in zip(image, code, strict=True))
    y, x = strides
    return Placing(((y - 1) / 2, (x - 1) / 2), (y, x), exact=False)


def _added_up(network: Network, layer: Layer) -> Placing | None:
    """Along the way to a layer; None where that is no plain chain of modules."""
    if layer.receptive_field is None or layer.measured:
        return None
    first, strides = [0.0, 0.0], [1.0, 1.0]
    try:
        parts = list(_way(network, layer))
    except AttributeError:  # the module calls its parts by other names
        return None
    for part in parts:
        if not isinstance(part, (nn.Conv2d, nn.AvgPool2d, nn.MaxPool2d)):
            continue
        if isinstance(part, nn.Conv2d) and type(part).forward is not nn.Conv2d.forward:
            return None  # one that pads by itself
        for axis in (0, 1):
            first[axis] += _shift(part, axis) * strides[axis]
            strides[axis] *= _of(part.kernel_size if part.stride is None else part.stride, axis)
    return Placing((first[0], first[1]), (strides[0], strides[1]))


def _way(network: Network, layer: Layer) -> Iterator[nn.Module]:
    """The modules from the image to a layer."""
    names = [layer.name]
    while (source := network.layers[names[-1]].source) in network.layers:
        names.append(source)
    for name in reversed(names):
        yield network.module.get_submodule(name.partition(CALL)[0])


def _shift(part: Any, axis: int) -> float:
    """By how many of its own inputs a module's first unit lies right of the first of them."""
    reach = (_of(part.kernel_size, axis) - 1) * _of(getattr(part, "dilation", 1), axis)
    if isinstance(part.padding, str):
        return reach / 2 - (reach // 2 if part.padding == "same" else 0)
    return reach / 2 - _of(part.padding, axis)


def _of(value: Any, axis: int) -> int:
    return int(value[min(axis, len(value) - 1)]) if isinstance(value, (tuple, list)) else int(value)


def _measured(network: Network, layer: Layer) -> Placing | None:
    firsts = []
    with _Ungated():
        for axis in (2, 3):  # padding may be lopsided in one of them
            if (centre := network.edges(layer.name, axis).centre()) is None:
                return None
            firsts.append(centre)
    return Placing((firsts[0], firsts[1]), layer.strides)


class _Ungated(TorchFunctionMode):
    """Means over the whole image are numbers: that they see all of it is no unit's place."""

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        output = function(*args, **(kwargs or {}))
        name = getattr(function, "__name__", "")
        if not isinstance(output, Tensor) or name not in _MEANS:
            return output
        return output.nan_to_num() if output.ndim == 2 or output.shape[2:] == (1, 1) else output


_MEANS = frozenset({"mean", "amax", "adaptive_avg_pool2d", "adaptive_max_pool2d", "avg_pool2d"})
