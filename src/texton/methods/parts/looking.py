"""How a filter's picture is seen while it is sought: by its receptive field."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import torch

from texton.solve.views import Windows

if TYPE_CHECKING:
    from texton.network.layers import Size
    from texton.network.network import Network

_SMALLEST_WINDOW = 88
# Receptive fields: below the first a texture's period is a few pixels, and to turn it is to lose
# it; from the second on what is shown is a thing, and is to be known turned.
_STIFF, _LIMP = 48, 112
_SCALE, _DEGREES = 0.1, 10.0


def window_of(network: Network, layer: str, size: Size, field: int) -> Size:
    """(height, width) of a window that a filter's receptive field fits in."""
    intake = network.intake([layer])
    if intake.only is not None:
        return size
    step = math.lcm(network.layer(layer).stride, intake.multiple)
    side = -(-max(_SMALLEST_WINDOW, field) // step) * step
    return min(size[0], side), min(size[1], side)


def windows(
    generators: Sequence[torch.Generator],
    field: int,
    window: Size,
    reach: int | None = None,
    meet: bool = True,
    about: tuple[float, float] = (0.0, 0.0),
) -> Windows:
    """Windows turned and scaled as much as a receptive field allows."""
    loose = min(1.0, max(0.0, (field - _STIFF) / (_LIMP - _STIFF)))
    told = partial(Windows, generators, scale=loose * _SCALE, degrees=loose * _DEGREES)
    return told(window, reach=reach, meet=meet, about=about)


def field_of(network: Network, layer: str) -> int:
    """A layer's receptive field in pixels, measured where it cannot be added up; a lot, where it
    has no end."""
    field = network.layer(layer).receptive_field
    return field or network.measured_layers[layer].receptive_field or 10_000
