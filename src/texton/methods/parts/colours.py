"""A content's own chroma, kept; a picture that was laid on white, taken off it."""

from __future__ import annotations

import torch
from torch import Tensor


def with_colors_of(content: Tensor, picture: Tensor) -> Tensor:
    """The picture's luma with the content's chroma (ITU-R BT.601); both (B, 3, H, W)."""
    weights = torch.tensor([0.299, 0.587, 0.114], device=picture.device).reshape(1, 3, 1, 1)
    light = (picture * weights).sum(1, keepdim=True)
    chroma = content - (content * weights).sum(1, keepdim=True)
    return (light + chroma).clamp(0, 1)


def without_white(image: Tensor, alpha: Tensor) -> Tensor:
    """A picture (1, C, H, W) that was laid on white as it was before; white where nothing was.

    Args:
        alpha: (H, W) in [0, 1].
    """
    seen = alpha > 0.02  # of 8 bits nothing can be told below
    own = (image - (1 - alpha)) / alpha.clamp_min(0.02)
    return torch.where(seen, own.clamp(0, 1), image)
