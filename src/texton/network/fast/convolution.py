"""Convolutions of a frozen network: only the image has a gradient, and the weights never change.

That allows what torch's own cannot do: a gradient that keeps nothing, weights laid out once for
the CPU library instead of in every call, the rectifier that follows in the same pass, and a quick
way to the gradient of an image of few channels.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from texton.network.fast.rectified import rectified_in_place, rectified_slope
from texton.network.hooks import has_slope, is_looked_into
from texton.network.marks import is_rectified

Way = Callable[[Tensor], Tensor]

LARGE = 1 << 25  # elements of a code: above it, nothing is kept that can be made anew
_SMALL = 1 << 18  # weights that are always laid out: together they take no memory to speak of
_VECTOR = 16  # floats that a CPU's vector holds, of which an image's channels fill three


class LeanConv2d(nn.Conv2d):
    """A convolution with frozen weights, by the quickest way for what enters it."""

    def forward(self, input: Tensor) -> Tensor:
        if not self.is_plain():
            return super().forward(input)
        leaner = self._paints(input) or input.numel() >= LARGE
        if self._packs(input) or (leaner and has_slope(input)):
            return self._run(input, rectifies=False)
        return super().forward(input)

    def rectified(self, input: Tensor) -> Tensor | None:
        """The code of the rectifier that follows, where the library gives it in one pass.

        NaN comes out as 0. Large codes take a pass of their own: in its gradient two slopes are
        held at a time, in that of both three.
        """
        if is_looked_into(self) or not self.is_plain():
            return None
        if has_slope(input) and self._is_large(input):
            return None
        return self._run(input, rectifies=True) if self._suits_library(input) else None

    def takes(self, x: Tensor, rectifies: bool) -> bool:
        """Whether it gives what is asked, and the slope, in a way of its own."""
        return self._suits_library(x) and not self._is_large(x) and (rectifies or self._packs(x))

    def _is_large(self, x: Tensor) -> bool:
        return x.numel() * self.out_channels // self.in_channels >= LARGE

    def _run(self, x: Tensor, rectifies: bool) -> Tensor:
        if not has_slope(x):
            return self.product(x, rectifies)
        code: Tensor = _Convolution.apply(x, self, rectifies)
        return code

    def product(self, x: Tensor, rectifies: bool) -> Tensor:
        """The convolution itself, without a graph."""
        what = "rectified" if rectifies else "plain"
        return self._kept(what, _kind_of(x), lambda: self._way_there(x, rectifies))(x)

    def slope(self, outer: Tensor, inside: torch.Size, layout: torch.memory_format) -> Tensor:
        """The gradient to an input of that shape and format, from that to the output."""
        kind = (*_kind_of(outer), inside, layout)
        return self._kept("slope", kind, lambda: self._way_back(outer, inside, layout))(outer)

    def _way_there(self, x: Tensor, rectifies: bool) -> Way:
        """How inputs of this kind are convolved, whose weights are laid out for it here."""
        how = (self._pads, self._strides, self._dilations, self.groups)
        if self._suits_library(x) and (rectifies or self._packs(x)):
            packed = _pack(self.weight, *how, list(x.shape)) if self._packs(x) else self.weight
            return _library_way(packed, self.bias, how, rectifies)
        weight, bias = self.weight, self.bias

        def way(x: Tensor) -> Tensor:
            code = F.conv2d(x, weight, bias, how[1], how[0], *how[2:])
            return code.relu_() if rectifies else code

        return way

    def _way_back(self, outer: Tensor, inside: torch.Size, layout: torch.memory_format) -> Way:
        inner = torch.empty(inside, dtype=outer.dtype, device=outer.device, memory_format=layout)
        if self._paints(inner):
            return self._way_painted(outer, inside)
        if self._packs(inner) and self._suits_library(outer) and self._mirrors():
            reach = [d * (k - 1) for d, k in zip(self._dilations, self.kernel_size, strict=True)]
            padding = tuple(r - p for r, p in zip(reach, self._pads, strict=True))
            mirrored = (padding, self._strides, self._dilations, 1)
            packed = _pack(self._mirrored(), *mirrored, list(outer.shape))
            return _library_way(packed, None, mirrored, False)
        weight = self.weight
        how = (self._strides, self._pads, self._dilations, False, (0, 0), self.groups)

        def way(outer: Tensor) -> Tensor:
            inner = torch.empty(  # of which only the shape is read: its memory is never touched
                inside, dtype=outer.dtype, device=outer.device, memory_format=layout
            )
            only_inner = (True, False, False)
            slope: Tensor = torch.ops.aten.convolution_backward(
                outer, inner, weight, None, *how, only_inner
            )[0]
            return slope

        return way

    def is_plain(self) -> bool:
        """Whether it is what its class says: some networks put functions of their own into it."""
        return (
            self.padding_mode == "zeros"
            and not isinstance(self.padding, str)
            and not self.weight.requires_grad
            and "_conv_forward" not in vars(self)
        )

    @property
    def _pads(self) -> tuple[int, int]:
        assert not isinstance(self.padding, str)
        return pair(self.padding)

    @property
    def _strides(self) -> tuple[int, int]:
        return pair(self.stride)

    @property
    def _dilations(self) -> tuple[int, int]:
        return pair(self.dilation)

    def _packs(self, x: Tensor) -> bool:
        """Whether to keep the weights laid out, as torch does anew in every call.

        That takes a share of its time where they outweigh an image's code, by four times a
        twentieth; and what small ones take beside it shows in a small code's.
        """
        weighs = self.weight.numel()
        return (weighs <= _SMALL or weighs * len(x) >= 4 * x.numel()) and self._suits_library(x)

    def _suits_library(self, x: Tensor) -> bool:
        return (
            x.ndim == 4
            and x.numel() > 0
            and x.device.type == "cpu"
            and x.dtype == self.weight.dtype
            and x.is_contiguous(memory_format=torch.channels_last)
            and _has_library(x.dtype)
        )

    def _kept(self, what: str, kind: tuple[Any, ...], make: Callable[[], Way]) -> Way:
        """A way for inputs of a kind: the last is kept, for as long as the weights are the same."""
        kept: dict[str, _Kept] = self.__dict__.setdefault("_ways", {})
        version = -1 if self.weight.is_inference() else self.weight._version
        last = kept.get(what)
        if last is None or last.weight is not self.weight or last.of != (version, kind):
            last = kept[what] = _Kept(self.weight, (version, kind), make())
        return last.way

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_ways"}

    def _mirrors(self) -> bool:
        """Whether its gradient is a convolution of its own kind: with the weights mirrored."""
        reach = zip(self._dilations, self.kernel_size, self._pads, strict=True)
        fits = all(d * (k - 1) >= p for d, k, p in reach)
        return fits and self.groups == 1 and set(self._strides) == {1}

    def _mirrored(self) -> Tensor:
        mirrored = self.weight.detach().flip(2, 3).transpose(0, 1)
        return mirrored.contiguous(memory_format=torch.channels_last)

    def _paints(self, x: Tensor) -> bool:
        """Whether four pixels of its input fit into a vector, of which one fills a fraction."""
        return (
            4 * self.in_channels <= _VECTOR < self.out_channels
            and x.ndim == 4
            and x.device.type == "cpu"
            and min(self.kernel_size) > 1
            and set(self._dilations) == {1}
            and self._mirrors()
        )

    def _way_painted(self, outer: Tensor, inside: torch.Size) -> Way:
        """The slope in blocks of 2×2 pixels: a convolution of stride 2 that gives all four.

        Half the time of one that gives pixel after pixel.
        """
        height, width = inside[2:]
        odd = height % 2, width % 2  # then a pixel more is made at the front, and cut
        starts = zip(self.kernel_size, self._pads, odd, strict=True)
        down, across = (k - 1 - p + o for k, p, o in starts)
        how = ((down, across), (2, 2), (1, 1), 1)
        blocks = self._blocks()
        if self._suits_library(outer):
            in_blocks = _library_way(_pack(blocks, *how, list(outer.shape)), None, how, False)
        else:
            in_blocks = functools.partial(F.conv2d, weight=blocks, stride=2, padding=how[0])
        rows, columns = (height + 1) // 2, (width + 1) // 2
        four = (len(outer), self.in_channels, 2, 2, rows, columns)
        whole = (len(outer), self.in_channels, 2 * rows, 2 * columns)

        def way(outer: Tensor) -> Tensor:
            pixels = in_blocks(outer).view(four).permute(0, 1, 4, 2, 5, 3)
            return pixels.reshape(whole)[:, :, odd[0] :, odd[1] :]

        return way

    def _blocks(self) -> Tensor:
        """(C · 2 · 2, O, k + 1, k + 1): the mirrored weights, moved to each of the four pixels."""
        height, width = self.kernel_size
        shape = self.in_channels, 2, 2, self.out_channels, height + 1, width + 1
        blocks = self.weight.new_zeros(shape)
        for y in range(2):
            for x in range(2):
                blocks[:, y, x, :, y : y + height, x : x + width] = self._mirrored()
        return blocks.flatten(0, 2).contiguous(memory_format=torch.channels_last)


class _Kept(NamedTuple):
    weight: Tensor
    of: tuple[int, tuple[Any, ...]]
    way: Way


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, part: LeanConv2d, rectifies: bool) -> Tensor:
        ctx.part, ctx.shape, ctx.format = part, x.shape, format_of(x)
        code = part.product(x, rectifies)
        ctx.save_for_backward(code if rectifies else None, x if is_rectified(x) else None)
        return code

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        code, x = ctx.saved_tensors
        outer = slopes[0].contiguous(memory_format=ctx.format)
        if code is not None and not is_rectified(slopes[0]):
            outer = rectified_slope(outer, code)
        return rectified_in_place(ctx.part.slope(outer, ctx.shape, ctx.format), x), None, None


def pair(sides: int | Sequence[int]) -> tuple[int, int]:
    """As torch reads a kernel, a stride, a padding: one number is for both sides."""
    if isinstance(sides, int):
        return sides, sides
    return sides[0], sides[-1]


def format_of(x: Tensor) -> torch.memory_format:
    last = x.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if last else torch.contiguous_format


def _kind_of(x: Tensor) -> tuple[Any, ...]:
    return x.shape, x.dtype, x.device, x.is_contiguous(memory_format=torch.channels_last)


# What torch.compile calls for frozen weights. It has no public name: where it is missing, or has
# come to take other arguments, torch's own convolution does.


def _pack(weight: Tensor, *how: Any) -> Tensor:
    packed: Tensor = torch.ops.mkldnn._reorder_convolution_weight(weight, *how)
    return packed


def _library_way(weight: Tensor, bias: Tensor | None, how: tuple[Any, ...], rectifies: bool) -> Way:
    convolve = torch.ops.mkldnn._convolution_pointwise.default
    then: list[Any] = ["relu" if rectifies else "none", [], ""]

    def way(x: Tensor) -> Tensor:
        code: Tensor = convolve(x, weight, bias, *how, *then)
        return code

    return way


@functools.cache
def _has_library(dtype: torch.dtype) -> bool:
    here: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    if not here or dtype not in (torch.float32, torch.bfloat16):
        return False
    x = torch.linspace(-1, 1, 8 * 16).reshape(1, 8, 4, 4).to(dtype)
    x = x.contiguous(memory_format=torch.channels_last)
    weight = torch.linspace(-1, 1, 8 * 8 * 9).reshape(8, 8, 3, 3).to(dtype)
    how = (1, 1), (1, 1), (1, 1), 1
    try:
        with torch.no_grad():
            packed = _pack(weight, *how, list(x.shape))
            codes = [_library_way(w, None, how, True)(x) for w in (packed, weight)]
            wanted = F.conv2d(x, weight, None, 1, 1).relu()
    except (RuntimeError, AttributeError, TypeError, NotImplementedError):
        return False
    close = [torch.allclose(code.float(), wanted.float(), rtol=0.02, atol=0.1) for code in codes]
    return all(close)
