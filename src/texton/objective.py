"""What is minimised, from codes: one value per image of the batch, so that images never mix."""

from __future__ import annotations

import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from texton.errors import TextonError
from texton.rectified import is_rectified, mark_rectified

Codes = Mapping[str, Tensor]
_MANY = 1024  # positions


class Objective(ABC):
    """``objective(codes, image) -> (B,)``; ``layers`` names the codes it reads.

    ``a + b`` and ``0.5 * a`` make new objectives and leave their operands alone.
    """

    layers: tuple[str, ...] = ()

    @abstractmethod
    def __call__(self, codes: Codes, image: Tensor) -> Tensor: ...

    def __add__(self, other: Objective) -> Objective:
        return WeightedSum([(1.0, self), (1.0, other)])

    def __mul__(self, weight: float) -> Objective:
        return WeightedSum([(float(weight), self)])

    __rmul__ = __mul__


class WeightedSum(Objective):
    """Σ weight · objective."""

    def __init__(self, terms: Sequence[tuple[float, Objective]]) -> None:
        self.terms = list(terms)
        self.layers = tuple(dict.fromkeys(name for _, term in terms for name in term.layers))

    def __call__(self, codes: Codes, image: Tensor) -> Tensor:
        values = [weight * term(codes, image) for weight, term in self.terms]
        return torch.stack(values).sum(0)


class CodeMatch(Objective):
    """‖φ(X) − target‖² / ‖target‖²: code inversion (Mahendran & Vedaldi; the paper's section 2).

    Args:
        layer: whose code is matched.
        target: (1, C, M, N) or (B, C, M, N).

    Raises:
        TextonError: the target is all zero, so that there is nothing to match.
    """

    def __init__(self, layer: str, target: Tensor) -> None:
        self.layers = (layer,)
        self.target = target
        self.target_energy = _energy(target.float().square().sum((1, 2, 3)), layer)

    def __call__(self, codes: Codes, image: Tensor) -> Tensor:
        difference = codes[self.layers[0]].float() - self.target
        return difference.square().sum((1, 2, 3)) / self.target_energy


class FeatureMapMatch(Objective):
    """‖φ(X) − ψ(φ(photo), l)‖² / ‖ψ‖² for one filter l per image (the paper's section 2.1).

    The same as `CodeMatch` with the target of `codes.isolate`, without holding that target:
    all but one of its maps are zero.

    Args:
        layer: whose filters are inverted.
        channels: filter l of every image of the batch.
        total: (1, M, N), the photograph's feature maps added up.
    """

    def __init__(self, layer: str, channels: Sequence[int], total: Tensor) -> None:
        self.layers = (layer,)
        self.channels = list(channels)
        self.total = total.float()
        self.target_energy = _energy(self.total.square().sum((1, 2)), layer)
        self._asked = self.total.sum((1, 2))
        self._latest: tuple[weakref.ref[Tensor], Tensor] | None = None

    def own_maps(self, code: Tensor) -> Tensor:
        """Each image's own filter's map, (B, C, M, N) → (B, M, N), without gradient.

        Those of the latest code are kept: a map's values lie far apart, and take as long to fetch
        as a pass over the whole code.
        """
        if self._latest is None or self._latest[0]() is not code:
            self._latest = weakref.ref(code), _own_maps(code.detach(), self.channels)
        return self._latest[1]

    def achieved(self, codes: Codes) -> Tensor:
        """(B,): how much of the energy that the target asks of the filter the image reaches."""
        own = self.own_maps(codes[self.layers[0]]).clamp_min(0)
        return own.sum((1, 2)) / self._asked

    def __call__(self, codes: Codes, image: Tensor) -> Tensor:
        code = codes[self.layers[0]]
        own = self.own_maps(code)
        error: Tensor = _MapError.apply(code, own, self.channels, self.total, self.target_energy)
        return error


class StatisticMatch(Objective):
    """‖s(φ(X)) − target‖² / ‖target‖² for a statistic s of a layer's code.

    With `codes.means` this is the paper's PMCI (section 2.3), with `codes.gram` Gatys et al.,
    with `codes.moments` the matching of batch-norm statistics. Scaled by its own target, it
    means the same for every layer, size and network.

    Args:
        statistic: (B, C, M, N) → (B, ...).
        target: (1, ...), the statistic that is wanted.
    """

    def __init__(self, layer: str, statistic: Callable[[Tensor], Tensor], target: Tensor) -> None:
        self.layers = (layer,)
        self.statistic = statistic
        self.target = target.float()
        self.target_energy = _energy(self.target.square().flatten(1).sum(1), layer)

    def __call__(self, codes: Codes, image: Tensor) -> Tensor:
        difference = self.statistic(codes[self.layers[0]]) - self.target
        return difference.square().flatten(1).sum(1) / self.target_energy


