"""Statistics of a code that sums and Gram matrices leave out: what lies apart, and how often.

Plain functions (B, C, H, W) → (B, …) beside those of `texton.network.codes`; of maps of any size.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from texton.network.codes import gram

_PARTS = 256  # of a distribution, each as often as the next


def shifted_gram(code: Tensor, shifts: Sequence[int], wraps: bool = False) -> Tensor:
    """The Gram matrix, and those of the code with itself so many positions on, down and across:
    (B, C, H, W) → (B, 1 + 2 · shifts, C, C) (Berger & Memisevic 2017).

    Args:
        shifts: each smaller than the map.
        wraps: the map goes on at its opposite edge; else only what overlaps counts.
    """
    last = code.float().permute(0, 2, 3, 1)  # as networks give it: then nothing is copied
    found = [gram(code)]
    for shift in shifts:
        for axis in (1, 2):
            if wraps:
                one, other = last, last.roll(-shift, axis)
            else:
                count = last.shape[axis] - shift
                one, other = last.narrow(axis, 0, count), last.narrow(axis, shift, count)
            here, there = one.flatten(1, 2), other.flatten(1, 2)
            found.append(here.transpose(1, 2) @ there / here.shape[1])
    return torch.stack(found, 1)


def sorted_along(code: Tensor, directions: Tensor) -> Tensor:
    """How often what is seen along directions of channel space: (B, C, H, W) → (B, D, 256).

    The activations along each are sorted, and the means of 256 parts of them, equally many in
    each, make maps of different sizes comparable: their distance is the sliced Wasserstein
    distance (Heitz et al. 2021).

    Args:
        directions: (D, C), of length 1.
    """
    along = directions @ code.float().flatten(2)
    return F.adaptive_avg_pool1d(along.sort(2).values, _PARTS)


def random_directions(channels: int, count: int, generator: torch.Generator) -> Tensor:
    """(min(count, channels), channels): of length 1, at right angles, any way round."""
    drawn = torch.randn(channels, channels, generator=generator)
    turned: Tensor = torch.linalg.qr(drawn).Q
    return turned[:count].contiguous()


def inside(code: Tensor, margin: int) -> Tensor:
    """(B, C, H, W) without so many positions at every edge, of which a quarter of the map at most:
    they see what a network pads."""
    rows, columns = (min(margin, side // 4) for side in code.shape[2:])
    height, width = code.shape[2:]
    return code[:, :, rows : height - rows, columns : width - columns]
