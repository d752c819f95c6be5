"""How a preset solves: the canvas it starts on, the rule that turns it, the number format."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from texton.network.device import Compute, choose_compute, dtype_named
from texton.solve.canvas import NO_BLEED, Bleed, Canvas, PixelCanvas, noise
from texton.solve.presets import SolverSettings
from texton.solve.rules import Rule


class Algorithm:
    """Today's way: bounded pixels from noise, in the format that the device computes fastest.

    Attributes:
        as_published: solve the picture alone and as it is: no bleed around it, no coarser scale
            before it, no priors.
    """

    as_published = False

    def __init__(self, rule: Callable[[Canvas, SolverSettings], Rule]) -> None:
        self._rule = rule

    def compute(self, device: str, dtype: str = "auto") -> Compute:
        return choose_compute(device, dtype_named(dtype))

    def start(
        self,
        size: Sequence[int],
        generators: Sequence[torch.Generator],
        mean_colour: Tensor,
        contrast: float,
    ) -> Tensor:
        """(B, C, H, W), what is solved from, on the CPU."""
        return noise(generators, size, 0.5, contrast).clamp(0, 1)

    def canvas(self, start: Tensor, bleed: Bleed = NO_BLEED) -> Canvas:
        return PixelCanvas(start, bleed=bleed)

    def rule(
        self, canvas: Canvas, settings: SolverSettings, mean_colour: Tensor, square: Tensor
    ) -> Rule:
        """
        Args:
            square: (B,) or (1,), ‖target‖²: what the objective is divided by.
        """
        return self._rule(canvas, settings)

    def finish(self, images: Tensor) -> Tensor:
        """What is done to the solved images before they are saved."""
        return images