class Activation(Objective):
    """Minus a filter's activation, averaged where the target wants it and scaled by its size.

    Used on pre-activations: they have a gradient where the rectified map is silent.

    Args:
        layer: a name that ``Network.encode`` knows, usually a pre-activation.
        channels: the filter of every image of the batch.
        where: (1, M, N), not negative: where the filter should be active; resized to the code.
    """

    def __init__(self, layer: str, channels: Sequence[int], where: Tensor) -> None:
        self.layers = (layer,)
        self.channels = list(channels)
        self.where = where.float()

    def __call__(self, codes: Codes, image: Tensor) -> Tensor:
        code = codes[self.layers[0]]
        own = _own_maps(code, self.channels)
        where = F.interpolate(self.where[None], own.shape[1:])[0]
        weighted = (own * where).sum((1, 2)) / where.sum((1, 2))
        return -weighted / own.detach().abs().mean((1, 2)).clamp_min(1e-6)


class TotalVariation(Objective):
    """Mean over pixels of (dx² + dy²)^(β/2), images in [0, 1] (Mahendran & Vedaldi, β = 2)."""

    def __init__(self, beta: float = 2.0) -> None:
        self.beta = beta

    def __call__(self, codes: Codes, image: Tensor) -> Tensor:
        if self.beta == 2:
            variation: Tensor = _SquaredVariation.apply(image)
            return variation
        dx, dy = _slopes(image)
        return (dx.square() + dy.square() + 1e-8).pow(self.beta / 2).mean((1, 2, 3))


def variation_slope(image: Tensor) -> Tensor:
    """The gradient of `TotalVariation` (β = 2), (B, C, H, W): autograd takes twice as long."""
    return _curvature(image).mul_(2 / image[0].numel())


class AlphaNorm(Objective):
    """Mean over pixels of |2 (x − centre)|^α: keeps away from the extremes (α = 6)."""

    def __init__(self, centre: Tensor, alpha: float = 6.0) -> None:
        self.centre = centre
        self.alpha = alpha

    def __call__(self, codes: Codes, image: Tensor) -> Tensor:
        distance = 2 * (image - self.centre.to(image.device)).abs()
        return distance.pow(self.alpha).mean((1, 2, 3))


class _MapError(torch.autograd.Function):
    """‖code − ψ‖² / ‖ψ‖² in two passes over the code: its slope, 2 (code − ψ), is written at once.

    Spelt in plain operations it takes seven, which shows in shallow layers. Of a code marked as
    rectified the slope is zero where the code is, as its rectifier makes it anyway, and marked too.
    """

    @staticmethod
    def forward(
        ctx: Any, code: Tensor, own: Tensor, channels: list[int], total: Tensor, energy: Tensor
    ) -> Tensor:
        ctx.save_for_backward(code, own, total, energy)
        ctx.channels, ctx.rectified = channels, is_rectified(code)
        error: Tensor = (_squares(code) - 2 * (own * total).sum((1, 2))) / energy + 1
        return error

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        code, own, total, energy = ctx.saved_tensors
        scale = 2 * slopes[0] / energy
        slope: Tensor = code * scale.to(code.dtype).reshape(-1, 1, 1, 1)
        at_own = (own - total).mul_(scale.reshape(-1, 1, 1))
        if ctx.rectified:
            at_own.masked_fill_(own == 0, 0)
        for b, channel in enumerate(ctx.channels):
            slope[b, channel] = at_own[b]
        if ctx.rectified:
            mark_rectified(slope)
        return slope, *(None,) * 4


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
    for axis in (2, 3):
        step = image.diff(dim=axis)
        curvature.narrow(axis, 1, step.shape[axis]).add_(step)
        curvature.narrow(axis, 0, step.shape[axis]).sub_(step)
    return curvature


def _squares(code: Tensor) -> Tensor:
    """‖code‖², (B,). Norms of single positions, rounded to bfloat16, are right on the average."""
    last = code.permute(0, 2, 3, 1)  # contiguous, as a network's codes are
    if last.shape[1] * last.shape[2] < _MANY:
        return last.float().square().sum((1, 2, 3))
    norms: Tensor = torch.linalg.vector_norm(last, dim=3)
    return norms.float().square().sum((1, 2))


def _own_maps(code: Tensor, channels: Sequence[int]) -> Tensor:
    if len(channels) == 1:
        return code[:, channels[0]].float()
    return torch.stack([code[b, channel] for b, channel in enumerate(channels)]).float()


def _slopes(image: Tensor) -> tuple[Tensor, Tensor]:
    corner = image[..., :-1, :-1]
    return image[..., :-1, 1:] - corner, image[..., 1:, :-1] - corner


def _energy(value: Tensor, layer: str) -> Tensor:
    if not bool((value > 0).all()):
        raise TextonError(f"the photograph activates nothing at '{layer}': choose another layer")
    return value
