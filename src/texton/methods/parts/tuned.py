"""What the filters of a layer answer to synthetic stimuli: all of them in one pass."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from texton.methods.parts.stimuli import (
    HUES,
    ORIENTATIONS,
    PERIODS,
    SIDE,
    Stimuli,
    make_stimuli,
)
from texton.network.device import Compute, in_batches
from texton.network.network import Network

_LEAST = 1e-6  # of the layer's strongest answer: below it a filter does not answer


@dataclass(frozen=True, eq=False)
class Tuning:
    """Answers of F filters, each the mean of the rectified map away from its borders.

    Attributes:
        gratings: (axes, 8 orientations, 6 periods, F), the mean over phases.
        fields, blobs: (colours, F).
        answers: (N, F), to every stimulus; ``best`` are the numbers of the strongest, (F,).
        unit: below it an answer is none.
    """

    gratings: Tensor
    fields: Tensor
    blobs: Tensor
    answers: Tensor
    unit: float

    @property
    def best(self) -> Tensor:
        return self.answers.argmax(0)

    @cached_property
    def colours(self) -> Tensor:
        """(colours, F): what a colour does as a field or as blots, whichever does more."""
        return torch.maximum(self.fields, self.blobs)

    @cached_property
    def orientation_curve(self) -> Tensor:
        """(8, F): the answers to gratings of the period and axis that the filter prefers."""
        return self._strongest.amax(1)

    @cached_property
    def period_curves(self) -> Tensor:
        """(axes, 6, F): the answers at the orientation that does most, for each axis."""
        return self.gratings.amax(1)

    @cached_property
    def _strongest(self) -> Tensor:
        """(8, 6, F): the gratings of the axis that each filter answers most."""
        axis = self.gratings.amax((1, 2)).argmax(0)
        filters = torch.arange(self.gratings.shape[-1])
        return self.gratings[axis, :, :, filters].permute(1, 2, 0)

    def figures(self, channel: int) -> dict[str, float | None]:
        """The numbers of one filter by the keys of ``texton tuning``; None where it is silent."""
        one = self._figures
        return {
            key: None if bool(values[channel].isnan()) else float(values[channel])
            for key, values in one.items()
        }

    @cached_property
    def _figures(self) -> Mapping[str, Tensor]:
        curve = self.orientation_curve
        angles = torch.tensor(ORIENTATIONS).deg2rad()[:, None]
        vector = torch.complex(curve * (2 * angles).cos(), curve * (2 * angles).sin()).sum(0)
        total = curve.sum(0)
        answers = curve.amax(0) > self.unit
        missing = torch.full_like(total, torch.nan)

        def hold(condition: Tensor, values: Tensor) -> Tensor:
            return torch.where(condition, values, missing)

        figures = {
            "orientation": hold(answers, (vector.angle().rad2deg() / 2) % 180),
            "selectivity": hold(answers, vector.abs() / total.clamp_min(self.unit)),
            "period": hold(answers, _peak(self._strongest.amax(0))),
        }
        if len(self.colours) <= 2:
            return {**figures, "hue": missing, "opponency": missing, "colour": missing}
        hues = self.colours[: len(HUES)]
        around = torch.tensor(HUES).deg2rad()[:, None]
        turned = torch.complex(hues * around.cos(), hues * around.sin()).sum(0)
        best, opposite = hues.max(0), hues.roll(len(HUES) // 2, 0)
        against = opposite.gather(0, best.indices[None])[0]
        coloured = best.values > self.unit
        chromatic, light = self.gratings[1:].amax((0, 1, 2)), self.gratings[0].amax((0, 1))
        both = (chromatic + light).clamp_min(self.unit)
        opposed = (best.values - against) / (best.values + against).clamp_min(self.unit)
        return {
            **figures,
            "hue": hold(coloured, turned.angle().rad2deg() % 360),
            "opponency": hold(coloured, opposed),
            "colour": hold(answers, chromatic / both),
        }


def stimuli_for(network: Network, layers: Iterable[str]) -> Stimuli:
    """The stimuli as the network takes them on the way to some layers."""
    size = network.intake(layers).square(SIDE)
    stimuli = make_stimuli(network.channels, max(size))
    return replace(stimuli, images=stimuli.images[..., : size[0], : size[1]])


@torch.no_grad()
def tune(network: Network, layers: Iterable[str], compute: Compute) -> dict[str, Tuning]:
    """The tuning of every filter of some layers, in one pass over the stimuli.

    Raises:
        TextonError: a layer that there is not, or that the stimuli are too small for.
    """
    names = list(dict.fromkeys(layers))
    stimuli = stimuli_for(network, names)
    encode = network.encoder(names, compute.exact())

    def answers(part: slice) -> dict[str, Tensor]:
        codes = encode(stimuli.images[part])
        return {name: _answer(codes[name]) for name in names}

    parts = list(in_batches(len(stimuli.images), compute, answers))
    return {name: _sorted(torch.cat([part[name] for part in parts]), stimuli) for name in names}


def _answer(code: Tensor) -> Tensor:
    """(B, F): the mean of the rectified map, without a quarter at each side: borders touch it."""
    height, width = code.shape[2:]
    inner = code[:, :, height // 4 : height - height // 4, width // 4 : width - width // 4]
    return inner.clamp_min(0).float().mean((2, 3)).cpu()


def _sorted(answers: Tensor, stimuli: Stimuli) -> Tuning:
    gratings = answers[stimuli.gratings].mean(1)
    fields, blobs = answers[stimuli.fields], answers[stimuli.blobs]
    unit = max(_LEAST * float(answers.max()), 1e-12)
    return Tuning(gratings, fields, blobs, answers, unit)


def _peak(curve: Tensor) -> Tensor:
    """(F,): the period at the top of (6, F), between the measured ones by a parabola in log."""
    at = curve.argmax(0)
    low, high = (at - 1).clamp_min(0), (at + 1).clamp_max(len(PERIODS) - 1)
    left, top, right = (curve.gather(0, index[None])[0] for index in (low, at, high))
    bend = left - 2 * top + right
    inside = (at > 0) & (at < len(PERIODS) - 1) & (bend < 0)
    shift = torch.where(inside, 0.5 * (left - right) / bend.clamp_max(-1e-30), 0.0)
    logs = torch.tensor(PERIODS).log()
    beside = torch.where(shift < 0, logs[low], logs[high])
    return (logs[at] + shift.abs() * (beside - logs[at])).exp()
