"""Coarse to fine: the sizes that an image is solved at, each begun from the one before."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch.nn.functional as F
from torch import Tensor

_SMALLEST = 96


def scales(image: Tensor, counts: Sequence[int]) -> list[tuple[float, int]]:
    """(scale, steps) from coarse to fine, a factor of √2 apart, none under 96 pixels a side."""
    side = min(image.shape[2:])
    every = [(2 ** (-(len(counts) - 1 - i) / 2), count) for i, count in enumerate(counts)]
    return [(scale, count) for scale, count in every if scale == 1 or side * scale >= _SMALLEST]


def scaled(
    image: Tensor, scale: float, near: Callable[[tuple[int, int]], tuple[int, int]] | None = None
) -> Tensor:
    """(B, C, H, W) at so many times its size, at least 16 pixels a side.

    Args:
        near: a size that may be had, near the one that is wanted.
    """
    if scale == 1:
        return image
    rows, columns = (max(16, round(side * scale)) for side in image.shape[2:])
    return resized(image, near((rows, columns)) if near else (rows, columns))


def resized(image: Tensor, size: Sequence[int]) -> Tensor:
    """(B, C, H, W) at another (height, width)."""
    return F.interpolate(image, list(size), mode="bicubic", antialias=True).clamp(0, 1)


def resized_tile(image: Tensor, size: Sequence[int]) -> Tensor:
    """(B, C, H, W), whose edges meet, at another (height, width): they still meet."""
    around = image.repeat(1, 1, 3, 3)
    larger = resized(around, [3 * side for side in size])
    return larger[:, :, size[0] : 2 * size[0], size[1] : 2 * size[1]].contiguous()
