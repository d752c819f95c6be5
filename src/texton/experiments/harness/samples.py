"""Pictures that an installed package brings, for experiments that are given none."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image

from texton.errors import TextonError, optional
from texton.images.crop import Crop, cropped_picture, trimmed
from texton.images.folder import Picture
from texton.images.opening import MIN_SIDE

with optional("experiments"):
    from skimage import data

PHOTOS = ("chelsea", "coffee")  # CC0
STYLES = ("hubble_deep_field", "immunohistochemistry", "brick", "grass")


def sample(
    name: str, size: int, channels: int = 3, crop: Crop = None, multiple: int = 1
) -> Picture:
    """One of scikit-image's pictures, all of which its wheel holds: nothing is downloaded.

    Args:
        crop, multiple: as `read_image` takes them.
    """
    picture = Image.fromarray(getattr(data, name)()).convert("RGB" if channels == 3 else "L")
    if crop is not None:
        picture = cropped_picture(picture, crop)
        size = size if isinstance(crop, str) else max(crop)
    scale = size / max(picture.size)
    width, height = (max(1, round(side * scale)) for side in picture.size)
    if min(width, height) < MIN_SIDE:
        raise TextonError(f"'{name}' would become {width}×{height} pixels: use a larger --size")
    values = np.asarray(picture.resize((width, height), Image.Resampling.LANCZOS), np.float32)
    tensor = torch.from_numpy(values.copy()) / 255
    planes = tensor.permute(2, 0, 1) if tensor.ndim == 3 else tensor.expand(channels, -1, -1)
    return Picture(name, trimmed(planes[None], multiple).contiguous())
