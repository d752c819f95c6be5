"""Marks on tensors: those that a rectifier has no more work with, those that nobody reads again."""

from __future__ import annotations

import torch
from torch import Tensor


def mark_rectified(x: Tensor) -> None:
    """Say that a code, or the slope to one, is zero where a rectifier would make it so."""
    if not x.is_inference():
        x.rectified_at = x._version  # type: ignore[attr-defined]


def is_rectified(x: Tensor) -> bool:
    """Whether it was marked, and has not been written to since."""
    return hasattr(x, "rectified_at") and bool(x.rectified_at == x._version)


def mark_spare(code: Tensor) -> None:
    """Say that the gradient to a code may be written over the code itself."""
    code.is_spare = True  # type: ignore[attr-defined]


def is_spare(code: Tensor) -> bool:
    return hasattr(code, "is_spare")


def rectified_slope(slope: Tensor, code: Tensor, out: Tensor | None = None) -> Tensor:
    """``slope`` where a rectified code is alive, 0 elsewhere, into ``out`` if that is given.

    A code's bits, read as an integer, are above 0 where it is: numbers of two bytes are compared
    so in half the time.
    """
    result = torch.empty_like(slope) if out is None else out
    bits = torch.int16 if slope.dtype.itemsize == 2 else slope.dtype
    torch.ops.aten.threshold_backward.grad_input(
        slope.view(bits), code.view(bits), 0, grad_input=result.view(bits)
    )
    return result
