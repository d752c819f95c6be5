"""A network on a torus: every convolution and pool goes on at the opposite edge of its input.

What is solved through it repeats without a seam: the network sees no edge where a tile ends.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

_POOLS = (nn.MaxPool2d, nn.AvgPool2d)

Pads = tuple[int, int, int, int]


def make_torus(module: nn.Module) -> None:
    """Let the paddings of a frozen copy's convolutions and pools wrap, in place.

    What a module pads by itself in its forward is not seen: codes of a rolled image tell.
    """
    for part in module.modules():
        pads = _pads(part)
        if any(pads):
            _wrap(part, pads)


def _pads(part: nn.Module) -> Pads:
    """Left, right, top, bottom: what a module pads its input with."""
    if isinstance(part, nn.Conv2d):
        left, right, top, bottom = part._reversed_padding_repeated_twice
        return left, right, top, bottom
    if isinstance(part, _POOLS):
        down, across = _two(part.padding)
        return across, across, down, down
    return 0, 0, 0, 0


def _wrap(part: nn.Module, pads: Pads) -> None:
    if isinstance(part, nn.Conv2d):
        part.padding, part.padding_mode = (0, 0), "zeros"
        part._reversed_padding_repeated_twice = [0, 0, 0, 0]
    elif isinstance(part, _POOLS):
        part.padding = 0

    def hook(_: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        return wrapped(args[0], pads), *args[1:]

    part.register_forward_pre_hook(hook)


def wrapped(x: Tensor, pads: Pads) -> Tensor:
    """(B, C, H, W) with so many columns and rows more, which are those of the opposite edges.

    As torch's own circular padding, which loses the order that channels lie in.
    """
    height, width = x.shape[2:]
    left, right, top, bottom = pads
    if max(left, right) > width or max(top, bottom) > height:  # several times round
        rows = torch.arange(-top, height + bottom, device=x.device) % height
        columns = torch.arange(-left, width + right, device=x.device) % width
        return x[:, :, rows][..., columns]
    result: Tensor = _Wrapped.apply(x, pads)
    return result


class _Wrapped(torch.autograd.Function):
    """Copies of edges; their slopes are added to those of what they are copies of."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, pads: Pads) -> Tensor:
        ctx.pads, ctx.inside = pads, x.shape
        left, right, top, bottom = pads
        count, channels, height, width = x.shape
        last = x.is_contiguous(memory_format=torch.channels_last)
        layout = torch.channels_last if last else torch.contiguous_format
        size = (count, channels, height + top + bottom, width + left + right)
        out = torch.empty(size, dtype=x.dtype, device=x.device, memory_format=layout)
        middle = out[:, :, top : top + height]
        middle[..., left : left + width] = x
        middle[..., :left] = x[..., width - left :]
        middle[..., left + width :] = x[..., :right]
        out[:, :, :top] = middle[:, :, height - top :]
        out[:, :, top + height :] = middle[:, :, :bottom]
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, None]:
        (slope,) = slopes
        left, right, top, bottom = ctx.pads
        height, width = ctx.inside[2:]
        middle = slope[:, :, top : top + height].clone()
        middle[:, :, height - top :] += slope[:, :, :top]
        middle[:, :, :bottom] += slope[:, :, top + height :]
        inner = middle[..., left : left + width].clone()
        inner[..., width - left :] += middle[..., :left]
        inner[..., :right] += middle[..., left + width :]
        return inner, None


def _two(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[-1])
