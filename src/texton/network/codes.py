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
    check_channel(code.shape[1], channel)
    target = torch.zeros_like(code)
    target[:, channel] = total_map(code)
    return target


def check_channel(count: int, channel: int) -> None:
    """Raise TextonError unless the channel is one of a layer's ``count``, numbered from 0."""
    if not 0 <= channel < count:
        raise TextonError(f"there is no channel {channel}: the layer has 0 to {count - 1}")


def strongest(code: Tensor, count: int) -> list[int]:
    """The ``count`` channels that carry most energy, strongest first (over the whole batch)."""
    sums = channel_sums(code).sum(0)
    order = torch.argsort(sums, descending=True, stable=True)
    return [int(channel) for channel in order[:count]]


def random_shares(code: Tensor, generator: torch.Generator, spread: float = 1.0) -> Tensor:
    """Random shares of the energy for RMCI: (B, C, H, W) → (B, C), not negative, rows sum to 1.

    Half-normal draws |z| raised to ``spread``: 0 gives every live map the same share, 1 is
    half-normal, more makes few maps carry most. Silent maps get nothing: they have no pattern
    to scale. (The 2016 code drew from N(3, 1000²): half its shares were negative, which no
    rectified map can reach.)
    """
    sums = channel_sums(code)
    drawn = torch.randn(sums.shape, generator=generator).abs().pow(spread).to(sums)
    live = torch.where(sums > 0, drawn, 0)
    return live / live.sum(1, keepdim=True).clamp_min(torch.finfo(live.dtype).tiny)


def reallocate(code: Tensor, shares: Tensor) -> Tensor:
    """Give each map its share of the code's energy: F'_k = ΣF · share_k · F_k / ΣF_k.

    The total energy and the pattern of activation are kept, silent maps stay silent
    (RMCI, the paper's section 2.2). ``shares`` is (B, C); its rows sum to 1 over live maps.
    """
    sums = channel_sums(code)
    wanted = sums.sum(1, keepdim=True) * shares
    factors = torch.where(sums > 0, wanted / sums.clamp_min(torch.finfo(sums.dtype).tiny), 0)
    return code * factors[:, :, None, None]


def scale_energy(code: Tensor, factors: dict[int, float]) -> Tensor:
    """Multiply chosen maps: ``{4: 3.0}`` triples filter 4's energy and leaves the others.

    Raises:
        TextonError: the code has no such channel.
    """
    scaled = code.clone()
    for channel, factor in factors.items():
        check_channel(code.shape[1], channel)
        scaled[:, channel] *= factor
    return scaled


def match_ranks(code: Tensor, style: Tensor) -> Tensor:
    """The 2016 code's direct purposeful modification: (B, C, H, W), any two sizes.

    The content's maps are permuted so that their ranks by energy are the style's, then each is
    shifted to the mean of the style's map. What falls below zero is clipped, as no rectified map
    can reach it.
    """
    content_order = channel_sums(code)[0].argsort(stable=True)
    style_order = channel_sums(style)[0].argsort(stable=True)
    permuted = torch.empty_like(code)
    permuted[:, style_order] = code[:, content_order]
    shift = style.mean((2, 3), keepdim=True) - permuted.mean((2, 3), keepdim=True)
    return (permuted + shift).clamp_min(0)


def means(code: Tensor) -> Tensor:
    """Each map's mean: (B, C, H, W) → (B, C). The paper's sums, independent of image size."""
    return code.float().mean((2, 3))


def moments(code: Tensor) -> Tensor:
    """Each map's mean and standard deviation: (B, C, H, W) → (B, 2C)."""
    flat = code.float().flatten(2)
    spread = (flat.var(2, correction=0) + 1e-6).sqrt()
    return torch.cat([flat.mean(2), spread], 1)


def gram(code: Tensor) -> Tensor:
    """The Gram matrix, averaged over positions (Gatys et al.): (B, C, H, W) → (B, C, C)."""
    flat = code.float().flatten(2)
    return flat @ flat.transpose(1, 2) / flat.shape[2]
