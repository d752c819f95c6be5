"""Modules of a frozen network that keep, of a large code, no more than the image's gradient takes.

torch's own keep a convolution's whole input, though its weights are not trained, and a
rectifier's whole output, of which the gradient asks only where it is positive.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

LARGE = 1 << 24  # elements: below it, what is saved is not worth the time of a call


class LeanConv2d(nn.Conv2d):
    """A convolution that keeps nothing: its gradient asks for its input's shape only."""

    def forward(self, input: Tensor) -> Tensor:
        if not _is_worth_it(input) or self.padding_mode != "zeros" or isinstance(self.padding, str):
            return super().forward(input)
        code: Tensor = _Convolution.apply(
            input, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups
        )
        return code


class LeanReLU(nn.ReLU):
    """A rectifier that keeps a byte of every element."""

    def forward(self, input: Tensor) -> Tensor:
        if not _is_worth_it(input):
            return super().forward(input)
        code: Tensor = _MaskedReLU.apply(input)
        return code


class LeanAvgPool2d(nn.AvgPool2d):
    """Average pooling that keeps nothing: its gradient asks for its input's shape only."""

    def forward(self, input: Tensor) -> Tensor:
        if not _is_worth_it(input):
            return super().forward(input)
        pooled: Tensor = _AveragePool.apply(input, self)
        return pooled


_LEAN: dict[type[nn.Module], type[nn.Module]] = {
    nn.Conv2d: LeanConv2d,
    nn.ReLU: LeanReLU,
    nn.AvgPool2d: LeanAvgPool2d,
}
USUAL = {lean: usual for usual, lean in _LEAN.items()}  # what a lean kind stands for


def make_lean(module: nn.Module) -> None:
    """Change the kinds that have a lean form, in place; subclasses of them stay as they are."""
    for part in module.modules():
        part.__class__ = _LEAN.get(type(part), type(part))


def _is_worth_it(x: Tensor) -> bool:
    return x.numel() >= LARGE and x.requires_grad and torch.is_grad_enabled()


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, *how: Any) -> Tensor:
        ctx.weight, ctx.how, ctx.shape, ctx.format = weight, how, x.shape, _format(x)
        return torch.conv2d(x, weight, bias, *how)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        stride, padding, dilation, groups = ctx.how
        slope, _, _ = torch.ops.aten.convolution_backward(
            slopes[0], _shape_of(ctx, slopes[0]), ctx.weight, None, stride, padding, dilation,
            False, (0, 0), groups, (True, False, False),
        )  # fmt: skip
        return slope, *(None,) * 6


class _MaskedReLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        code = torch.relu(x)
        ctx.save_for_backward(code <= 0)
        return code

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> Tensor:
        (silent,) = ctx.saved_tensors
        return slopes[0].masked_fill(silent, 0)


class _AveragePool(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, part: nn.AvgPool2d) -> Tensor:
        ctx.part, ctx.shape, ctx.format = part, x.shape, _format(x)
        return nn.AvgPool2d.forward(part, x)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, None]:
        part = ctx.part
        kernel = part.kernel_size, part.stride, part.padding
        rest = part.ceil_mode, part.count_include_pad, part.divisor_override
        pairs = [list(side) if isinstance(side, tuple) else [side] for side in kernel]
        like = _shape_of(ctx, slopes[0])
        slope: Tensor = torch.ops.aten.avg_pool2d_backward(slopes[0], like, *pairs, *rest)
        return slope, None


def _format(x: Tensor) -> torch.memory_format:
    last = x.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if last else torch.contiguous_format


def _shape_of(ctx: Any, slope: Tensor) -> Tensor:
    """A tensor that only its shape and format are read of: memory never touched is never used."""
    return torch.empty(ctx.shape, dtype=slope.dtype, device=slope.device, memory_format=ctx.format)
