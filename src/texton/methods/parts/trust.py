"""Whether a texture runs through the layers as the pictures do that excite its filter."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from texton.errors import optional
from texton.network.device import Compute
from texton.network.network import Network

Array = NDArray[np.float64]
_LEAST = 0.1  # pictures of one filter must be nearer to each other by this, to compare with

Texture = Callable[[int], Tensor | None]


@torch.no_grad()
def texture_means(
    network: Network,
    layers: Sequence[str],
    channels: Sequence[int],
    texture: Texture,
    compute: Compute,
) -> tuple[dict[str, Array], Array]:
    """Mean activations of the earlier layers on each filter's texture.

    Args:
        texture: (1, C, H, W) of a channel; None where there is none.

    Returns:
        By layer (F, C), and which filters have a texture, (F,).
    """
    encode = network.encoder(list(layers), compute.exact())
    found = {name: np.zeros((len(channels), network.layer(name).channels)) for name in layers}
    there = np.zeros(len(channels), bool)
    for at, channel in enumerate(channels):
        image = texture(channel)
        if image is None:
            continue
        there[at] = True
        for name, code in encode(image).items():
            found[name][at] = code.float().mean((0, 2, 3)).cpu().numpy()
    return found, there


def trust(
    textures: Mapping[str, Array], natural: Mapping[str, Array], enough: NDArray[np.bool_]
) -> Array:
    """(F,): 1 where a texture runs as natural pictures of its filter do among themselves, 0
    where it is no nearer to them than pictures of other filters are, −1 at least; NaN where
    the pictures of one filter are hardly nearer to each other than to others'.

    Spearman correlations over a layer's channels, averaged over layers (Geirhos et al. 2023).

    Args:
        textures: by layer (F, C).
        natural: by layer (2, F, C), of two halves of the pictures.
        enough: (F,) which filters have a texture and both halves.
    """
    filters = len(enough)
    if not textures or enough.sum() < 2:
        return np.full(filters, np.nan)
    own, same, other = (np.zeros(filters) for _ in range(3))
    for name, codes in textures.items():
        texture, first, second = (_ranks(x) for x in (codes, *natural[name]))
        for half, twin in ((first, second), (second, first)):
            own += (texture * half).sum(1)
            same += (half * twin).sum(1)
            other += _others(half, twin, enough)
    count = 2 * len(textures)
    own, same, other = own / count, same / count, other / count
    room = same - other
    known = enough & (room > _LEAST)
    share = (own - other) / np.where(known, room, 1)
    return np.where(known, np.clip(share, -1, 1), np.nan)


def _others(half: Array, twin: Array, enough: NDArray[np.bool_]) -> Array:
    """(F,): the mean correlation with the pictures of all other filters."""
    mean = twin[enough].sum(0)
    count = enough.sum() - enough
    return np.asarray((half @ mean - enough * (half * twin).sum(1)) / np.maximum(count, 1))


def _ranks(values: Array) -> Array:
    """Rows as ranks of mean 0 and length 1: their products are Spearman correlations."""
    with optional("atlas"):
        from scipy.stats import rankdata

    ranks = np.asarray(rankdata(values, axis=1), np.float64)
    ranks -= ranks.mean(1, keepdims=True)
    length = np.linalg.norm(ranks, axis=1, keepdims=True)
    return np.asarray(ranks / np.maximum(length, 1e-12))
