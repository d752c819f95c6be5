"""Modules of a frozen network that keep, of a large code, no more than the image's gradient takes.

torch's own keep a convolution's whole input, though its weights are not trained, and a
rectifier's whole output, of which the gradient asks only where it is positive.
"""

from __future__ import annotations

import itertools
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from texton.network.codes import is_rectified, mark_rectified
from texton.network.fast.convolution import LARGE, LeanConv2d, format_of, pair
from texton.network.fast.rectified import rectified_in_place, rectified_slope
from texton.network.hooks import has_slope, is_watched


class LeanReLU(nn.ReLU):
    """A rectifier that keeps a byte of every element of a large code."""

    def forward(self, input: Tensor) -> Tensor:
        if is_rectified(input):
            return input
        if input.numel() < LARGE or not has_slope(input) or input.device.type != "cpu":
            return super().forward(input)
        code: Tensor = _MaskedReLU.apply(input)
        return code


class LeanSequential(nn.Sequential):
    """A sequence in which a convolution rectifies by itself, where nobody looks in between."""

    def forward(self, input: Tensor) -> Tensor:
        parts = list(self)
        for part, then in itertools.zip_longest(parts, parts[1:]):
            code = None
            if isinstance(part, LeanConv2d) and isinstance(then, LeanReLU):
                code = None if is_watched(then) else part.rectified(input)
            if code is not None:
                mark_rectified(code)  # for the rectifier, which is next
                input = code
            else:
                input = part(input)
        return input


class LeanAvgPool2d(nn.AvgPool2d):
    """Average pooling that keeps nothing: its gradient asks for its input's shape only."""

    def forward(self, input: Tensor) -> Tensor:
        if not has_slope(input):
            return super().forward(input)
        pooled: Tensor = _AveragePool.apply(input, self)
        return pooled

    def slope(self, outer: Tensor, inside: torch.Size, layout: torch.memory_format) -> Tensor:
        """The gradient to an input of that shape and format, from that to the output."""
        down, across = pair(self.kernel_size)
        inner = torch.empty(inside, dtype=outer.dtype, device=outer.device, memory_format=layout)
        if not self._tiles(inner):
            rest = self.ceil_mode, self.count_include_pad, self.divisor_override
            kernel = (down, across), self._strides, pair(self.padding)
            slope: Tensor = torch.ops.aten.avg_pool2d_backward(outer, inner, *kernel, *rest)
            return slope
        share = (outer / (down * across)).permute(0, 2, 3, 1)
        count, rows, columns, channels = share.shape
        whole = inner.permute(0, 2, 3, 1).view(count, rows, down, columns, across, channels)
        whole.copy_(share[:, :, None, :, None].expand_as(whole))
        return inner

    @property
    def _strides(self) -> tuple[int, int]:
        return pair(self.stride or self.kernel_size)

    def _tiles(self, x: Tensor) -> bool:
        """Whether every value of its input is in exactly one average, and lies with its like."""
        kernel = pair(self.kernel_size)
        return (
            x.ndim == 4
            and x.device.type == "cpu"
            and self._strides == kernel
            and pair(self.padding) == (0, 0)
            and self.divisor_override is None
            and not any(side % step for side, step in zip(x.shape[2:], kernel, strict=True))
            and x.is_contiguous(memory_format=torch.channels_last)
        )


_LEAN: dict[type[nn.Module], type[nn.Module]] = {
    nn.Conv2d: LeanConv2d,
    nn.ReLU: LeanReLU,
    nn.AvgPool2d: LeanAvgPool2d,
    nn.Sequential: LeanSequential,
}
USUAL = {lean: usual for usual, lean in _LEAN.items()}  # what a lean kind stands for


def make_lean(module: nn.Module) -> None:
    """Change the kinds that have a lean form, in place; subclasses of them stay as they are.

    Their weights may not change any more.
    """
    for part in module.modules():
        part.__class__ = _LEAN.get(type(part), type(part))


class _MaskedReLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        code = torch.relu(x)
        ctx.save_for_backward(code.bool())
        return code

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *slopes: Tensor) -> Tensor:
        (alive,) = ctx.saved_tensors
        return rectified_slope(slopes[0], alive)


class _AveragePool(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, part: LeanAvgPool2d) -> Tensor:
        ctx.part, ctx.shape, ctx.format = part, x.shape, format_of(x)
        ctx.save_for_backward(x if is_rectified(x) else None)
        return nn.AvgPool2d.forward(part, x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, None]:
        slope = ctx.part.slope(slopes[0], ctx.shape, ctx.format)
        return rectified_in_place(slope, *ctx.saved_tensors), None
