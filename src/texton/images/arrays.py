"""Images that are no pictures, in NumPy files: one plane per channel."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from texton.errors import TextonError
from texton.images.levels import in_unit

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
