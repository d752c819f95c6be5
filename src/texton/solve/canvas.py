"""The image that is being optimised: parameters the solver turns, seen as images in [0, 1]."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

# How ImageNet's colours vary together (Lucid), over its largest column norm.
_COLOURS = torch.tensor([[0.26, 0.09, 0.02], [0.27, 0.0, -0.05], [0.27, -0.09, 0.03]]) / 0.462


_NATURAL = 0.25  # the noise of which an image varies as a photograph does, by a quarter

Bleed = tuple[int, int, int, int]
NO_BLEED: Bleed = (0, 0, 0, 0)


class Canvas(ABC):
    """``canvas()`` gives images (B, C, H, W) in [0, 1]; ``values`` is what has the gradient.

    ``bleed`` (left, right, top, bottom) pixels around the images are solved and then cut off, as
    a printer cuts the edge of a sheet. ``canvas()`` has the bleed, ``canvas.images()`` does not.
    """

    values: Tensor
    bleed: Bleed

    @abstractmethod
    def __call__(self) -> Tensor: ...

    @abstractmethod
    def restart(self, index: int, generator: torch.Generator, contrast: float) -> None:
        """Draw new noise for one image of the batch."""

    def images(self) -> Tensor:
        """The images as they stand, without bleed or gradient."""
        with torch.no_grad():
            images = self().clamp(0, 1)
        left, right, top, bottom = self.bleed
        height, width = images.shape[2:]
        return images[..., top : height - bottom, left : width - right].clone()

    def bound(self) -> None:  # noqa: B027 - most canvases need nothing
        """Bring the values back to where images are in [0, 1], after a step of the solver."""


class PixelCanvas(Canvas):
    """Pixels themselves, clamped to [0, 1] after every step unless ``bounded`` is False.

    Args:
        start: (B, C, H, W), the image to start from, bleed included.
    """

    def __init__(self, start: Tensor, *, bleed: Bleed = NO_BLEED, bounded: bool = True) -> None:
        self.values = start.detach().clone().requires_grad_(True)
        self.bleed = bleed
        self._bounded = bounded

    def __call__(self) -> Tensor:
        return self.values

    def restart(self, index: int, generator: torch.Generator, contrast: float) -> None:
        with torch.no_grad():
            shape = self.values.shape[1:]
            self.values[index] = noise([generator], shape, 0.5, contrast)[0].to(self.values.device)

    def bound(self) -> None:
        if self._bounded:
            with torch.no_grad():
                self.values.clamp_(0, 1)


class FourierCanvas(Canvas):
    """A spectrum scaled by 1/frequency with decorrelated colours (Lucid): smoother pictures.

    Args:
        generators: one per image, for the noise it starts from.
        size: (C, H, W), bleed included.
        device: where the spectrum lives.
        contrast: standard deviation of its numbers at first.
        loudest: the most that an image, before it is squashed into [0, 1], may vary about its mean
            colour, root mean square over pixels of the length of a colour (‖x‖ ≤ ρ, Erhan et al.
            2009): about 2 in a photograph. Without it what always rises ends in nothing but full
            colours; of decorrelated planes it would forbid all but greys, as colours are small in
            photographs and large there.
    """

    def __init__(
        self,
        generators: Sequence[torch.Generator],
        size: tuple[int, int, int],
        device: torch.device,
        *,
        bleed: Bleed = NO_BLEED,
        contrast: float = 0.01,
        loudest: float = math.inf,
    ) -> None:
        self.bleed = bleed
        self._loudest = loudest
        channels, self._height, self._width = size
        rows = torch.fft.fftfreq(self._height)[:, None]
        columns = torch.fft.rfftfreq(self._width)[None]
        frequency = (rows.square() + columns.square()).sqrt()
        smallest = 1.0 / max(self._height, self._width)
        scale = (self._height * self._width) ** 0.5 / frequency.clamp_min(smallest)
        self._scale = scale.to(device)[..., None]
        self._colours = colours(channels, device)
        self._loud = self._colours.square().sum(0)[:, None, None]  # what a plane's power counts
        shape = (channels, self._height, self._width // 2 + 1, 2)
        self.values = noise(generators, shape, 0.0, contrast).to(device).requires_grad_(True)

    @classmethod
    def of(cls, image: Tensor, loudest: float = math.inf) -> FourierCanvas:
        """From an image (B, C, H, W) in [0, 1], which it shows to within a 255th."""
        count, channels, height, width = image.shape
        blank = [torch.Generator() for _ in range(count)]
        canvas = cls(blank, (channels, height, width), image.device, contrast=0.0, loudest=loudest)
        spectrum = torch.fft.rfft2(unmixed(image))
        values = torch.view_as_real(spectrum) / canvas._scale
        canvas.values = values.contiguous().requires_grad_(True)
        return canvas

    def __call__(self) -> Tensor:
        spectrum = torch.view_as_complex((self.values * self._scale).contiguous())
        planes = torch.fft.irfft2(spectrum, s=(self._height, self._width))
        mixed = torch.einsum("bchw,dc->bdhw", planes, self._colours)
        return torch.sigmoid(mixed)

    def bound(self) -> None:
        if math.isinf(self._loudest):
            return
        with torch.no_grad():
            power = ((self.values * self._scale).square().sum(4) * self._loud).sum(1)
            power[..., 1 : (self._width + 1) // 2] *= 2  # rfft keeps one of each pair
            power[:, 0, 0] = 0  # the mean colour
            varies = power.sum((1, 2)).sqrt() / (self._height * self._width)
            quieter = (self._loudest / varies.clamp_min(1e-12)).clamp_max(1)
            mean = self.values[:, :, 0, 0].clone()
            self.values *= quieter.reshape(-1, 1, 1, 1, 1)
            self.values[:, :, 0, 0] = mean

    def tint(self, colours: Tensor) -> None:
        """Give the images mean colours (B, C) in [0, 1], which few steps could not move far."""
        planes = unmixed(colours[..., None, None])[..., 0, 0].to(self.values)
        with torch.no_grad():
            self.values[:, :, 0, 0, 0] = planes * (self._height * self._width / self._scale[0, 0])

    def restart(self, index: int, generator: torch.Generator, contrast: float) -> None:
        with torch.no_grad():
            shape = self.values.shape[1:]
            fresh = noise([generator], shape, 0.0, contrast)[0]
            self.values[index] = fresh.to(self.values.device)


def colours(channels: int, device: torch.device) -> Tensor:
    """(C, C), which mixes decorrelated planes to an image's: columns; of three channels alone."""
    return (_COLOURS if channels == 3 else torch.eye(channels)).to(device)


def unmixed(image: Tensor) -> Tensor:
    """The decorrelated planes (B, C, H, W) of images in [0, 1]."""
    mixed = torch.logit(image.float(), eps=1 / 510)
    apart = torch.linalg.inv(colours(image.shape[1], torch.device("cpu"))).to(mixed)
    return torch.einsum("bdhw,cd->bchw", mixed, apart)


def noise(
    generators: Sequence[torch.Generator], shape: Sequence[int], mean: float | Tensor, spread: float
) -> Tensor:
    """Gaussian noise (B, *shape) around ``mean``, one generator per image, drawn on the CPU so
    that every device starts alike."""
    drawn = [torch.randn(tuple(shape), generator=generator) for generator in generators]
    return torch.stack(drawn) * spread + mean


def pink_noise(generators: Sequence[torch.Generator], size: tuple[int, int, int]) -> Tensor:
    """Images (B, C, H, W) of 1/frequency noise in natural colours, about as strong as a photograph,
    on the CPU."""
    return FourierCanvas(generators, size, torch.device("cpu"), contrast=_NATURAL).images()
