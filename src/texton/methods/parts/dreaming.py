"""Octaves of a dream: what is drawn at one size is carried to the next, the photograph is not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from texton.methods.parts.looking import field_of
from texton.methods.parts.pools import pooled_by_maximum
from texton.network.device import Compute
from texton.solve.canvas import PixelCanvas
from texton.solve.maximise import Energy, Guided
from texton.solve.objective import Objective
from texton.solve.presets import SolverSettings
from texton.solve.rules import Ascent
from texton.solve.solver import Solver, Step
from texton.solve.views import Tiles

if TYPE_CHECKING:
    from texton.network.network import Network

_SMALLEST = 96  # pixels: an octave under it would be nothing but border
_TILE, _REACH = 512, 32
_FINE = 16  # a receptive field whose textures are too fine for any blur
_SOFT, _OF_FIELD = 1.5, 1 / 64  # pixels a slope is blurred by at most, and of what a layer sees
_CLOSER = 0.95  # of a frame, that the next one shows


class Dreaming:
    """One objective over any photograph.

    Args:
        channels: of the layer; none are all of them.
        guide: (1, C, H, W): features to look for; None: whatever is there already.
        by_maximum: VGG-19 pools by maximum, whatever it does else.
    """

    def __init__(
        self,
        network: Network,
        layer: str,
        channels: Sequence[int],
        guide: Tensor | None,
        settings: SolverSettings,
        compute: Compute,
        by_maximum: bool = True,
    ) -> None:
        self._network, self._settings, self._compute = network, settings, compute
        exact = compute.exact()
        made = {x: pooled_by_maximum(network, x) if by_maximum else None for x in (compute, exact)}
        self._encoder = partial(network.encoder, compute=compute, module=made[compute])
        self._exact = network.encoder(layer, exact, made[exact])
        self._objective: Objective = Energy(layer, channels)
        if guide is not None:
            with torch.no_grad():
                code = self._exact(guide)[layer]
            self._objective = Guided(layer, code, channels)
        self._layer = layer
        field = field_of(network, layer)
        self._blur = min(_SOFT, _OF_FIELD * field) if field > _FINE else 0.0
        self.trace: list[float] = []
        self.steps = 0

    def octaves(
        self,
        photo: Tensor,
        count: int,
        ratio: float,
        generator: torch.Generator,
        on_step: Callable[[Step], None] | None,
    ) -> Tensor:
        """The photograph (1, C, H, W), dreamed from coarse to fine."""
        photo = photo.to(self._compute.device, torch.float32)
        own = photo.shape[2], photo.shape[3]
        intake = self._network.intake([self._layer])
        taken = map(intake.near, octave_sizes(own, count, ratio))
        sizes = list(dict.fromkeys(taken))
        detail = torch.zeros_like(photo)
        for index, size in enumerate(sizes):
            base, detail = shrunk(photo, size), enlarged(detail, size)
            canvas = PixelCanvas((base + detail).clamp(0, 1))
            one = max(size)  # what a network of one size takes is one tile
            longest, multiple = (one, one) if intake.only else (_TILE, intake.multiple)
            tiles = Tiles([generator], size, longest, _REACH, multiple)
            solver = Solver(
                self._encoder,
                self._objective,
                canvas,
                Ascent(canvas, self._settings, self._blur),
                self._settings,
                [generator],
                arithmetic=self._compute.arithmetic,
                views=tiles,
            )
            for step in solver:
                if on_step is not None:
                    done = index * step.steps + step.index
                    steps = len(sizes) * step.steps
                    on_step(Step(done, steps, step.errors, step.images))
            self.steps += int(solver.steps[0])
            self.trace += solver.traces[0]
            detail = canvas.images() - base
        return (photo + detail).clamp(0, 1)

    def energy(self, image: Tensor) -> float:
        """Of the objective, in float32."""
        with torch.no_grad():
            return -float(self._objective(self._exact(image), image)[0])


def octave_sizes(size: tuple[int, int], count: int, ratio: float) -> list[tuple[int, int]]:
    """(height, width) from coarse to fine; the photograph's own is the last, however small."""
    every = [
        (round(size[0] / ratio**octave), round(size[1] / ratio**octave))
        for octave in reversed(range(count))
    ]
    return [one for one in every if min(one) >= _SMALLEST or one == size]


def shrunk(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear, without what is too fine for the size."""
    if image.shape[2:] == torch.Size(size):
        return image
    return F.interpolate(image, size, mode="bilinear", antialias=True)


def enlarged(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear; from the full size of nothing at first, too."""
    if image.shape[2:] == torch.Size(size):
        return image
    return F.interpolate(image, size, mode="bilinear", align_corners=False)


def closer(image: Tensor) -> Tensor:
    """The middle of an image, as large as it was."""
    shape = list(image.shape)
    theta = torch.tensor([[[_CLOSER, 0.0, 0.0], [0.0, _CLOSER, 0.0]]]).to(image)
    grid = F.affine_grid(theta, shape, align_corners=False)
    seen = F.grid_sample(
        image, grid, mode="bicubic", padding_mode="reflection", align_corners=False
    )
    return seen.clamp(0, 1)
