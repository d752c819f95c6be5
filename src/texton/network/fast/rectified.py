"""The slopes of rectified codes."""

from __future__ import annotations

import torch
from torch import Tensor

from texton.network.marks import mark_rectified

_STRIP = 1 << 20  # elements that stay in a core's cache


def rectified_slope(slope: Tensor, alive: Tensor, out: Tensor | None = None) -> Tensor:
    """``slope`` where a rectified code is alive, 0 elsewhere.

    Args:
        alive: the code itself, or a mask of bytes.
        out: where to write it, which may be ``slope``.
    """
    result = torch.empty_like(slope) if out is None else out
    if alive.dtype == torch.bool:
        _mask(slope, alive, result)
        return result
    # A code's bits, read as an integer, are above 0 where it is: for two bytes in half the time.
    bits = torch.int16 if slope.dtype.itemsize == 2 else slope.dtype
    torch.ops.aten.threshold_backward.grad_input(
        slope.view(bits), alive.view(bits), 0, grad_input=result.view(bits)
    )
    return result


def rectified_in_place(slope: Tensor, code: Tensor | None) -> Tensor:
    """``slope`` as the rectifier that gave ``code`` would make it, written over and marked.

    What follows a rectifier does its work so: a slope that it has just made is its own, which
    the rectifier would have to copy.
    """
    if code is not None:
        mark_rectified(rectified_slope(slope, code, slope))
    return slope


def _mask(slope: Tensor, alive: Tensor, out: Tensor) -> None:
    ones = alive.view(torch.int8)  # turned into numbers seven times as fast as from bool
    height = slope.shape[-2]
    rows = max(1, _STRIP * height // slope.numel())
    for top in range(0, height, rows):
        strip = (-2, top, min(rows, height - top))
        factor = ones.narrow(*strip).to(slope.dtype)
        torch.mul(slope.narrow(*strip), factor, out=out.narrow(*strip))
