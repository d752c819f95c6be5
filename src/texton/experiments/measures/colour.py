"""What can be said of a picture's colours, whatever is where."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from texton.errors import optional

with optional("experiments"):
    from skimage.color import lab2rgb, rgb2lab

Array = NDArray[np.float64]
_BINS = 8
_HUES = 24


def as_array(image: Tensor) -> Array:
    """(C, H, W) or (1, C, H, W) in [0, 1] as (H, W, 3); grey is repeated."""
    image = image[0] if image.ndim == 4 else image
    if image.shape[0] == 1:
        image = image.expand(3, -1, -1)
    return np.asarray(image[:3].permute(1, 2, 0).double().cpu().numpy())


def lab(image: Tensor) -> Array:
    """(H, W, 3) in CIE L*a*b*, where distances are about what the eye sees."""
    return np.asarray(rgb2lab(as_array(image)))


def colour_histogram(image: Tensor, bins: int = _BINS) -> Array:
    """Shares of bins³ colours, flattened; they sum to 1."""
    index = np.minimum((as_array(image) * bins).astype(int), bins - 1)
    flat = (index[..., 0] * bins + index[..., 1]) * bins + index[..., 2]
    return np.asarray(np.bincount(flat.ravel(), minlength=bins**3) / flat.size)


def colour_entropy(image: Tensor) -> float:
    """Entropy of the colour histogram (8 × 8 × 8), in bits: 0 for one colour, at most 9."""
    shares = colour_histogram(image)
    shares = shares[shares > 0]
    return float(-(shares * np.log2(shares)).sum()) + 0.0


def hue_count(image: Tensor, least: float = 0.02, chroma: float = 10.0) -> int:
    """How many of 24 hues cover at least 2 % of the picture each, greys left out.

    Hue is the angle in the a*b* plane; pixels of a chroma under 10 have no hue.
    """
    values = lab(image).reshape(-1, 3)
    strong = np.hypot(values[:, 1], values[:, 2]) >= chroma
    angle = np.arctan2(values[strong, 2], values[strong, 1]) % (2 * np.pi)
    bins = np.minimum((angle / (2 * np.pi) * _HUES).astype(int), _HUES - 1)
    return int((np.bincount(bins, minlength=_HUES) / len(values) >= least).sum())


def colour_distance(a: Tensor, b: Tensor, projections: int = 32) -> float:
    """Sliced Wasserstein distance of two pictures' colours in L*a*b*, wherever they stand."""
    rng = np.random.default_rng(0)
    axes = rng.normal(size=(3, projections))
    axes /= np.linalg.norm(axes, axis=0)
    grid = np.linspace(0, 1, 257)
    sides = [np.quantile(lab(image).reshape(-1, 3) @ axes, grid, axis=0) for image in (a, b)]
    return float(np.abs(sides[0] - sides[1]).mean())


def matched_colours(image: Tensor, mean: Array, spread: Array) -> Array:
    """(H, W, 3) sRGB with the L*a*b* mean and standard deviation asked for, both (3,)."""
    values = lab(image)
    own_mean, own_spread = values.mean((0, 1)), values.std((0, 1))
    matched = (values - own_mean) / np.maximum(own_spread, 1e-3) * spread + mean
    matched[..., 0] = matched[..., 0].clip(0, 100)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # colours no screen has are clipped, as they must be
        return np.asarray(lab2rgb(matched)).clip(0, 1)
