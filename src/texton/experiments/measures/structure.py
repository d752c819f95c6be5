"""What can be said of a picture's structure: spectra, orientations, likeness, patches."""

from __future__ import annotations

import io

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from texton.errors import optional
from texton.experiments.measures.colour import as_array
from texton.images.files import to_pillow

with optional("experiments"):
    from scipy import ndimage
    from skimage.metrics import structural_similarity

Array = NDArray[np.float64]
_FLAT = 1 / 255  # spread of luminance under which the rounding to 8 bits is most of a picture


def luminance(image: Tensor) -> Array:
    """(H, W) in [0, 1]: ITU-R BT.601 luma; the mean over bands that are not three."""
    image = image[0] if image.ndim == 4 else image
    if image.shape[0] != 3:
        return np.asarray(image.double().mean(0).cpu().numpy())
    return np.asarray(as_array(image) @ np.array([0.299, 0.587, 0.114]))


def spectral_slope(image: Tensor) -> float:
    """The exponent k of the luminance's power spectrum ~ frequency^k, over 0.04 to 0.45 cycles
    per pixel. White noise has 0, photographs about −2; nearer 0 is finer detail. NaN: flat."""
    light = luminance(image)
    if light.std() < _FLAT:
        return np.nan
    window = np.outer(np.hanning(light.shape[0]), np.hanning(light.shape[1]))
    power = np.abs(np.fft.fft2((light - light.mean()) * window)) ** 2
    rows, columns = np.fft.fftfreq(light.shape[0]), np.fft.fftfreq(light.shape[1])
    frequency = np.hypot(rows[:, None], columns[None])
    edges = np.geomspace(0.04, 0.45, 9)
    place = np.digitize(frequency, edges)
    rings = [
        (frequency[place == i].mean(), power[place == i].mean())
        for i in range(1, 9)
        if (place == i).sum() > 3
    ]
    x, y = np.log([r[0] for r in rings]), np.log([r[1] + 1e-12 for r in rings])
    return float(np.polyfit(x, y, 1)[0])


def orientation_entropy(image: Tensor) -> float:
    """How many ways edges run: entropy in bits of gradient orientations in 16 bins, weighted by
    strength. 0 for one straight grating, 4 for all directions alike. NaN: a flat picture."""
    light = luminance(image)
    if light.std() < _FLAT:
        return np.nan
    light = ndimage.gaussian_filter(light, 1.0)
    dy, dx = np.gradient(light)
    bins = np.minimum((np.arctan2(dy, dx) % np.pi / np.pi * 16).astype(int), 15)
    weights = np.bincount(bins.ravel(), np.hypot(dx, dy).ravel(), 16)
    if weights.sum() < 1e-9:
        return np.nan
    shares = weights / weights.sum()
    shares = shares[shares > 0]
    return float(-(shares * np.log2(shares)).sum()) + 0.0


def compressed_size(image: Tensor) -> float:
    """Bits per pixel of the picture as a JPEG of quality 75: how much there is to tell.

    Headers and tables are left out: in small pictures they would be most of it. Of bands that
    are not three, their luminance.
    """
    if image.shape[-3] != 3:
        image = torch.from_numpy(luminance(image))[None]
    picture = to_pillow(image).convert("RGB")
    size = _jpeg_bytes(picture) - _jpeg_bytes(Image.new("RGB", (8, 8), "grey"))
    return 8 * size / (picture.width * picture.height)


def _jpeg_bytes(picture: Image.Image) -> int:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=75)
    return len(buffer.getvalue())


def likeness(a: Tensor, b: Tensor) -> float:
    """Structural similarity (SSIM) of two pictures' luminance, each first brought to mean 0.5
    and standard deviation 0.2, so that a change of tone alone costs nothing. 1 is the same."""
    left, right = (_level(luminance(image)) for image in (a, b))
    side = min(7, min(left.shape) // 2 * 2 - 1)
    return float(structural_similarity(left, right, data_range=1.0, win_size=side))


def patch_distance(a: Tensor, b: Tensor, side: int = 5, projections: int = 128) -> float:
    """Sliced Wasserstein distance of the pictures' colour patches at two scales, wherever they
    stand; in units of the range [0, 1]. 0 for two pictures of the same patches."""
    rng = np.random.default_rng(0)
    axes = rng.normal(size=(3 * side * side, projections))
    axes /= np.linalg.norm(axes, axis=0)
    grid = np.linspace(0, 1, 257)
    total = 0.0
    for scale in (1, 2):
        ends = [_quantiles(_patches(as_array(x), scale, side) @ axes, grid) for x in (a, b)]
        total += float(np.abs(ends[0] - ends[1]).mean())
    return total / 2


def _quantiles(values: Array, grid: Array) -> Array:
    """(N, P) → (P, len(grid)): NumPy's own of every column, which for so many of them partitions
    again and again where one sort would do."""
    ordered = np.ascontiguousarray(values.T)
    ordered.sort(axis=1)
    at = grid * (len(values) - 1)
    low = at.astype(int)
    below, above = ordered[:, low], ordered[:, np.minimum(low + 1, len(values) - 1)]
    return np.asarray(below + (at - low) * (above - below))


def _patches(values: Array, scale: int, side: int) -> Array:
    height, width = (values.shape[0] // scale * scale, values.shape[1] // scale * scale)
    small = values[:height, :width].reshape(height // scale, scale, width // scale, scale, 3)
    windows = np.lib.stride_tricks.sliding_window_view(small.mean((1, 3)), (side, side), (0, 1))
    return np.asarray(windows.reshape(-1, 3 * side * side))


def _level(light: Array) -> Array:
    spread = light.std()
    return np.asarray(0.5 + (light - light.mean()) / max(float(spread), 1e-6) * 0.2)
