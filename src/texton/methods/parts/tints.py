"""Flat colours that filters answer: where the search for a picture of a colour has to begin.

From grey it does not get there: a saturated colour lies far out in decorrelated colours, and the
mean of a picture moves by less than one in the logit in 64 steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product

import torch
from torch import Tensor

from texton.methods.result import Result

_LEVELS = (0.1, 0.5, 0.9)
_SIDE = 96
_MUCH = 0.5  # of what the search reached: then a flat colour is worth beginning at


def flat_images(channels: int, size: tuple[int, int]) -> Tensor:
    """(27, 3, H, W) in [0, 1], every mixture of three levels; of other channels the levels."""
    mixtures = list(product(_LEVELS, repeat=3)) if channels == 3 else [(x,) for x in _LEVELS]
    flat = torch.tensor(mixtures).expand(-1, channels)
    return flat[..., None, None].expand(-1, -1, min(_SIDE, size[0]), min(_SIDE, size[1]))


def tints_worth(
    answers: Tensor, flat: Tensor, reached: Sequence[float]
) -> tuple[list[int], Tensor]:
    """The pictures that flat colours nearly outdo, and the colours (some, C) they answer most.

    Args:
        answers: (N, B), what every picture's objective is of each flat image (N, C, H, W).
        reached: every picture's activation.
    """
    most, which = answers.max(0)
    again = [b for b, activation in enumerate(reached) if float(most[b]) > _MUCH * activation]
    return again, flat[which[again], :, 0, 0]


def better(first: Result, other: Result) -> Result:
    """The one with more activation, at the cost of both."""
    a, b = first.figures, other.figures
    best = other if (b["activation"] or 0) > (a["activation"] or 0) else first
    spent = {key: (a[key] or 0) + (b[key] or 0) for key in ("steps", "starts")}
    return replace(best, figures={**best.figures, **spent}, seconds=first.seconds + other.seconds)
