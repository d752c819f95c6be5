"""How alike two maps of numbers are beyond the shape that fields give both."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from texton.errors import optional

with optional("experiments"):
    from scipy import stats

_LEAST = 16  # pixels, to rank anything


def rank_correlation(a: Tensor, b: Tensor, centre: tuple[float, float]) -> float:
    """Spearman's, over the pixels that either map reaches, given their distance from a centre.

    Every field is strong in its middle and weak at its rim, whoever sees through it: of plain
    ranks any two maps share most. So each rank is taken less the mean of those that are as far
    from the centre, to a pixel. Where neither map reaches, they would be alike by nothing.

    Args:
        a, b: (C, H, W), signed or not; NaN where there is nothing to compare.
        centre: a row and a column.

    Returns:
        NaN where one is level, or next to nothing is left to compare.
    """
    both = (a.isfinite() & b.isfinite()).all(0)
    reached = (((a != 0) | (b != 0)).any(0) & both).nonzero()
    if not len(reached):
        return float("nan")
    (top, left), (bottom, right) = reached.amin(0).tolist(), reached.amax(0).tolist()
    kept = torch.zeros_like(both)
    kept[top : bottom + 1, left : right + 1] = both[top : bottom + 1, left : right + 1]
    rows, columns = (
        torch.arange(extent) - at for extent, at in zip(kept.shape, centre, strict=True)
    )
    away = torch.hypot(rows[:, None].double(), columns[None].double()).round().long()
    rings = away[kept].expand(len(a), -1).flatten().numpy()
    x, y = (_beyond(one[:, kept].flatten().double().numpy(), rings) for one in (a, b))
    if len(x) < _LEAST or not (x.any() and y.any()):
        return float("nan")
    return float((x @ y) / np.sqrt((x @ x) * (y @ y)))


def moved_onto(image: Tensor, like: Tensor, rows: int, columns: int) -> Tensor:
    """An image (C, H, W) moved down and right, in the size of another; NaN where it is not."""
    made = torch.full_like(like, torch.nan)
    top, left = max(0, rows), max(0, columns)
    bottom = min(like.shape[1], image.shape[1] + rows)
    right = min(like.shape[2], image.shape[2] + columns)
    if top < bottom and left < right:
        found = image[:, top - rows : bottom - rows, left - columns : right - columns]
        made[:, top:bottom, left:right] = found
    return made


def _beyond(values: np.ndarray, rings: np.ndarray) -> np.ndarray:
    """Ranks less the mean of their ring; a ring's ties are 0 to the last bit."""
    ranks = stats.rankdata(values)
    counts = np.bincount(rings)
    means = np.bincount(rings, ranks) / np.maximum(counts, 1)
    left: np.ndarray = ranks - means[rings]
    left[np.abs(left) < 1e-6] = 0
    return left
