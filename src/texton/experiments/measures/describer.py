"""What a texture looks like, wherever in the picture, to a network the inversion never saw."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from texton.errors import TextonError
from texton.network.codes import moments
from texton.network.load import load_network
from texton.network.network import Network

Array = NDArray[np.float64]
HELD_OUT = "efficientnet_lite0"
LAYERS = ("_blocks.0", "_blocks.2", "_blocks.4", "_blocks.10")  # strides 2, 4, 8, 16


def is_held_out(network: Network) -> bool:
    """Whether it is the network that describes pictures, from whatever package it comes."""
    return HELD_OUT in network.name


def held_out(network: Network) -> Network:
    """The network that describes pictures; never the one that made them.

    Raises:
        TextonError: its package is missing, or it is the network under test.
    """
    if is_held_out(network):
        raise TextonError(
            f"pictures are described by {HELD_OUT}, which must not be the network under test: "
            "use another --network"
        )
    if network.channels != 3:
        raise TextonError(f"{HELD_OUT} describes colour pictures: use a --network of 3 channels")
    return load_network(HELD_OUT)


def describe(images: Sequence[Tensor], network: Network, layers: Sequence[str] = LAYERS) -> Array:
    """Each filter's mean and standard deviation over positions: (N, D).

    Columns are standardised over the pictures given and weighted so that every layer counts
    alike, so that Euclidean distance is the distance between textures.

    Args:
        images: (C, H, W) in [0, 1], of any sizes.
    """
    rows = []
    with torch.no_grad():
        for image in images:
            codes = network.encode(image[None], layers)
            rows.append([moments(codes[layer])[0].double().numpy() for layer in layers])
    blocks = []
    for place in range(len(layers)):
        block = np.stack([row[place] for row in rows])
        spread = block.std(0)
        block = np.where(spread > 1e-9, (block - block.mean(0)) / np.maximum(spread, 1e-9), 0)
        blocks.append(block / np.sqrt(block.shape[1] * len(layers)))
    return np.concatenate(blocks, 1)


def colour_only(images: Sequence[Tensor]) -> Array:
    """The mean and standard deviation of the three colours alone, standardised: (N, 6)."""
    rows = [torch.cat([x.flatten(1).mean(1), x.flatten(1).std(1)]).double().numpy() for x in images]
    block = np.stack(rows)
    return np.asarray((block - block.mean(0)) / np.maximum(block.std(0), 1e-9))


def distances(a: Array, b: Array) -> Array:
    """Euclidean distances: (N, D), (M, D) → (N, M)."""
    return np.asarray(np.linalg.norm(a[:, None] - b[None], axis=2))


def greyed(image: Tensor) -> Tensor:
    """The picture without its colours, (C, H, W)."""
    weights = torch.tensor([0.299, 0.587, 0.114], device=image.device).reshape(3, 1, 1)
    return (image * weights).sum(0, keepdim=True).expand(3, -1, -1).contiguous()
