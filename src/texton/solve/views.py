"""How a canvas is seen in a step: shifted, a window of it, turned and scaled; never resized."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

View = Callable[[Tensor], Tensor]

_RIM = 16  # pixels


class Views(Protocol):
    """What a solver looks at: (B, C, H, W) → (B, C, h, w), h and w the same in every step, as what
    a network has looked up for a shape then stays of use."""

    def at(self, index: int) -> Sequence[View]:
        """The views of a step, at least one, asked for once and in order; slopes of several are
        averaged."""
        ...


class Rolls:
    """Every image shifted by up to ``reach`` pixels, its edges meeting, in so many first steps.

    Args:
        generators: one per image, drawn from at once.
    """

    def __init__(
        self, generators: Sequence[torch.Generator], reach: int, steps: int, device: torch.device
    ) -> None:
        self._shifts = torch.empty(0)
        if reach:
            drawn = [torch.randint(-reach, reach + 1, (steps, 2), generator=g) for g in generators]
            self._shifts = torch.stack(drawn, 1).to(device)

    def at(self, index: int) -> Sequence[View]:
        if index >= len(self._shifts):
            return (lambda image: image,)
        shifts = self._shifts[index]
        return (lambda image: _rolled(image, shifts),)


class Windows:
    """Windows of a size, anywhere in the image, turned and scaled a little.

    A window that reaches over an edge goes on at the other one, or, in an image whose edges do not
    meet, with its mirror. One that is neither turned nor scaled shows pixels as they are: textures
    of a few pixels do not survive interpolation.

    Args:
        generators: one per image, drawn from in every step.
        size: (height, width) of a window.
        reach: pixels a window moves from the middle; None: anywhere.
        scale: up to so much larger or smaller, 0.1 being a tenth.
        degrees: turned by up to so many.
        meet: whether the image's edges meet, as a spectrum's do.
        about: (down, right) pixels from the middle, what it is turned and scaled about.
    """

    def __init__(
        self,
        generators: Sequence[torch.Generator],
        size: tuple[int, int],
        *,
        reach: int | None = None,
        scale: float = 0.0,
        degrees: float = 0.0,
        meet: bool = True,
        about: tuple[float, float] = (0.0, 0.0),
    ) -> None:
        self._generators, self._size, self._reach = generators, size, reach
        self._scale, self._angle, self._meet = scale, math.radians(degrees), meet
        self._about = about
        wider = (1 + scale) * (math.cos(self._angle) + math.sin(self._angle))
        self._source = size
        if scale or degrees:
            far = 2 * max(map(abs, about))
            height, width = (math.ceil(x * wider + far * (wider - 1)) + 2 for x in size)
            self._source = height, width
        self._last: View = lambda image: image

    def at(self, index: int) -> Sequence[View]:
        drawn = torch.stack([torch.rand(4, generator=g) for g in self._generators])
        self._last = lambda image: self._seen(image, drawn)
        return (self._last,)

    def again(self, image: Tensor) -> Tensor:
        """Another image (1 or B, C, H, W), seen as the latest step's was."""
        return self._last(image.expand(len(self._generators), *image.shape[1:]))

    def _seen(self, image: Tensor, drawn: Tensor) -> Tensor:
        patches = [self._patch(one, draw) for one, draw in zip(image, drawn, strict=True)]
        patch = torch.stack(patches)
        if self._source == self._size:
            return patch
        turned = self._angle * (2 * drawn[:, 2] - 1)
        scaled = 1 + self._scale * (2 * drawn[:, 3] - 1)
        return warped(patch, self._size, turned, scaled, about=self._about)

    def _patch(self, image: Tensor, draw: Tensor) -> Tensor:
        """(C, H, W) → (C, h, w): rows and columns, beyond an edge too."""
        for axis, share in ((1, draw[0]), (2, draw[1])):
            extent, wanted = image.shape[axis], self._source[axis - 1]
            middle = (extent - wanted) // 2
            if self._reach is not None:
                first = middle + round((2 * float(share) - 1) * self._reach)
            elif self._meet:
                first = int(float(share) * extent)
            else:  # the rim as often in the middle of a window as all else, nearly
                over = wanted // 4
                first = round(float(share) * max(0, extent - wanted + 2 * over)) - over
                first = first if extent > wanted - 2 * over else middle
            places = torch.arange(first, first + wanted, device=image.device)
            image = image.index_select(axis, _folded(places, extent, self._meet))
        return image


