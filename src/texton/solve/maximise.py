"""What is made as large as it can be: a filter's activation; minus it is minimised.

Values are negative, in a unit that stays the same from step to step, so that a trace tells how far
it has come.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from texton.errors import TextonError
from texton.solve.directions import Directions, Units
from texton.solve.objective import Codes, Objective

Place = tuple[int, int]  # a row and a column of a code
_FAINT, _PART = 0.1, 24  # standard deviation of a part's colours, of 1; pixels


class Maximise(Objective):
    """Minus the activation along a direction, Σ u_c φ_c: averaged over the map, or at one place.

    Unlike `Activation`, which divides by its own size in every step.

    Args:
        layer: a name that ``Network.encode`` knows.
        units: what each image of the batch shows: a filter, or a row of shares (B, C), negative
            ones too.
        unit: what counts as 1.
        place: the neuron; None: all of them.
    """

    def __init__(
        self,
        layer: str,
        units: Units,
        device: torch.device,
        unit: float = 1.0,
        place: Place | None = None,
    ) -> None:
        self.layers = (layer,)
        self._directions = Directions(units, device)
        self._place = place
        self._unit = unit

    def activation(self, codes: Codes) -> Tensor:
        """(B,), in units."""
        own = self._directions.along(codes[self.layers[0]])
        if self._place is None:
            return own.mean((1, 2)) / self._unit
        return own[:, self._place[0], self._place[1]] / self._unit

    def __call__(self, codes: Codes, image: Tensor) -> Tensor:
        return -self.activation(codes)


class Diverse(Objective):
    """The pictures of a batch are one: each counts for less, the more it is like the others.

    (1 − w · likeness) times the activation; the likeness is the mean cosine between the Gram
    matrices of the layer's code (after Lucid). To be unlike a texture it would be enough to be
    one flat colour: a part that varies less than a faint picture counts for less, a flat one
    nothing.
    """

    def __init__(self, maximise: Maximise, weight: float) -> None:
        self.layers = maximise.layers
        self._maximise, self._weight = maximise, weight

    def __call__(self, codes: Codes, image: Tensor) -> Tensor:
        errors = self._maximise(codes, image)
        code = codes[self.layers[0]].float().flatten(2)
        grams = F.normalize((code @ code.mT).flatten(1))
        likeness = grams @ grams.T
        others = (likeness.sum(1) - likeness.diagonal()) / max(1, len(code) - 1)
        return errors * (1 - self._weight * others) * _vivid(image.float())


def _vivid(images: Tensor) -> Tensor:
    """(B,), the share of images (B, C, H, W) that is not faint: of each part at most all."""
    side = min(_PART, *images.shape[2:])
    images = images - images.mean((2, 3), keepdim=True)  # or float32 sees noise in what is flat
    square = F.avg_pool2d(images.square(), side) - F.avg_pool2d(images, side).square()
    varies = (square.clamp_min(0) + 1e-8).sqrt().mean(1)
    return (varies / _FAINT).clamp_max(1).mean((1, 2))


@dataclass(frozen=True, eq=False)
class Ranked:
    """Maps (K) of a layer, the values (K, levels) wanted of each, upwards, and their weights."""

    maps: list[int]
    values: Tensor
    weights: Tensor


class RankMatch(Objective):
    """‖sort φ_k(X) − sorted target_k‖² / ‖target‖² of some maps, weighted, averaged over layers:
    as strong as a target as often, wherever (VITAL, 2025). 0 at best, so that it can settle.

    Args:
        wanted: by layer, of each image of the batch; as many maps of each.
    """

    def __init__(self, wanted: Mapping[str, Sequence[Ranked]]) -> None:
        self.layers = tuple(wanted)
        self._wanted = {
            name: (
                torch.tensor([one.maps for one in each]).to(each[0].values.device),
                torch.stack([one.values for one in each]),
                torch.stack([one.weights for one in each]),
            )
            for name, each in wanted.items()
        }
        self._at: dict[tuple[str, int], Tensor] = {}

    def __call__(self, codes: Codes, image: Tensor) -> Tensor:
        errors = [self._error(name, codes[name]) for name in self.layers]
        return torch.stack(errors).mean(0)

    def _error(self, name: str, code: Tensor) -> Tensor:
        maps, values, weights = self._wanted[name]
        rows = torch.arange(len(code), device=code.device)[:, None]
        own = code[rows, maps].float().flatten(2).sort(2).values
        if (target := self._at.get((name, own.shape[2]))) is None:
            target = F.interpolate(values, own.shape[2], mode="linear", align_corners=True)
            self._at[name, own.shape[2]] = target
        apart = ((own - target).square().mean(2) * weights).sum(1)
        return apart / (target.square().mean(2) * weights).sum(1).clamp_min(1e-12)


class Held(Objective):
    """‖φ(X) − φ(photo)‖ at a layer, averaged over positions, over ‖φ(photo)‖, both seen alike.

    Not its square, whose pull is nothing at first and all in the end: one weight holds throughout.

    Args:
        target: the photograph's code (B, C, M, N), as this step sees it.
    """

    def __init__(self, layer: str, target: Callable[[], Tensor]) -> None:
        self.layers = (layer,)
        self._target = target

    def __call__(self, codes: Codes, image: Tensor) -> Tensor:
        target = self._target().float()
        apart = (codes[self.layers[0]].float() - target).square().sum(1)
        size = target.square().sum(1).sqrt().mean((1, 2)).clamp_min(1e-6)
        return (apart + (1e-3 * size[:, None, None]).square()).sqrt().mean((1, 2)) / size


class Energy(Objective):
    """Minus the mean square of a layer's maps, of all or of some: what is there is strengthened
    (Mordvintsev et al. 2015)."""

    def __init__(self, layer: str, channels: Sequence[int] = ()) -> None:
        self.layers = (layer,)
        self._channels = list(channels)

    def __call__(self, codes: Codes, image: Tensor) -> Tensor:
        return -_of(codes[self.layers[0]], self._channels).square().mean((1, 2, 3))


class Guided(Objective):
    """Minus ⟨φ_i, y_j⟩, averaged over positions i, j being the one of the guide that is most like
    it: the features of a guide (1, C, M, N) are looked for."""

    def __init__(self, layer: str, guide: Tensor, channels: Sequence[int] = ()) -> None:
        self.layers = (layer,)
        self._channels = list(channels)
        self._guide = _of(guide, self._channels)[0].flatten(1)  # (C, positions)

    def __call__(self, codes: Codes, image: Tensor) -> Tensor:
        code = _of(codes[self.layers[0]], self._channels).flatten(2)
        likest = torch.einsum("bcp,cq->bpq", code, self._guide.to(code)).amax(2)
        return -likest.mean(1)


def _of(code: Tensor, channels: Sequence[int]) -> Tensor:
    return (code[:, list(channels)] if channels else code).float()


def check_place(place: Place, extent: Place, layer: str) -> None:
    """Refuse a neuron that the map has not.

    Raises:
        TextonError: it lies outside.
    """
    rows, columns = extent
    if not (0 <= place[0] < rows and 0 <= place[1] < columns):
        raise TextonError(
            f"{layer} has {rows}×{columns} neurons here, none at {place[0]},{place[1]}: "
            f"use rows 0 to {rows - 1}, columns 0 to {columns - 1}"
        )
