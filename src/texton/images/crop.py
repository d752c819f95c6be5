"""The middle of a picture, in the shape that is wanted."""

from __future__ import annotations

import torch.nn.functional as F
from PIL import Image
from torch import Tensor

Crop = str | tuple[int, int] | None
SQUARE = "square"


def cropped_picture(picture: Image.Image, crop: Crop) -> Image.Image:
    """``square``: the middle; rows and columns: the middle of that shape, brought to that size."""
    if crop is None:
        return picture
    left, top, width, height = _box(*picture.size, crop)
    picture = picture.crop((left, top, left + width, top + height))
    if isinstance(crop, str):
        return picture
    return picture.resize((crop[1], crop[0]), Image.Resampling.LANCZOS)


def cropped_planes(image: Tensor, crop: Crop) -> Tensor:
    """The same of planes (1, C, H, W)."""
    if crop is None:
        return image
    left, top, width, height = _box(image.shape[3], image.shape[2], crop)
    image = image[..., top : top + height, left : left + width]
    if isinstance(crop, str) or tuple(image.shape[2:]) == tuple(crop):
        return image
    return F.interpolate(image, tuple(crop), mode="bilinear", antialias=True).clamp(0, 1)


def trimmed(image: Tensor, multiple: int) -> Tensor:
    """The middle of an image (B, C, H, W) whose sides are multiples; sides below one stay."""
    height, width = image.shape[2:]
    rows, columns = (side - side % multiple or side for side in (height, width))
    top, left = (height - rows) // 2, (width - columns) // 2
    return image[..., top : top + rows, left : left + columns]


def _box(width: int, height: int, crop: str | tuple[int, int]) -> tuple[int, int, int, int]:
    """Left, top, width and height of the largest part of a shape, in the middle."""
    rows, columns = (1, 1) if isinstance(crop, str) else crop
    wide = min(width, max(1, round(height * columns / rows)))
    high = min(height, max(1, round(width * rows / columns)))
    return (width - wide) // 2, (height - high) // 2, wide, high
