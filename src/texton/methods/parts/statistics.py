"""Statistics of style as sums over positions, so that they can be added up piece by piece."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Statistic = Callable[[Tensor], Tensor]
_LEAST = 1e-6  # as `codes.moments` has it


def position_sums(name: str, code: Tensor, weights: Tensor | None = None) -> Tensor:
    """What of a code is added up over positions: (B, C, H, W) → (B, K), their count in the end.

    Args:
        name: means, moments or gram, as `texton.network.codes` has them.
        weights: (H, W), how much each position counts; 1 without. What is beyond the code is
            left out.
    """
    if weights is not None:
        weights = weights[: code.shape[2], : code.shape[3]].to(code.device)
    flat = code.float().flatten(2)
    own = flat if weights is None else flat * weights.flatten()
    if name == "means":
        sums = own.sum(2)
    elif name == "moments":
        sums = torch.cat([own.sum(2), (own * flat).sum(2)], 1)
    else:
        sums = (own @ flat.transpose(1, 2)).flatten(1)
    count = flat.new_tensor(flat.shape[2]) if weights is None else weights.sum()
    return torch.cat([sums, count.expand(len(sums), 1)], 1)


def from_sums(name: str, sums: Tensor) -> Tensor:
    """The statistic that sums (B, K) tell.

    A variance is a difference of two means: give sums in float64.
    """
    averages = sums[:, :-1] / sums[:, -1:]
    if name == "means":
        return averages
    if name == "moments":
        mean, square = averages.chunk(2, 1)
        return torch.cat([mean, ((square - mean.square()).clamp_min(0) + _LEAST).sqrt()], 1)
    side = round(averages.shape[1] ** 0.5)
    return averages.reshape(-1, side, side)


def weighted(name: str, weights: Tensor) -> Statistic:
    """A statistic in which every position counts by its weight (H, W), not all of them 0."""

    def statistic(code: Tensor) -> Tensor:
        return from_sums(name, position_sums(name, code, weights).double()).float()

    return statistic
