"""Inverting modified codes: a style is a distribution of energy over filters (section 2.2, 2.3).

Each function takes a photograph's code, changes which filters carry its energy, and inverts
what comes out. Options are those of `texton.invert`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from texton.errors import TextonError
from texton.methods.code_inversion import invert
from texton.methods.result import Result
from texton.methods.seeds import generator_for
from texton.network.codes import energy_shares as shares_of
from texton.network.codes import match_ranks, random_shares, reallocate, scale_energy, strongest
from texton.network.device import choose_compute
from texton.network.network import Network


def invert_random(
    image: Tensor,
    network: Network,
    layer: str,
    *,
    shares_seed: int = 0,
    spread: float = 1.0,
    **options: Any,
) -> Result:
    """Randomly modified code inversion, RMCI: the photograph in a random style.

    Args:
        shares_seed: which random style; apart from the solver's ``seed``, so that one style
            can be solved from different starts.
        spread: 0 shares energy evenly, 1 half-normally, more makes few filters carry most.

    Raises:
        TextonError: ``spread`` outside 0 to 10; else as `texton.invert`.
    """
    if not 0 <= spread <= 10:
        raise TextonError(f"spread is {spread}: use 0 to 10")
    # The style depends on the layer and the seed alone: one seed is one style on every photo.
    generator = generator_for(shares_seed, "shares", layer, None)

    def modify(code: Tensor) -> Tensor:
        return reallocate(code, random_shares(code, generator, spread))

    return invert(image, network, layer, modify=modify, **options)


def invert_ranks(
    image: Tensor, style: Tensor, network: Network, layer: str, **options: Any
) -> Result:
    """The 2016 code's direct purposeful modification: maps permuted and shifted to a style's.

    Args:
        style: (1, C, H, W) in [0, 1], of any size.
    """

    def modify(code: Tensor) -> Tensor:
        compute = choose_compute(code.device, torch.float32)
        with torch.no_grad():
            return match_ranks(code, network.encode(style, layer, compute)[layer])

    return invert(image, network, layer, modify=modify, **options)


def mix(
    image: Tensor, network: Network, layer: str, energy: dict[int, float], **options: Any
) -> Result:
    """The mixing desk: multiply chosen filters' energies, then invert.

    Args:
        energy: factor by channel; 0 silences a filter, 3 triples it.

    Raises:
        TextonError: an unknown channel, a factor below 0 or not finite.
    """
    for channel, factor in energy.items():
        if not 0 <= factor < float("inf"):
            raise TextonError(f"energy {channel}={factor}: use a factor of 0 or more")
    return invert(image, network, layer, modify=lambda code: scale_energy(code, energy), **options)


def top_filters(
    image: Tensor, network: Network, layer: str, count: int = 10
) -> list[tuple[int, float]]:
    """The filters that carry most of a photograph's energy, with their shares, largest first.

    Raises:
        TextonError: an unknown layer, or a count outside the layer's filters.
    """
    channels = network.layer(layer).channels
    if not 1 <= count <= channels:
        raise TextonError(f"{layer} has {channels} filters: ask for 1 to {channels}")
    with torch.no_grad():
        code = network.encode(image, layer)[layer]
    shares = shares_of(code)[0]
    return [(channel, float(shares[channel])) for channel in strongest(code, count)]
