"""Projections as pictures: in colours or grey, cut at what the unit sees, beside the photograph."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import interpolate, pad

from texton.methods.parts.projecting import shown

SHARE = 0.95  # of a projection: what the effective field holds
_GREY = 0.5
_GAP = 2
_EXACT = 4  # times as large, from which on pixels are shown as they are

Pixel = tuple[float, float]


def effective_side(slopes: Tensor, centre: Pixel) -> int:
    """The side in pixels of the square around a unit's centre that holds 95 % of its projection.

    Args:
        slopes: (C, H, W).

    Returns:
        1 for a projection of nothing.
    """
    strength = slopes.abs().sum(0).double()
    rows, columns = (
        (torch.arange(extent) - at).abs() for extent, at in zip(strength.shape, centre, strict=True)
    )
    away = torch.maximum(rows[:, None], columns[None]).ceil().long().flatten()
    within = torch.bincount(away, strength.flatten()).cumsum(0)
    if not within[-1]:
        return 1
    half = int((within < SHARE * within[-1]).sum())
    return 2 * half + 1


def cut_out(image: Tensor, centre: Pixel, side: int, wide: int, outside: float = _GREY) -> Tensor:
    """A square of pixels around a centre, brought to ``wide`` pixels: (C, H, W) → (C, wide, wide).

    Args:
        outside: what stands where there is no image.
    """
    height, width = image.shape[1:]
    top, left = (round(at - (side - 1) / 2) for at in centre)
    around = (max(0, -left), max(0, left + side - width), max(0, -top), max(0, top + side - height))
    larger = pad(image, around, value=outside)
    top, left = top + around[2], left + around[0]
    square = larger[None, :, top : top + side, left : left + side]
    if wide >= _EXACT * side:
        return interpolate(square, (wide, wide), mode="nearest-exact")[0]
    return interpolate(square, (wide, wide), mode="bicubic", antialias=True)[0].clamp(0, 1)


def drawn(
    slopes: Tensor,
    photo: Tensor,
    centre: Pixel,
    bands: Sequence[int],
    zoom: bool = False,
    grey: bool = False,
    beside: bool = False,
) -> Tensor:
    """One projection as a picture in [0, 1], (3, H, W) or what ``zoom`` and ``beside`` make of it.

    Args:
        slopes, photo: (C, H, W).
        centre: the row and column of pixels that the unit is centred on.
        bands: the one or three channels that are shown.
        zoom: a square at the effective field, as high as the photograph's shorter side.
        beside: the photograph's own pixels left of it.
    """
    side = effective_side(slopes, centre)
    coloured = shown(slopes[None, list(bands)], grey)[0]
    pictures = [(photo[list(bands)].cpu(), _GREY)] if beside else []
    pictures.append((coloured, 0.0 if grey else _GREY))
    wide = min(photo.shape[1:])
    cut = [cut_out(one, centre, side, wide, back) if zoom else one for one, back in pictures]
    in_rgb = [one.expand(3, -1, -1) for one in cut]
    gap = torch.ones(3, in_rgb[0].shape[1], _GAP)
    return torch.cat([in_rgb[0], *(x for one in in_rgb[1:] for x in (gap, one))], 2)
