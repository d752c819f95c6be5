"""Flat colours that filters answer: where the search for a picture of a colour has to begin.

From grey it does not get there: a saturated colour lies far out in decorrelated colours, and the
mean of a picture moves by less than one in the logit in 64 steps.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product

import torch
from torch import Tensor

TRIAL = 4  # a quarter of the steps is tried from grey, and perhaps one from a colour
SOME = 1.0  # of the layer's mean activation by pink noise: what a flat colour must do for that,
MUCH = 0.5  # and of what the trial from grey reached
_CLEARLY, _RISES = 1.5, 1.2
_LEVELS = (0.1, 0.5, 0.9)
SIDE = 96  # that is enough of a flat colour for most networks


@dataclass(frozen=True, eq=False)
class Begun:
    """A picture as far as a trial took it.

    Attributes:
        values: of its canvas.
        reached: its activation.
        steps: ``starts`` and ``seconds``, what was spent on it.
    """

    values: Tensor
    reached: float
    steps: int
    starts: int
    trace: list[float]
    seconds: float


NOT_TRIED = Begun(torch.empty(0), 0.0, 0, 0, [], 0.0)


def flat_images(channels: int, size: tuple[int, int]) -> Tensor:
    """(27, 3, H, W) in [0, 1], every mixture of three levels; of other channels the levels."""
    mixtures = list(product(_LEVELS, repeat=3)) if channels == 3 else [(x,) for x in _LEVELS]
    flat = torch.tensor(mixtures).expand(-1, channels)
    return flat[..., None, None].expand(-1, -1, *size)


def brightest(answers: Tensor, flat: Tensor) -> tuple[Tensor, Tensor]:
    """What every picture's objective is of the flat colour it answers most, (B,), and that colour,
    (B, C).

    Args:
        answers: (N, B), what it is of each flat image (N, C, H, W).
    """
    most, which = answers.max(0)
    return most, flat[which, :, 0, 0]


def further(one: Begun, other: Begun, flat: float) -> Begun:
    """A trial from grey or the other, from a colour, whichever leads further; the cost is of both.

    A colour that is but a little ahead, and did not rise above what it does when flat, is soon
    overtaken: relu2_2:3 of VGG-19 reaches 2.9 from white, 3.8 from grey.
    """
    rises = other.reached > max(one.reached, _RISES * flat)
    best = other if rises or other.reached > _CLEARLY * one.reached else one
    return replace(
        best,
        steps=one.steps + other.steps,
        starts=one.starts + other.starts,
        seconds=one.seconds + other.seconds,
    )
