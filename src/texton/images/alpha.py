"""How opaque a picture is, as its file says it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from texton.errors import TextonError
from texton.images.crop import Crop, cropped_picture, cropped_planes, trimmed
from texton.images.deep import read_deep_alpha
from texton.images.opening import check_size, identify, upright
from texton.images.planes import fit_planes


def read_alpha(
    path: Path,
    like: Tensor,
    long_edge: int | None = None,
    *,
    enlarge: bool = False,
    white: float | None = None,
    crop: Crop = None,
    multiple: int = 1,
) -> Tensor | None:
    """The alpha of a picture that was read as (1, C, H, W): (H, W) in [0, 1].

    Args:
        long_edge: and all else as `read_image` was told.

    Returns:
        None where it is opaque, or in a format that says nothing of it.
    """
    if isinstance(crop, (tuple, list)):
        long_edge, crop = None, (crop[0], crop[1])
    try:
        planes = read_deep_alpha(path, like.shape[1], white)
        if planes is None:
            planes = _pillows(path, long_edge, enlarge, crop)
        else:
            planes = fit_planes(cropped_planes(planes, crop), long_edge, enlarge)
    except (TextonError, OSError, SyntaxError, ValueError):
        return None  # the picture itself is read first, and refused there
    if planes is None:
        return None
    alpha = trimmed(planes, multiple)[0, 0].contiguous()
    return None if alpha.shape != like.shape[2:] or bool((alpha == 1).all()) else alpha


def _pillows(path: Path, long_edge: int | None, enlarge: bool, crop: Crop) -> Tensor | None:
    """(1, 1, H, W), of what Pillow reads; made smaller as its colours are."""
    with identify(path) as picture:
        if "A" not in picture.getbands() and "transparency" not in picture.info:
            return None
        check_size(path, *picture.size)
        alpha = upright(picture.convert("RGBA"), picture).getchannel("A")
    alpha = cropped_picture(alpha, crop)
    scale = 1.0 if long_edge is None else long_edge / max(alpha.size)
    if scale < 1 or (enlarge and scale > 1):
        width, height = (max(1, round(side * scale)) for side in alpha.size)
        alpha = alpha.resize((width, height), Image.Resampling.LANCZOS)
    return torch.from_numpy(np.array(alpha, dtype=np.float32) / 255)[None, None]
