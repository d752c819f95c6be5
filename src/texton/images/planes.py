"""Images that are no pictures: one plane per channel, as NumPy files, and how they are shown."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from texton.errors import TextonError
from texton.images.levels import in_unit

SUFFIX = ".npy"
_KINDS = ("uint8", "uint16", "bool")


def read_planes(path: Path, channels: int, max_pixels: int, white: float | None = None) -> Tensor:
    """A ``.npy`` array as an image, without loss.

    Args:
        path: (H, W, C), (C, H, W), or (H, W) for one channel; uint8, uint16, or floats in
            [0, 1]. Where both layouts fit, the last axis is the channels.
        white: the value that is white, of integers or floats of any size.

    Returns:
        (1, channels, H, W), float32, in [0, 1].

    Raises:
        TextonError: no such file, no array, another number of channels, values out of range.
    """
    if not path.is_file():
        raise TextonError(f"there is no file '{path}'")
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception:  # noqa: BLE001 - a header is read as Python, and fails as that does
        raise TextonError(f"'{path}' is no NumPy array: save it with numpy.save") from None
    shape = "×".join(map(str, array.shape)) or "a single number"
    if not array.size:
        raise TextonError(f"'{path}' is {shape}: there is nothing in it")
    if array.ndim == 2:
        array = array[..., None]
    elif array.ndim == 3 and array.shape[2] != channels and array.shape[0] == channels:
        array = array.transpose(1, 2, 0)
    if array.ndim != 3 or array.shape[2] != channels:
        raise TextonError(f"'{path}' is {shape}: the network takes height×width×{channels}")
    if array.shape[0] * array.shape[1] > max_pixels:
        raise TextonError(f"'{path}' is over {max_pixels // 1_000_000} megapixels: scale it down")
    kind = array.dtype.name
    if (
        kind not in _KINDS
        and array.dtype.kind != "f"
        and (white is None or array.dtype.kind not in "iu")
    ):
        raise TextonError(
            f"'{path}' holds {kind}: use uint8, uint16, or floats in [0, 1], or say which value is "
            "white"
        )
    floats = array.dtype.kind == "f"
    values = np.array(array, dtype=np.float32)
    if (
        not np.isfinite(values).all()
        or values.min() < 0
        or (floats and not white and values.max() > 1)
    ):
        raise TextonError(f"'{path}' has values outside [0, 1]: rescale it")
    values = in_unit(values, kind, path, white or (1.0 if floats else None))
    return torch.from_numpy(values).permute(2, 0, 1)[None].contiguous()


def fit_planes(image: Tensor, long_edge: int | None, enlarge: bool) -> Tensor:
    """Scaled so that the longer side is ``long_edge``; smaller images only if ``enlarge``."""
    longest = max(image.shape[2:])
    if long_edge is None or long_edge == longest or (long_edge > longest and not enlarge):
        return image
    size = [max(1, round(side * long_edge / longest)) for side in image.shape[2:]]
    return F.interpolate(image, size, mode="bilinear", antialias=True).clamp(0, 1)


def planes_as_bytes(pixels: Tensor) -> bytes:
    """The content of a ``.npy`` file: uint8, (C, H, W) → height × width × channels."""
    buffer = io.BytesIO()
    np.save(buffer, pixels.permute(1, 2, 0).cpu().contiguous().numpy())
    return buffer.getvalue()


def shown_bands(channels: int, bands: Sequence[int] | None) -> list[int]:
    """Which channels a picture shows: those chosen, all of 1 or 3, the first of 2, the first
    three of more.

    Raises:
        TextonError: neither one nor three are chosen, or one that the image has not.
    """
    if bands is None:
        return list(range(3 if channels >= 3 else 1))
    if len(bands) not in (1, 3) or not all(0 <= band < channels for band in bands):
        chosen = ",".join(map(str, bands))
        raise TextonError(f"bands '{chosen}': choose one or three of 0 to {channels - 1}")
    return list(bands)


def hides_something(channels: int, bands: Sequence[int] | None) -> bool:
    """Whether a picture of these bands is not the image itself, so that its planes are saved."""
    return shown_bands(channels, bands) != list(range(channels))
