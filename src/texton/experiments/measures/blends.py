"""Share vectors of directions in channel space, to ask whether filters are special."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from texton.errors import TextonError


def disjoint_blends(count: int, wanted: int, seed: int) -> Tensor:
    """Random directions that share no filter, so that they are orthogonal as filters are.

    Each spreads half-normal shares over C // wanted filters, at most 8: (wanted, C).

    Raises:
        TextonError: there are not two filters for each.
    """
    if 2 * wanted > count:
        raise TextonError(f"{count} filters make {count // 2} blends that share none, not {wanted}")
    generator = torch.Generator().manual_seed(104729 + seed)
    each = min(8, count // wanted)
    order = torch.randperm(count, generator=generator)
    drawn = torch.zeros(wanted, count)
    for row in range(wanted):
        chosen = order[row * each : (row + 1) * each]
        drawn[row, chosen] = torch.randn(each, generator=generator).abs()
    return drawn / drawn.sum(1, keepdim=True)


def dense_blends(count: int, wanted: int, seed: int) -> Tensor:
    """Random directions over all filters, half-normal: (wanted, C)."""
    generator = torch.Generator().manual_seed(1299709 + seed)
    drawn = torch.randn(wanted, count, generator=generator).abs()
    return drawn / drawn.sum(1, keepdim=True)


def overlap(shares: Tensor) -> float:
    """The mean cosine between different directions: 0 for filters."""
    unit = F.normalize(shares, dim=1)
    cosines = unit @ unit.T
    count = len(shares)
    return float(cosines.fill_diagonal_(0).sum() / max(1, count * (count - 1)))
