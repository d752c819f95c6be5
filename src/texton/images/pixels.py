"""Images in memory as a saved file has them: 8 bits, and what identifies them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from PIL import Image
from torch import Tensor

from texton.images.planes import shown_bands


def to_pillow(image: Tensor, bands: Sequence[int] | None = None) -> Image.Image:
    """(C, H, W) or (1, C, H, W) in [0, 1] as an 8-bit picture of its `shown_bands`."""
    image = image[0] if image.ndim == 4 else image
    shown = to_bytes(image[shown_bands(len(image), bands)])
    pixels = shown.permute(1, 2, 0).cpu().numpy()
    return Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)


def to_bytes(image: Tensor) -> Tensor:
    """The 8-bit values that a saved image has: clamped to [0, 1], times 255, rounded."""
    return image.detach().float().clamp(0, 1).mul(255).round().to(torch.uint8)


def as_saved(image: Tensor, bits: int = 8) -> Tensor:
    """The image a reader of the saved file gets back: what errors are measured on."""
    if bits == 8:
        return to_bytes(image).float() / 255
    most = 2**bits - 1
    rounded: Tensor = image.detach().float().clamp(0, 1).mul(most).round() / most
    return rounded


def content_hash(image: Tensor) -> str:
    """A hash of an image's 8-bit pixels and shape: the photograph's identity in seeds."""
    pixels = to_bytes(image).cpu().contiguous()
    digest = hashlib.sha256(repr(tuple(pixels.shape)).encode())
    digest.update(pixels.numpy().tobytes())
    return digest.hexdigest()[:16]
