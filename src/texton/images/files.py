"""Images on disk and in memory: float tensors (B, C, H, W) in [0, 1], C = 3 being sRGB."""

from __future__ import annotations

import hashlib
import io
import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, PngImagePlugin
from torch import Tensor

from texton.errors import TextonError
from texton.images.deep import read_deep
from texton.images.levels import in_unit
from texton.images.opening import MAX_PIXELS, MIN_SIDE, SETTINGS_KEY, identify, open_picture
from texton.images.place import check_suffix
from texton.images.planes import (
    SUFFIX,
    fit_planes,
    hides_something,
    planes_as_bytes,
    read_planes,
    shown_bands,
)
from texton.reading import read_json, to_json


def read_image(
    path: str | os.PathLike[str],
    long_edge: int | None = None,
    *,
    enlarge: bool = False,
    channels: int = 3,
    white: float | None = None,
) -> Tensor:
    """Read a picture as it is meant to be seen: EXIF rotation, embedded colour profile, grey,
    palette, CMYK and 16 bit honoured, transparency laid on white, an animation's first frame.

    Args:
        path: any raster file that Pillow reads, a TIFF of 16-bit colours or many bands, or a
            ``.npy`` array (see `read_planes`).
        long_edge: the longer side of the result, in pixels; smaller pictures stay as they are
            unless ``enlarge``.
        channels: 3 for sRGB, 1 for grey; for any other number a picture's grey is repeated,
            and a ``.npy`` array, or a TIFF of so many bands, gives every channel its own plane.
        white: the file's value that is white, as 4095 where 12 bits lie in 16; the format's
            largest by default.

    Returns:
        A float32 tensor (1, channels, H, W) in [0, 1].

    Raises:
        TextonError: the file is missing, a folder, not an image, truncated, under 16 pixels a
            side or over 100 megapixels; or a package that reads its format is missing.
    """
    path = Path(path)
    try:
        if path.suffix.lower() == SUFFIX:
            return _fitted(read_planes(path, channels, MAX_PIXELS, white), path, long_edge, enlarge)
        if (deep := read_deep(path, channels, white)) is not None:
            return _fitted(deep, path, long_edge, enlarge)
        picture = open_picture(path)
    except OSError as error:
        raise TextonError(f"cannot read '{path}': {error.strerror or error}") from None
    if picture.mode != "RGB":
        values = np.asarray(picture, dtype=np.float32)
        picture = Image.fromarray(in_unit(values, picture.mode, path, white))
    if long_edge is not None:
        picture = _fit(picture, long_edge, enlarge, path)
    picture = picture if channels == 3 else _grey(picture)
    values = np.asarray(picture, dtype=np.float32)
    if picture.mode != "F":
        values = values / np.float32(white or 255.0)
    tensor = torch.from_numpy(values.copy()).clamp(0, 1)
    tensor = tensor[None] if tensor.ndim == 2 else tensor.permute(2, 0, 1)
    return tensor.expand(channels, -1, -1)[None].contiguous()


def _fitted(planes: Tensor, path: Path, long_edge: int | None, enlarge: bool) -> Tensor:
    image = fit_planes(planes, long_edge, enlarge)
    height, width = image.shape[2:]
    if min(height, width) < MIN_SIDE:
        raise TextonError(
            f"'{path}' gives {width}×{height} pixels: texton needs {MIN_SIDE} a side or more"
        )
    return image


def write_image(
    image: Tensor | Image.Image,
    path: str | os.PathLike[str],
    settings: dict[str, Any] | None = None,
) -> Path:
    """Write a PNG atomically, with the settings that made it inside.

    A PNG shows one or three channels. Where that is not the whole image, all channels are
    written to a ``.npy`` beside it (uint8, height × width × channels), first, so that a PNG
    never names planes that are not there.

    Args:
        image: (C, H, W) or (1, C, H, W) in [0, 1], or a Pillow image.
        settings: anything JSON can say; ``texton info`` prints it. ``"bands"`` chooses the
            channels that are shown: the first three, or the first of two, without it.

    Raises:
        TextonError: the name does not end in ``.png``, or the disk does not take it; nothing
            is left half-written.
    """
    path = Path(path)
    check_suffix(path, ".png", "texton writes PNG")
    bands = (settings or {}).get("bands")
    picture = image if isinstance(image, Image.Image) else to_pillow(image, bands)
    if isinstance(image, Tensor) and hides_something(image.shape[-3], bands):
        planes = path.with_suffix(SUFFIX)
        write_bytes(planes_as_bytes(to_bytes(image[0] if image.ndim == 4 else image)), planes)
        settings = {**(settings or {}), "planes": planes.name}
    info = PngImagePlugin.PngInfo()
    if settings is not None:
        info.add_itxt(SETTINGS_KEY, to_json(settings))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", pnginfo=info)
    write_bytes(buffer.getvalue(), path)
    return path


def write_bytes(content: bytes, path: Path) -> None:
    """Write a file so that its name shows either the whole content or what was there before."""
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        unique = path.with_name(f".{path.name[:40]}.{secrets.token_hex(8)}.tmp")
        with unique.open("xb") as file:
            temporary = unique
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise TextonError(f"cannot write '{path}': {error.strerror or error}") from None
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def read_settings(path: str | os.PathLike[str]) -> dict[str, Any] | None:
    """The settings that made a PNG, or None for a picture that texton did not make.

    Raises:
        TextonError: the file is not a readable image.
    """
    try:
        with identify(Path(path)) as picture:
            text = picture.info.get(SETTINGS_KEY)
    except OSError as error:
        raise TextonError(f"cannot read '{path}': {error.strerror or error}") from None
    try:
        return read_json(text) if isinstance(text, str) else None
    except ValueError:
        return None


def to_pillow(image: Tensor, bands: Sequence[int] | None = None) -> Image.Image:
    """(C, H, W) or (1, C, H, W) in [0, 1] as an 8-bit picture of its `shown_bands`."""
    image = image[0] if image.ndim == 4 else image
    shown = to_bytes(image[shown_bands(len(image), bands)])
    pixels = shown.permute(1, 2, 0).cpu().numpy()
    return Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)


def to_bytes(image: Tensor) -> Tensor:
    """The 8-bit values that a saved image has: clamped to [0, 1], times 255, rounded."""
    return image.detach().float().clamp(0, 1).mul(255).round().to(torch.uint8)


def as_saved(image: Tensor) -> Tensor:
    """The image a reader of the saved file gets back: what errors are measured on."""
    return to_bytes(image).float() / 255


def content_hash(image: Tensor) -> str:
    """A hash of an image's 8-bit pixels and shape: the photograph's identity in seeds."""
    pixels = to_bytes(image).cpu().contiguous()
    digest = hashlib.sha256(repr(tuple(pixels.shape)).encode())
    digest.update(pixels.numpy().tobytes())
    return digest.hexdigest()[:16]


def _grey(picture: Image.Image) -> Image.Image:
    return picture if picture.mode == "F" else picture.convert("L")


def _fit(picture: Image.Image, long_edge: int, enlarge: bool, path: Path) -> Image.Image:
    scale = long_edge / max(picture.size)
    if scale > 1 and not enlarge:
        return picture
    width, height = (max(1, round(side * scale)) for side in picture.size)
    if min(width, height) < MIN_SIDE:
        wanted = -(-MIN_SIDE * max(picture.size) // min(picture.size))
        raise TextonError(
            f"'{path}' would become {width}×{height} pixels: use a size of {wanted} or more"
        )
    return picture.resize((width, height), Image.Resampling.LANCZOS)
