"""The content's own colours, kept: by its chroma afterwards, or by the styles' beforehand."""

from __future__ import annotations

import torch
from torch import Tensor

_LEAST = 1e-5  # of a variance: what has no colours has no directions either


def with_colors_of(content: Tensor, picture: Tensor) -> Tensor:
    """The picture's luma with the content's chroma (ITU-R BT.601); both (B, 3, H, W)."""
    weights = torch.tensor([0.299, 0.587, 0.114], device=picture.device).reshape(1, 3, 1, 1)
    light = (picture * weights).sum(1, keepdim=True)
    chroma = content - (content * weights).sum(1, keepdim=True)
    return (light + chroma).clamp(0, 1)


def recoloured(style: Tensor, content: Tensor) -> Tensor:
    """The style with the mean and covariance of the content's colours, clamped to [0, 1].

    Both (1, C, H, W). Of the transforms that do it the one that moves colours least (Gatys et al.,
    Preserving Color in Neural Artistic Style Transfer, 2016, with the optimal transport between
    two Gaussians in place of their square roots' quotient).
    """
    (from_mean, from_spread), (to_mean, to_spread) = _colours(style), _colours(content)
    root = _power(from_spread, 0.5)
    inverse = _power(from_spread, -0.5)
    transform = inverse @ _power(root @ to_spread @ root, 0.5) @ inverse
    flat = style[0].flatten(1).double() - from_mean
    moved = transform @ flat + to_mean
    return moved.reshape(style[0].shape)[None].to(style.dtype).clamp(0, 1)


def without_white(image: Tensor, alpha: Tensor) -> Tensor:
    """A picture (1, C, H, W) that was laid on white as it was before; white where nothing was.

    Args:
        alpha: (H, W) in [0, 1].
    """
    seen = alpha > 0.02  # of 8 bits nothing can be told below
    own = (image - (1 - alpha)) / alpha.clamp_min(0.02)
    return torch.where(seen, own.clamp(0, 1), image)


def _colours(image: Tensor) -> tuple[Tensor, Tensor]:
    """The mean (C, 1) and covariance (C, C) of the pixels, in float64."""
    flat = image[0].flatten(1).double()
    mean = flat.mean(1, keepdim=True)
    spread = (flat - mean) @ (flat - mean).T / flat.shape[1]
    return mean, spread + _LEAST * torch.eye(len(spread), dtype=spread.dtype, device=spread.device)


def _power(matrix: Tensor, exponent: float) -> Tensor:
    """Of a symmetric positive matrix."""
    values, vectors = torch.linalg.eigh(matrix)
    scaled: Tensor = vectors @ torch.diag(values.clamp_min(_LEAST / 10).pow(exponent)) @ vectors.T
    return scaled
