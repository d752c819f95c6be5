"""What natural images are like: terms that read the image alone, no code."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from texton.solve.objective import Codes, Objective


class TotalVariation(Objective):
    """Mean over pixels of (dx² + dy²)^(β/2), images in [0, 1] (Mahendran & Vedaldi, β = 2).

    Args:
        wraps: opposite edges are neighbours, as in a tile; for β = 2.
    """

    def __init__(self, beta: float = 2.0, wraps: bool = False) -> None:
        self.beta, self.wraps = beta, wraps

    def __call__(self, codes: Codes, image: Tensor) -> Tensor:
        if self.wraps:
            steps = [image - image.roll(1, axis) for axis in (2, 3)]
            return torch.stack([x.square().mean((1, 2, 3)) for x in steps]).sum(0)
        if self.beta == 2:
            variation: Tensor = _SquaredVariation.apply(image)
            return variation
        dx, dy = _slopes(image)
        return (dx.square() + dy.square() + 1e-8).pow(self.beta / 2).mean((1, 2, 3))


def add_variation(gradient: Tensor, image: Tensor, weights: Tensor) -> None:
    """Add the gradient of `TotalVariation` (β = 2), times every image's weight (B,), in place.

    The others are (B, C, H, W). Autograd takes twice as long.
    """
    _add_curvature(gradient, image, (2 * weights / image[0].numel()).to(image.dtype))


class AlphaNorm(Objective):
    """Mean over pixels of |2 (x − centre)|^α: keeps away from the extremes (α = 6)."""

    def __init__(self, centre: Tensor, alpha: float = 6.0) -> None:
        self.centre = centre
        self.alpha = alpha

    def __call__(self, codes: Codes, image: Tensor) -> Tensor:
        distance = 2 * (image - self.centre.to(image.device)).abs()
        return distance.pow(self.alpha).mean((1, 2, 3))


class _SquaredVariation(torch.autograd.Function):
    """xᵀLx over the number of values; Lx is the slope as well, made at once."""

    @staticmethod
    def forward(ctx: Any, image: Tensor) -> Tensor:
        curvature = _curvature(image)
        ctx.save_for_backward(curvature)
        variation: Tensor = (image * curvature).mean((1, 2, 3))
        return variation

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> Tensor:
        (curvature,) = ctx.saved_tensors
        slope: Tensor = curvature * (2 * slopes[0] / curvature[0].numel()).reshape(-1, 1, 1, 1)
        return slope


def _curvature(image: Tensor) -> Tensor:
    """Lx, L being the Laplacian with nothing beyond the edges."""
    curvature = torch.zeros_like(image)
    _add_curvature(curvature, image, image.new_ones(1))
    return curvature


def _add_curvature(to: Tensor, image: Tensor, weights: Tensor) -> None:
    each = weights.reshape(-1, 1, 1, 1)
    for axis in (2, 3):
        step = image.diff(dim=axis)
        to.narrow(axis, 1, step.shape[axis]).addcmul_(step, each)
        to.narrow(axis, 0, step.shape[axis]).addcmul_(step, each, value=-1)


def _slopes(image: Tensor) -> tuple[Tensor, Tensor]:
    corner = image[..., :-1, :-1]
    return image[..., :-1, 1:] - corner, image[..., 1:, :-1] - corner
