"""What is minimised, from codes: one value per image of the batch, so that images never mix."""

from __future__ import annotations

import math
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from texton.errors import TextonError
from texton.network.codes import channel_sums
from texton.network.marks import is_rectified, mark_rectified
from texton.solve.directions import Directions, Units

Codes = Mapping[str, Tensor]
_MANY = 1024  # positions
_TOGETHER = 16  # positions whose norms are taken as one, in half the time


class Objective(ABC):
    """``objective(codes, image) -> (B,)``; ``layers`` names the codes it reads.

    ``a + b`` and ``0.5 * a`` make new objectives and leave their operands alone.
    """

    layers: tuple[str, ...] = ()

    @property
    def seeds(self) -> Tensor | None:
        """(B,), what a gradient is quicker begun with than with 1; it comes out so many times as
        large. None: nothing is."""
        return None

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
        self.target_square = _positive(target.float().square().sum((1, 2, 3)), layer)

    def __call__(self, codes: Codes, image: Tensor) -> Tensor:
        difference = codes[self.layers[0]].float() - self.target
        return difference.square().sum((1, 2, 3)) / self.target_square


class FeatureMapMatch(Objective):
    """‖φ(X) − T ⊗ u‖² / ‖T ⊗ u‖², one direction u of channel space per image.

    T is the photograph's total map. Filter l is the direction e_l, whose target T ⊗ e_l is the
    paper's ψ(φ(photo), l) (section 2.1). The same as `CodeMatch` without holding the target:
    ‖φ‖² − 2 ⟨Σ u_c φ_c, T⟩ + ‖u‖² ‖T‖².

    Args:
        layer: whose filters are inverted.
        units: what each image of the batch extracts.
        total: (1, M, N), the photograph's feature maps added up.
    """

    def __init__(self, layer: str, units: Units, total: Tensor) -> None:
        self.layers = (layer,)
        self.total = total.float()
        self._directions = Directions(units, total.device)
        squares = self._directions.squares
        self.target_square = squares * _positive(self.total.square().sum((1, 2)), layer)
        self._half = self.target_square / 2
        self._asked = squares * self.total.sum((1, 2))
        self._half = self.target_square / 2
        self._latest: tuple[weakref.ref[Tensor], Tensor] | None = None

    def own_maps(self, code: Tensor) -> Tensor:
        """Each image's map along its direction, (B, C, M, N) → (B, M, N), without gradient.

        Those of the latest code are kept: a map's values lie far apart, and take as long to fetch
        as a pass over the whole code.
        """
        if self._latest is None or self._latest[0]() is not code:
            self._latest = weakref.ref(code), self._directions.along(code.detach())
        return self._latest[1]

    def achieved(self, codes: Codes) -> Tensor:
        """(B,): how much of the energy that the target asks for along u the image reaches."""
        code = codes[self.layers[0]]
        if self._directions.are_filters:
            return self.own_maps(code).clamp_min(0).sum((1, 2)) / self._asked
        return self._directions.weighted(channel_sums(code.detach().float())) / self._asked

    @property
    def seeds(self) -> Tensor:
        """Half the target's square: of it the gradient to the code is φ − T ⊗ u itself."""
        return self._half

    def __call__(self, codes: Codes, image: Tensor) -> Tensor:
        code = codes[self.layers[0]]
        squares = _squares(code.detach())  # first: a pass in order brings the code near
        own = self.own_maps(code)
        others = self._directions, self.total, self._half
        error: Tensor = _MapError.apply(code, squares, own, *others)
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
        self.target_square = _positive(self.target.square().flatten(1).sum(1), layer)

    def __call__(self, codes: Codes, image: Tensor) -> Tensor:
        difference = self.statistic(codes[self.layers[0]]) - self.target
        return difference.square().flatten(1).sum(1) / self.target_square


class Activation(Objective):
    """Minus the activation along a direction, averaged where the target wants it and scaled by
    its size.

    Used on pre-activations: they have a gradient where the rectified map is silent.

    Args:
        layer: a name that ``Network.encode`` knows, usually a pre-activation.
        units: what each image of the batch extracts.
        where: (1, M, N), not negative: where it should be active; resized to the code.
    """

    def __init__(self, layer: str, units: Units, where: Tensor) -> None:
        self.layers = (layer,)
        self.where = where.float()
        self._directions = Directions(units, where.device)

    def __call__(self, codes: Codes, image: Tensor) -> Tensor:
        own = self._directions.along(codes[self.layers[0]])
        where = F.interpolate(self.where[None], own.shape[1:])[0]
        weighted = (own * where).sum((1, 2)) / where.sum((1, 2))
        return -weighted / own.detach().abs().mean((1, 2)).clamp_min(1e-6)


class _MapError(torch.autograd.Function):
    """‖code − T ⊗ u‖² / ‖T ⊗ u‖², whose slope, 2 (code − T ⊗ u), is written in one pass over the
    code, where it is begun with `FeatureMapMatch.seeds`, and two elsewhere.

    Spelt in plain operations both take seven, which shows in shallow layers. Of a rectified code
    the slope is zero where the filter is silent, as its rectifier makes it anyway.
    """

    @staticmethod
    def forward(
        ctx: Any,
        code: Tensor,
        squares: Tensor,
        own: Tensor,
        directions: Directions,
        total: Tensor,
        half: Tensor,
    ) -> Tensor:
        ctx.save_for_backward(code, own, total, half)
        ctx.directions = directions
        ctx.rectified = directions.are_filters and is_rectified(code)
        along = own.flatten(1) @ total.flatten()  # the target
        error: Tensor = (squares / 2).sub_(along).div_(half).add_(1)
        return error

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        code, own, total, half = ctx.saved_tensors
        if ctx.rectified:
            total = torch.where(own > 0, total, 0)
        slope = ctx.directions.differences(code.detach(), total)
        scale = slopes[0] / half
        if scale.device.type != "cpu" or bool((scale != 1).any()):  # others would be waited for
            slope *= scale.to(slope.dtype).reshape(-1, 1, 1, 1)
        if ctx.rectified:
            mark_rectified(slope)
        return slope, *(None,) * 5


def _squares(code: Tensor) -> Tensor:
    """‖code‖², (B,). Norms of few positions, rounded to bfloat16, are right on the average."""
    count, channels, height, width = code.shape
    positions = height * width
    last = code.permute(0, 2, 3, 1)  # contiguous, as a network's codes are
    if positions < _MANY:
        return last.float().square().sum((1, 2, 3))
    together = math.gcd(positions, _TOGETHER)
    rows = last.reshape(count, positions // together, together * channels)
    norms: Tensor = torch.linalg.vector_norm(rows, dim=2)
    return norms.float().square().sum(1)


def _positive(value: Tensor, layer: str) -> Tensor:
    if not bool(value.isfinite().all()):
        raise TextonError(
            f"the photograph's code at '{layer}' is too large to be squared, infinite or NaN: "
            "choose a layer before it, or look at the network's preprocessing"
        )
    if not bool((value > 0).all()):
        raise TextonError(f"the photograph activates nothing at '{layer}': choose another layer")
    return value
