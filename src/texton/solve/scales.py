"""Coarse to fine: the sizes that an image is solved at, each begun from the one before."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

_SMALLEST = 96


def scales(image: Tensor, counts: Sequence[int]) -> list[tuple[float, int]]:
    """(scale, steps) from coarse to fine, a factor of √2 apart, none under 96 pixels a side."""
    side = min(image.shape[2:])
    every = [(2 ** (-(len(counts) - 1 - i) / 2), count) for i, count in enumerate(counts)]
    return [(scale, count) for scale, count in every if scale == 1 or side * scale >= _SMALLEST]


def scaled(image: Tensor, scale: float) -> Tensor:
    """(B, C, H, W) at so many times its size, at least 16 pixels a side."""
    if scale == 1:
        return image
    return resized(image, [max(16, round(side * scale)) for side in image.shape[2:]])


def resized(image: Tensor, size: Sequence[int]) -> Tensor:
    """(B, C, H, W) at another (height, width)."""
    return F.interpolate(image, list(size), mode="bicubic", antialias=True).clamp(0, 1)
