"""What is known of a tensor and written on it: that it is as a rectifier would make it."""

from __future__ import annotations

from torch import Tensor


def mark_rectified(x: Tensor) -> None:
    """Say that a code, or the slope to one, is zero where a rectifier would make it so."""
    if not x.is_inference():
        x.rectified_at = x._version  # type: ignore[attr-defined]


def is_rectified(x: Tensor) -> bool:
    """Whether it was marked, and has not been written to since: a rectifier may leave it alone."""
    return hasattr(x, "rectified_at") and bool(x.rectified_at == x._version)
