"""A spectrum whose magnitude is natural images', and stays so: its phase alone is sought."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from texton.solve.canvas import Canvas, colours, unmixed

_LOUD = 2.0  # root mean square from grey, before it is squashed: about a photograph's
_FALLS = 1.2  # magnitude as a power of frequency, and what it is worth upright and lying
_UPRIGHT, _SLANTED = 1.25, 0.75


class PhaseCanvas(Canvas):
    """``irfft2(M · e^{iφ})`` in decorrelated colours; φ is what is turned (MACO, Fel et al. 2023).

    What is fixed cannot be emptied: something fills every place. `where` tells which places the
    objective asked for.

    Args:
        generators: one per image, for the phase it starts from, anything in a whole turn.
        magnitude: (C, H, W // 2 + 1), of `natural_magnitude` or `magnitude_of`.
        width: of the images, which the magnitude alone does not tell.
    """

    bleed = (0, 0, 0, 0)

    def __init__(
        self,
        generators: Sequence[torch.Generator],
        magnitude: Tensor,
        width: int,
        device: torch.device,
    ) -> None:
        self._magnitude, self._width = magnitude.to(device), width
        self._colours = colours(len(magnitude), device)
        drawn = [torch.rand(magnitude.shape, generator=generator) for generator in generators]
        self.values = (torch.stack(drawn) * 2 * math.pi).to(device).requires_grad_(True)
        self._asked: Tensor | None = None

    def __call__(self) -> Tensor:
        spectrum = torch.polar(self._magnitude.expand_as(self.values), self.values)
        planes = torch.fft.irfft2(spectrum, s=(self._magnitude.shape[1], self._width))
        image = torch.sigmoid(torch.einsum("bchw,dc->bdhw", planes, self._colours))
        if image.requires_grad:
            image.register_hook(self._note)  # type: ignore[no-untyped-call]
        return image

    def restart(self, index: int, generator: torch.Generator, contrast: float) -> None:
        with torch.no_grad():
            fresh = torch.rand(self._magnitude.shape, generator=generator) * 2 * math.pi
            self.values[index] = fresh.to(self.values.device)

    def where(self) -> Tensor:
        """(B, H, W) in [0, 1]: how much was asked of every pixel, over all steps.

        The mean of the slopes' sizes, whose strongest fifth is 1.
        """
        if self._asked is None:
            return torch.ones(len(self.values), self._magnitude.shape[1], self._width)
        most = torch.quantile(self._asked.flatten(1), 0.8, dim=1).clamp_min(1e-30)
        return (self._asked / most[:, None, None]).clamp(0, 1).cpu()

    def _note(self, slope: Tensor) -> None:
        size = slope.abs().mean(1)
        size = size / size.mean((1, 2), keepdim=True).clamp_min(1e-30)
        self._asked = size if self._asked is None else self._asked + size


def natural_magnitude(size: tuple[int, int, int]) -> Tensor:
    """(C, H, W // 2 + 1): frequency to the power −1.2, more of it upright and lying than slanted,
    as photographs have it."""
    channels, height, width = size
    rows, columns = torch.fft.fftfreq(height)[:, None], torch.fft.rfftfreq(width)[None]
    frequency = (rows.square() + columns.square()).sqrt().clamp_min(1 / max(height, width))
    slant = (2 * rows * columns).abs() / frequency.square()  # 0 along an axis, 1 between them
    power = frequency.pow(-_FALLS) * (_UPRIGHT + (_SLANTED - _UPRIGHT) * slant.clamp(0, 1))
    return _as_loud(power.expand(channels, -1, -1).clone(), width)


def magnitude_of(photos: Iterable[Tensor]) -> Tensor:
    """(C, H, W // 2 + 1): the mean magnitude of photographs (1, C, H, W) of one size, in the
    colours that are recorrelated afterwards.

    Each is faded to its mean towards the rim, which would be seen as a cross otherwise.
    """
    total: Tensor | None = None
    width = 0
    for photo in photos:
        height, width = photo.shape[2:]
        planes = unmixed(photo)[0]
        mean = planes.mean((1, 2), keepdim=True)
        rim = torch.hann_window(height)[:, None] * torch.hann_window(width)
        found = torch.fft.rfft2((planes - mean) * rim).abs()
        total = found if total is None else total + found
    assert total is not None
    return _as_loud(total, width)


def _as_loud(magnitude: Tensor, width: int) -> Tensor:
    magnitude[:, 0, 0] = 0  # of no colour on the whole
    power = magnitude.square().sum(0)
    power[:, 1 : (width + 1) // 2] *= 2  # rfft keeps one of each pair
    varies = power.sum().sqrt() / (magnitude.shape[1] * width)
    return magnitude * (_LOUD / varies)