class Tiles:
    """An image in tiles of one size, which together cover it, shifted as one by some pixels.

    One that is small is one tile. In larger ones seams lie elsewhere in every step, and memory
    is taken for a tile at a time. Around the image is a mirrored rim that has no slope: where a
    shifted image's opposite edges meet is an edge, which would be strengthened into a frame.

    Args:
        size: (height, width) of the image.
        tile: the longest side of a tile, but for its share of the rim.
        reach: pixels that an image of one tile is shifted by.
        multiple: what sides are multiples of, and those of tiles have to be: there is no rim then.
    """

    def __init__(
        self,
        generators: Sequence[torch.Generator],
        size: Sequence[int],
        tile: int,
        reach: int,
        multiple: int = 1,
    ) -> None:
        self._generators = generators
        self._rim = 0 if multiple > 1 else min(_RIM, min(size) - 1)
        counts = [-(-side // tile) for side in size]
        size = [side + 2 * self._rim for side in size]
        each = zip(size, counts, strict=True)
        self._tile = [-(-side // (count * multiple)) * multiple for side, count in each]
        self._reach = reach if counts == [1, 1] else max(self._tile)
        starts = [
            [round(i * (side - own) / max(1, count - 1)) for i in range(count)]
            for side, own, count in zip(size, self._tile, counts, strict=True)
        ]
        self._starts = [(top, left) for top in starts[0] for left in starts[1]]

    def at(self, index: int) -> Sequence[View]:
        low, high = -self._reach, self._reach + 1
        drawn = [torch.randint(low, high, (2,), generator=g) for g in self._generators]
        shifts = torch.stack(drawn)
        return [partial(self._seen, shifts, start) for start in self._starts]

    def _seen(self, shifts: Tensor, start: tuple[int, int], image: Tensor) -> Tensor:
        rim, (height, width) = self._rim, image.shape[2:]
        rimmed = F.pad(image.detach(), (rim,) * 4, mode="reflect")
        rimmed[..., rim : rim + height, rim : rim + width] = image
        rolled = _rolled(rimmed, shifts.to(image.device))
        top, left = start
        return rolled[..., top : top + self._tile[0], left : left + self._tile[1]]


def warped(
    images: Tensor,
    size: Sequence[int],
    turned: Tensor,
    scaled: Tensor,
    shifted: tuple[float, float] = (0.0, 0.0),
    about: tuple[float, float] = (0.0, 0.0),
) -> Tensor:
    """The middles of images (B, C, H, W), (B, C, h, w), bilinear, mirrored beyond an edge.

    Args:
        turned: (B,) radians.
        scaled: (B,) a window's share of the image: 1.1 shows a tenth more of it, smaller.
        shifted: (down, right) in pixels.
        about: (down, right) pixels from the middle, what stays where it is.
    """
    height, width = images.shape[2:]
    cos, sin = turned.cos() * scaled, turned.sin() * scaled
    down = shifted[0] + about[0] - cos * about[0] - sin * about[1]
    right = shifted[1] + about[1] + sin * about[0] - cos * about[1]
    rows, columns = 2 * down / height, 2 * right / width
    # affine_grid's unit is half the image: pixels keep their shape only so
    theta = torch.stack(
        [
            torch.stack([cos * size[1] / width, -sin * size[0] / width, columns], 1),
            torch.stack([sin * size[1] / height, cos * size[0] / height, rows], 1),
        ],
        1,
    )
    shape = [len(images), images.shape[1], *size]
    grid = F.affine_grid(theta.to(images), shape, align_corners=False)
    return F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)


def _folded(places: Tensor, extent: int, meet: bool) -> Tensor:
    if meet:
        return places % extent
    places = places % (2 * extent)
    return torch.where(places < extent, places, 2 * extent - 1 - places)


def _rolled(image: Tensor, shifts: Tensor) -> Tensor:
    """`torch.roll` of every image (B, C, H, W) by its own rows and columns, (B, 2)."""
    height, width = image.shape[2:]
    rows = (torch.arange(height, device=image.device) - shifts[:, :1]) % height
    columns = (torch.arange(width, device=image.device) - shifts[:, 1:]) % width
    places = (rows[:, :, None] * width + columns[:, None]).flatten(1)[:, None]
    rolled = image.flatten(2).gather(2, places.expand(-1, image.shape[1], -1))
    return rolled.reshape(image.shape)
