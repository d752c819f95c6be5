"""A seed of its own for every unit, so that no picture depends on what is made beside it."""

from __future__ import annotations

import hashlib

import torch

from texton.errors import TextonError

MAX_SEED = 2**63 - 1


def check_seed(seed: int, most: int = MAX_SEED) -> None:
    """
    Raises:
        TextonError: the seed is negative or over ``most``.
    """
    if not 0 <= seed <= most:
        raise TextonError(f"seed is {seed}: use 0 to {most}")


def generator_for(seed: int, photo: str, layer: str, channel: int | None) -> torch.Generator:
    """A CPU generator from (seed, photograph's hash, layer, channel).

    Raises:
        TextonError: the seed is negative or over 2**63 − 1.
    """
    check_seed(seed)
    digest = hashlib.sha256(f"{seed}/{photo}/{layer}/{channel}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
