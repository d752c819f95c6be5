"""What can be done to a code: plain functions on tensors (B, C, H, W), without state.

A *code* φ(X) is what a layer makes of an image: one feature map per filter, paper section 2.
A feature map's *energy* is its sum; after a ReLU nothing in it is negative. Layers without a
ReLU have negative activations too; energy then means the sum of the positive part, because
"how much of it is there" is what the paper's sums stand for. After a ReLU the two agree.
"""

from __future__ import annotations

import torch
from torch import Tensor

from texton.errors import TextonError


def channel_sums(code: Tensor) -> Tensor:
    """The energy of every feature map: (B, C, H, W) → (B, C)."""
    return code.clamp_min(0).sum((2, 3))


def energy_shares(code: Tensor) -> Tensor:
    """Each feature map's share of the code's energy: (B, C, H, W) → (B, C), rows sum to 1.

    A wholly silent code has no shares: its row is 0.
    """
    sums = channel_sums(code)
    total = sums.sum(1, keepdim=True)
    return torch.where(total > 0, sums / total.clamp_min(torch.finfo(sums.dtype).tiny), 0)


def total_map(code: Tensor) -> Tensor:
    """All feature maps added up, position by position: (B, C, H, W) → (B, H, W)."""
    return code.clamp_min(0).sum(1)


def isolate(code: Tensor, channel: int) -> Tensor:
    """ψ(φ(X), l): map ``channel`` becomes the sum of all maps, every other map 0 (section 2.1).

    Shape and energy are kept: (B, C, H, W) → (B, C, H, W).

    Raises:
        TextonError: the code has no such channel.
    """
    check_channel(code, channel)
    target = torch.zeros_like(code)
    target[:, channel] = total_map(code)
    return target


def check_channel(code: Tensor, channel: int) -> None:
    """Raise TextonError unless the code has the channel (numbered from 0)."""
    if not 0 <= channel < code.shape[1]:
        raise TextonError(f"there is no channel {channel}: the layer has 0 to {code.shape[1] - 1}")


def strongest(code: Tensor, count: int) -> list[int]:
    """The ``count`` channels that carry most energy, strongest first (over the whole batch)."""
    sums = channel_sums(code).sum(0)
    order = torch.argsort(sums, descending=True, stable=True)
    return [int(channel) for channel in order[:count]]
