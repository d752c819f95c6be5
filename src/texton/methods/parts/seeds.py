"""A seed of its own for every unit, so that no picture depends on what is made beside it."""

from __future__ import annotations

import hashlib

import torch


def generator_for(seed: int, photo: str, layer: str, channel: int | None) -> torch.Generator:
    """A CPU generator from (seed, photograph's hash, layer, channel)."""
    digest = hashlib.sha256(f"{seed}/{photo}/{layer}/{channel}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
