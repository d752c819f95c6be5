"""How opaque a picture is, as its file says it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from texton.errors import TextonError
from texton.images.crop import Crop, cropped_picture
from texton.images.opening import check_size, identify, upright

_OTHER_SHAPE = 0.02  # of the aspect ratio: what was cut in another way has another


def read_alpha(path: Path, like: Tensor, crop: Crop = None) -> Tensor | None:
    """The alpha of a picture that was read as (1, C, H, W): (H, W) in [0, 1].

    Args:
        crop: how it was cropped.

    Returns:
        None where it is opaque, or in a format that Pillow does not know.
    """
    try:
        with identify(path) as picture:
            if "A" not in picture.getbands() and "transparency" not in picture.info:
                return None
            check_size(path, *picture.size)
            alpha = upright(picture.convert("RGBA"), picture).getchannel("A")
    except (TextonError, OSError, SyntaxError, ValueError):
        return None  # the picture itself is read first, and refused there
    alpha = cropped_picture(alpha, crop)
    height, width = like.shape[2:]
    if abs(alpha.width * height / (alpha.height * width) - 1) > _OTHER_SHAPE:
        return None
    if alpha.size != (width, height):
        alpha = alpha.resize((width, height), Image.Resampling.LANCZOS)
    values = torch.from_numpy(np.array(alpha, dtype=np.float32) / 255)
    return None if bool((values == 1).all()) else values
