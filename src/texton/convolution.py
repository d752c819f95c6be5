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

from texton.rectified import is_rectified

LARGE = 1 << 25  # elements of a code: above it, nothing is kept that can be made anew
_VECTOR = 16  # floats that a CPU's vector holds, of which an image's channels fill three


class LeanConv2d(nn.Conv2d):
    """A convolution with frozen weights, by the quickest way for what enters it."""

    def forward(self, input: Tensor) -> Tensor:
        if not self._is_plain():
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
        if is_watched(self) or self._forward_hooks or not self._is_plain():
            return None
        is_large = input.numel() * self.out_channels // self.in_channels >= LARGE
        if is_large and has_slope(input):
            return None
        return self._run(input, rectifies=True) if self._suits_library(input) else None

    def _run(self, x: Tensor, rectifies: bool) -> Tensor:
        if not has_slope(x):
            return self.product(x, rectifies)
        code: Tensor = _Convolution.apply(x, self, rectifies)
        return code

    def product(self, x: Tensor, rectifies: bool) -> Tensor:
        """The convolution itself."""
        how = (self._pads, self._strides, self._dilations, self.groups)
        if self._packs(x):
            packed = self._packed("there", how, x)
            return _library_convolution(x, packed, self.bias, how, rectifies)
        if rectifies:
            return _library_convolution(x, self.weight, self.bias, how, True)
        return F.conv2d(x, self.weight, self.bias, how[1], how[0], *how[2:])

    def slope(self, outer: Tensor, inner: Tensor) -> Tensor:
        """The gradient to the input, from that to the output; of ``inner`` the shape is read."""
        if self._paints(inner):
            return self._painted(outer, inner)
        if self._packs(inner) and self._mirrors():
            reach = [d * (k - 1) for d, k in zip(self._dilations, self.kernel_size, strict=True)]
            padding = tuple(r - p for r, p in zip(reach, self._pads, strict=True))
            how = (padding, self._strides, self._dilations, 1)
            packed = self._packed("back", how, outer)
            return _library_convolution(outer, packed, None, how, False)
        slope: Tensor = torch.ops.aten.convolution_backward(
            outer, inner, self.weight, None, self._strides, self._pads, self._dilations,
            False, (0, 0), self.groups, (True, False, False),
        )[0]  # fmt: skip
        return slope

    def _is_plain(self) -> bool:
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
        """Whether laying out the weights, as torch does in every call, takes a share of its time.

        It does where they outweigh an image's code: by four times they take a twentieth.
        """
        return self.weight.numel() * len(x) >= 4 * x.numel() and self._suits_library(x)

    def _suits_library(self, x: Tensor) -> bool:
        return (
            x.ndim == 4
            and x.numel() > 0
            and x.device.type == "cpu"
            and x.dtype == self.weight.dtype
            and x.is_contiguous(memory_format=torch.channels_last)
            and _has_library(x.dtype)
        )

    def _packed(self, way: str, how: tuple[Any, ...], x: Tensor) -> Tensor:
        """The weights laid out for codes of this shape."""
        return self._kept(
            way, x.shape,
            lambda: _pack(self._mirrored() if way == "back" else self.weight, *how, list(x.shape)),
        )  # fmt: skip

    def _kept(self, what: str, shape: torch.Size | None, make: Callable[[], Tensor]) -> Tensor:
        """What is made of the weights: the last is kept, for as long as they are the same."""
        kept: dict[str, _Made] = self.__dict__.setdefault("_made", {})
        version = -1 if self.weight.is_inference() else self.weight._version
        made = kept.get(what)
        if made is None or made.weight is not self.weight or made.of != (version, shape):
            made = kept[what] = _Made(self.weight, (version, shape), make())
        return made.tensor

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_made"}

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

    def _painted(self, outer: Tensor, inner: Tensor) -> Tensor:
        """The slope in blocks of 2×2 pixels: a convolution of stride 2 that gives all four.

        Half the time of one that gives pixel after pixel.
        """
        height, width = inner.shape[2:]
        odd = height % 2, width % 2  # then a pixel more is made at the front, and cut
        starts = zip(self.kernel_size, self._pads, odd, strict=True)
        padding = [k - 1 - p + o for k, p, o in starts]
        blocks = F.conv2d(outer, self._kept("blocks", None, self._blocks), None, 2, padding)
        count, rows, columns = len(blocks), *blocks.shape[2:]
        pixels = blocks.view(count, self.in_channels, 2, 2, rows, columns)
        slope = pixels.permute(0, 1, 4, 2, 5, 3).reshape(count, -1, 2 * rows, 2 * columns)
        return slope[:, :, odd[0] :, odd[1] :]

    def _blocks(self) -> Tensor:
        """(C · 2 · 2, O, k + 1, k + 1): the mirrored weights, moved to each of the four pixels."""
        height, width = self.kernel_size
        shape = self.in_channels, 2, 2, self.out_channels, height + 1, width + 1
        blocks = self.weight.new_zeros(shape)
        for y in range(2):
            for x in range(2):
                blocks[:, y, x, :, y : y + height, x : x + width] = self._mirrored()
        return blocks.flatten(0, 2).contiguous(memory_format=torch.channels_last)


