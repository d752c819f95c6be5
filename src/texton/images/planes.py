"""Images that are no pictures, one plane per channel: how they are shown, scaled and kept."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from texton.errors import TextonError

SUFFIX = ".npy"


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
