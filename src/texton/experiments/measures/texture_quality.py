"""How near a texture comes to its source, by what no statistic of a network has seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from texton.errors import optional
from texton.experiments.measures.colour import as_array
from texton.experiments.measures.structure import luminance

with optional("experiments"):
    from scipy import ndimage

Array = NDArray[np.float64]
Values = NDArray[Any]
# Of 7×7 pixels a random direction adds up so many that only a spectrum is left: random phases
# were as near as a texture. Of 3×3 it is an edge or a spot, which stand out.
_SIDE, _LEVELS, _DIRECTIONS = 3, 4, 128
_QUANTILES = 257
_COPIED, _EVERY = 8, 4  # a patch's side and how far apart they are taken, to look for copies
_SMALLEST = 8  # pixels a side, of a level
_TOLD = 0.8  # of the way to other textures: further apart, its halves are no scale


@dataclass(frozen=True, eq=False)
class Described:
    """What is compared of a picture, each measure's on its own: made once, as it takes a while.

    Attributes:
        patches: per level, (257, 128): quantiles of colour patches along fixed directions.
        structure: the same of luminance alone, brought to mean 0 and spread 1.
        repeats: the luminance's autocorrelation, shifts of up to a quarter of the side.
    """

    patches: list[Array]
    structure: list[Array]
    repeats: Array


def described(image: Tensor) -> Described:
    """A picture (C, H, W) in [0, 1], at least 16 pixels a side."""
    light = _levelled(image)
    return Described(_quantiles(as_array(image)), _quantiles(light), _autocorrelation(light))


def patch_distance(a: Sequence[Array], b: Sequence[Array]) -> float:
    """Sliced Wasserstein distance of 3×3 patches over four levels of a Gaussian pyramid, the mean
    of levels; in units of the range [0, 1], or of the luminance's spread."""
    return float(np.mean([np.abs(x - y).mean() for x, y in zip(a, b, strict=False)]))


def repeat_distance(a: Array, b: Array) -> float:
    """How differently pictures repeat themselves: the root mean square difference of their
    autocorrelations, of all shifts that both have; 0 to 2."""
    reach = min(a.shape[1], b.shape[1]) - 1
    left, right = (x[len(x) // 2 - reach : len(x) // 2 + reach + 1, : reach + 1] for x in (a, b))
    return float(np.sqrt(np.square(left - right).mean()))


def copied(texture: Tensor, source: Tensor) -> float:
    """The share of a texture's patches, 8×8 pixels every 4, whose likest patch of the source lies
    where it would if the texture were a piece of it cut out: beside that of the patch before.

    1 of a picture cut from the source; what chance gives is that of the source's own other half.
    """
    own, there = (as_array(x).astype(np.float32) for x in (texture, source))
    high, wide = (1 + (side - _COPIED) // _EVERY for side in own.shape[:2])
    columns = there.shape[1] - _COPIED + 1
    wanted, known = _patches(own, _COPIED, _EVERY), _patches(there, _COPIED, 1)
    nearest = np.concatenate([_nearest(part, known) for part in np.array_split(wanted, 8)])
    places = np.stack([nearest // columns, nearest % columns], 1).reshape(high, wide, 2)
    across = np.abs(np.diff(places, axis=1) - (0, _EVERY)).max(2) <= 1
    down = np.abs(np.diff(places, axis=0) - (_EVERY, 0)).max(2) <= 1
    return float(np.concatenate([across.ravel(), down.ravel()]).mean())


@dataclass(frozen=True)
class Scale:
    """What a distance from a source means: 0 as far as its own halves are from one another, 1 as
    far as other textures."""

    floor: float
    ceiling: float

    @property
    def tells(self) -> bool:
        """Whether the source is one texture by this measure: its halves are no others' like."""
        return self.floor < _TOLD * self.ceiling

    def __call__(self, distance: float) -> float:
        return (distance - self.floor) / max(self.ceiling - self.floor, 1e-9)


def halves(image: Tensor, axis: int = -1) -> tuple[Tensor, Tensor]:
    """The left and the right half of a picture (…, H, W), or, of axis −2, upper and lower."""
    middle = image.shape[axis] // 2
    return image.narrow(axis, 0, middle), image.narrow(axis, image.shape[axis] - middle, middle)


def without_phase(image: Tensor, seed: int = 0) -> Tensor:
    """A picture (C, H, W) of the same spectrum and colours, its phases those of noise: what can be
    had of a texture without a network (Galerne et al. 2011)."""
    generator = torch.Generator().manual_seed(seed)
    turned = torch.fft.rfft2(torch.randn(image.shape[-2:], generator=generator)).angle()
    mean = image.mean((-2, -1), keepdim=True)
    spectrum = torch.fft.rfft2(image - mean) * torch.polar(torch.ones_like(turned), turned)
    picture: Tensor = torch.fft.irfft2(spectrum, s=image.shape[-2:]) + mean
    return picture.clamp(0, 1)


def _levelled(image: Tensor) -> Array:
    light = luminance(image)
    return np.asarray((light - light.mean())[..., None] / max(float(light.std()), 1e-6))


def _quantiles(planes: Array) -> list[Array]:
    axes = np.random.default_rng(0).normal(size=(planes.shape[2] * _SIDE**2, _DIRECTIONS))
    axes[:, 1:] -= axes[:, 1:].mean(0)  # but for one, which tells the mean
    axes /= np.linalg.norm(axes, axis=0)
    found = []
    for _ in range(_LEVELS):
        if min(planes.shape[:2]) < _SMALLEST:
            break
        along = np.sort(_patches(planes, _SIDE, 1) @ axes, axis=0)
        places = np.linspace(0, len(along) - 1, _QUANTILES).round().astype(int)
        found.append(along[places])
        planes = ndimage.gaussian_filter(planes, (1, 1, 0))[::2, ::2]
    return found


def _patches(values: Values, side: int, every: int) -> Values:
    windows = np.lib.stride_tricks.sliding_window_view(values, (side, side), (0, 1))
    kept = windows[::every, ::every]
    return np.asarray(kept.reshape(-1, values.shape[2] * side * side))


def _nearest(wanted: Values, known: Values) -> NDArray[np.int64]:
    apart = np.square(known).sum(1) - 2 * wanted @ known.T
    return np.asarray(apart.argmin(1))


def _autocorrelation(light: Array) -> Array:
    """(2 reach + 1, reach + 1), of pairs of places inside; the other half is its mirror."""
    light = light[..., 0]
    reach = min(light.shape) // 4
    padded = [2 * side for side in light.shape]
    power = np.abs(np.fft.rfft2(light, padded)) ** 2
    pairs = np.abs(np.fft.rfft2(np.ones_like(light), padded)) ** 2
    found = np.fft.irfft2(power, padded) / np.maximum(np.fft.irfft2(pairs, padded), 0.5)
    return np.asarray(found[np.arange(-reach, reach + 1)][:, : reach + 1])