class _Made(NamedTuple):
    weight: Tensor
    of: tuple[int, torch.Size | None]
    tensor: Tensor


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, part: LeanConv2d, rectifies: bool) -> Tensor:
        ctx.part, ctx.shape, ctx.format = part, x.shape, format_of(x)
        code = part.product(x, rectifies)
        ctx.save_for_backward(*([code] if rectifies else []))
        return code

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        outer = slopes[0].contiguous(memory_format=ctx.format)
        if ctx.saved_tensors and not is_rectified(slopes[0]):
            outer = torch.ops.aten.threshold_backward(outer, *ctx.saved_tensors, 0)
        return ctx.part.slope(outer, like_before(ctx, outer)), None, None


def is_watched(part: nn.Module) -> bool:
    """Whether somebody sees, or changes, what enters a module, or its gradients."""
    hooks = part._forward_pre_hooks or part._backward_hooks or part._backward_pre_hooks
    return bool(hooks) or "forward" in vars(part)


def pair(sides: int | Sequence[int]) -> tuple[int, int]:
    """As torch reads a kernel, a stride, a padding: one number is for both sides."""
    if isinstance(sides, int):
        return sides, sides
    return sides[0], sides[-1]


def has_slope(x: Tensor) -> bool:
    """Whether a gradient to it will be asked for."""
    return x.requires_grad and torch.is_grad_enabled()


def format_of(x: Tensor) -> torch.memory_format:
    last = x.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if last else torch.contiguous_format


def like_before(ctx: Any, slope: Tensor) -> Tensor:
    """A tensor that only its shape and format are read of: memory never touched is never used."""
    return torch.empty(ctx.shape, dtype=slope.dtype, device=slope.device, memory_format=ctx.format)


# What torch.compile calls for frozen weights. It has no public name: where it is missing, or has
# come to take other arguments, torch's own convolution does.


def _pack(weight: Tensor, *how: Any) -> Tensor:
    packed: Tensor = torch.ops.mkldnn._reorder_convolution_weight(weight, *how)
    return packed


def _library_convolution(
    x: Tensor, weight: Tensor, bias: Tensor | None, how: tuple[Any, ...], rectifies: bool
) -> Tensor:
    then = "relu" if rectifies else "none"
    code: Tensor = torch.ops.mkldnn._convolution_pointwise(x, weight, bias, *how, then, [], "")
    return code


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
            codes = [_library_convolution(x, w, None, how, True) for w in (packed, weight)]
            wanted = F.conv2d(x, weight, None, 1, 1).relu()
    except (RuntimeError, AttributeError, TypeError, NotImplementedError):
        return False
    close = [torch.allclose(code.float(), wanted.float(), rtol=0.02, atol=0.1) for code in codes]
    return all(close)
