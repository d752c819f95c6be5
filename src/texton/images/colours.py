"""The colours of a picture as a cloud of points: its mean, and how they vary together."""

from __future__ import annotations

import torch
from torch import Tensor

_LEAST = 1e-8  # of a variance, images in [0, 1]: a flat picture has no colours to turn


def with_colours_of(picture: Tensor, source: Tensor) -> Tensor:
    """(1, C, H, W) in [0, 1] with the source's mean and covariance of channels, every pixel turned
    alike and as little as does it (the linear Monge map, Pitié & Kokaram 2007). The source is
    (1, C, h, w); of a grey one the picture comes out grey."""
    points, wanted = (x[0].flatten(1).double().cpu() for x in (picture, source))
    own, other = torch.cov(points, correction=0), torch.cov(wanted, correction=0)
    own, other = (x.reshape(len(points), len(points)) for x in (own, other))
    half = _power(own, 0.5)
    back = _power(own, -0.5)
    turn = back @ _power(half @ other @ half, 0.5) @ back
    turned = turn @ (points - points.mean(1, keepdim=True)) + wanted.mean(1, keepdim=True)
    image: Tensor = turned.reshape(picture.shape).clamp(0, 1).to(picture)
    return image


def _power(matrix: Tensor, exponent: float) -> Tensor:
    """Of a symmetric matrix whose eigenvalues are not negative."""
    values, vectors = torch.linalg.eigh(matrix)
    least = _LEAST if exponent < 0 else 0.0
    power: Tensor = vectors @ torch.diag(values.clamp_min(least).pow(exponent)) @ vectors.T
    return power
