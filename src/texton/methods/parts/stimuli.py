"""Synthetic stimuli of a laboratory: gratings, coloured fields, coloured blobs; no photograph."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

SIDE = 128
ORIENTATIONS = tuple(22.5 * k for k in range(8))  # of the bars: 0 lies, 90 stands
PERIODS = (4.0, 6.0, 9.0, 14.0, 21.0, 32.0)  # pixels
PHASES = (0.0, math.pi / 2)  # of the luminance gratings
AXES = ("light–dark", "red–cyan", "blue–yellow")
HUES = tuple(30.0 * k for k in range(12))
HUE_NAMES = (
    *("red", "orange", "yellow", "lime", "green", "mint"),
    *("cyan", "azure", "blue", "violet", "magenta", "rose"),
)
COLOURS = (*HUE_NAMES, "white", "black")
_CONTRAST = 0.45  # the largest step from grey in one channel of a colour
_GREY = 0.5


@dataclass(frozen=True, eq=False)
class Stimuli:
    """All pictures (N, C, S, S) in [0, 1], and where each kind stands among them.

    Attributes:
        gratings: the numbers of the gratings, (axes, phases, orientations, periods); chromatic
            ones have one phase, which stands twice.
        fields, blobs: of the uniform and the blotched colours, one per colour of `COLOURS`.
        grey: of plain grey.
    """

    images: Tensor
    gratings: Tensor
    fields: Tensor
    blobs: Tensor
    grey: int


def make_stimuli(channels: int, side: int = SIDE) -> Stimuli:
    """About 220 pictures; a network of other than three channels gets those without colour.

    Every step from grey, of light or of colour, has the same length in RGB, so that what
    answers more to one of them does so by its weights.

    Args:
        channels: the network's; light moves all of them together.
        side: S in pixels.
    """
    every: list[Tensor] = []

    def add(pattern: Tensor, colour: Tensor) -> int:
        every.append(_GREY + pattern * colour.reshape(-1, 1, 1))
        return len(every) - 1

    axes = _axes(channels)
    gratings = [
        [
            [[add(_grating(side, o, p, phase), axis) for p in PERIODS] for o in ORIENTATIONS]
            for phase in (PHASES if number == 0 else PHASES[:1])
        ]
        for number, axis in enumerate(axes)
    ]
    paired = [kind if len(kind) == len(PHASES) else kind * len(PHASES) for kind in gratings]
    light = axes[0]
    steps = [hue_step(hue) for hue in HUES] if channels == 3 else []
    steps += [light, -light]
    flat, blotched = torch.ones(side, side), _blotches(side)
    fields = [add(flat, step) for step in steps]
    blobs = [add(blotched, step) for step in steps]
    grey = add(torch.zeros(side, side), light)
    return Stimuli(
        torch.stack(every).clamp(0, 1),
        torch.tensor(paired),
        torch.tensor(fields),
        torch.tensor(blobs),
        grey,
    )


def hue_step(hue: float) -> Tensor:
    """(3,): a step from grey towards a hue in degrees, no lighter and no darker in its mean."""
    a = torch.tensor([2.0, -1.0, -1.0]) / 6**0.5
    b = torch.tensor([0.0, 1.0, -1.0]) / 2**0.5
    angle = math.radians(hue)
    step: Tensor = _CONTRAST * 1.5**0.5 * (math.cos(angle) * a + math.sin(angle) * b)
    return step


def _axes(channels: int) -> list[Tensor]:
    """Light and dark; in three channels, two colour axes of steps as long."""
    length = _CONTRAST * 1.5**0.5
    light = torch.full((channels,), length / channels**0.5)
    return [light, hue_step(0), hue_step(240)] if channels == 3 else [light]


def _grating(side: int, orientation: float, period: float, phase: float) -> Tensor:
    """A sine in [-1, 1], its bars turned counter-clockwise by ``orientation`` degrees."""
    angle = math.radians(orientation)
    down, right = torch.meshgrid(
        torch.arange(side, dtype=torch.float32),
        torch.arange(side, dtype=torch.float32),
        indexing="ij",
    )
    across = right * math.sin(angle) + down * math.cos(angle)
    return torch.sin(2 * math.pi * across / period + phase)


def _blotches(side: int) -> Tensor:
    """Soft blots of all sizes and directions, in [0, 1]; always the same."""
    noise = torch.randn(side, side, generator=torch.Generator().manual_seed(0))
    rows, columns = torch.fft.fftfreq(side)[:, None], torch.fft.rfftfreq(side)[None]
    radius = (rows**2 + columns**2).sqrt().clamp_min(1 / side)
    soft = torch.fft.irfft2(
        torch.fft.rfft2(noise) * (radius**-1 * (radius > 1.5 / side)), (side, side)
    )
    return torch.sigmoid(3 * soft / soft.std())
