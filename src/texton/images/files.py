"""Images on disk and in memory: float tensors (B, C, H, W) in [0, 1], C = 3 being sRGB."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, PngImagePlugin
from torch import Tensor

from texton.errors import TextonError
from texton.images.arrays import read_planes
from texton.images.crop import Crop, cropped_picture, cropped_planes, trimmed
from texton.images.deep import read_deep
from texton.images.deep_png import deep_png
from texton.images.levels import in_unit
from texton.images.opening import MAX_PIXELS, MIN_SIDE, SETTINGS_KEY, identify, open_picture
from texton.images.pixels import as_saved as as_saved
from texton.images.pixels import content_hash as content_hash
from texton.images.pixels import to_bytes as to_bytes
from texton.images.pixels import to_pillow as to_pillow
from texton.images.place import check_suffix
from texton.images.place import write_bytes as write_bytes
from texton.images.planes import (
    SUFFIX,
    fit_planes,
    hides_something,
    planes_as_bytes,
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
    crop: Crop = None,
    multiple: int = 1,
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
        crop: ``"square"`` for the middle of the picture; rows and columns for the middle of that
            shape, at that size whatever ``long_edge`` says.
        multiple: the sides are trimmed to multiples of it, in the end and in the middle.

    Returns:
        A float32 tensor (1, channels, H, W) in [0, 1].

    Raises:
        TextonError: the file is missing, a folder, not an image, truncated, under 16 pixels a
            side or over 100 megapixels; or a package that reads its format is missing.
    """
    path = Path(path)
    if isinstance(crop, (tuple, list)):
        long_edge, crop = None, (crop[0], crop[1])
    try:
        planes = (
            read_planes(path, channels, MAX_PIXELS, white)
            if path.suffix.lower() == SUFFIX
            else read_deep(path, channels, white)
        )
        if planes is not None:
            fitted = _fitted(cropped_planes(planes, crop), path, long_edge, enlarge)
            return trimmed(fitted, multiple)
        picture = open_picture(path)
    except OSError as error:
        raise TextonError(f"cannot read '{path}': {error.strerror or error}") from None
    if picture.mode != "RGB":
        values = np.asarray(picture, dtype=np.float32)
        picture = Image.fromarray(in_unit(values, picture.mode, path, white))
    picture = cropped_picture(picture, crop)
    if long_edge is not None:
        picture = _fit(picture, long_edge, enlarge, path)
    picture = picture if channels == 3 else _grey(picture)
    values = np.asarray(picture, dtype=np.float32)
    if picture.mode != "F":
        values = values / np.float32(white or 255.0)
    tensor = torch.from_numpy(values.copy()).clamp(0, 1)
    tensor = tensor[None] if tensor.ndim == 2 else tensor.permute(2, 0, 1)
    return trimmed(tensor.expand(channels, -1, -1)[None], multiple).contiguous()


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
    *,
    bits: int = 8,
    alpha: Tensor | None = None,
) -> Path:
    """Write a PNG atomically, with the settings that made it inside.

    A PNG shows one or three channels. Where that is not the whole image, all channels are
    written to a ``.npy`` beside it (uint8, height × width × channels), first, so that a PNG
    never names planes that are not there.

    Args:
        image: (C, H, W) or (1, C, H, W) in [0, 1], or a Pillow image.
        settings: anything JSON can say; ``texton info`` prints it. ``"bands"`` chooses the
            channels that are shown: the first three, or the first of two, without it.
        bits: of every value, 8 or 16.
        alpha: (H, W) in [0, 1], how opaque it is.

    Raises:
        TextonError: the name does not end in ``.png``, or the disk does not take it; nothing
            is left half-written.
    """
    path = Path(path)
    check_suffix(path, ".png", "texton writes PNG")
    bands = (settings or {}).get("bands")
    if isinstance(image, Tensor) and hides_something(image.shape[-3], bands):
        planes = path.with_suffix(SUFFIX)
        write_bytes(planes_as_bytes(to_bytes(image[0] if image.ndim == 4 else image)), planes)
        settings = {**(settings or {}), "planes": planes.name}
    texts = {} if settings is None else {SETTINGS_KEY: to_json(settings)}
    if bits == 16 and isinstance(image, Tensor):
        shown = image[0] if image.ndim == 4 else image
        shown = shown[shown_bands(len(shown), bands)]
        layers = shown if alpha is None else torch.cat([shown, alpha[None].to(shown)])
        write_bytes(deep_png(layers, texts), path)
        return path
    picture = image if isinstance(image, Image.Image) else to_pillow(image, bands)
    if alpha is not None:
        picture.putalpha(to_pillow(alpha[None]))
    info = PngImagePlugin.PngInfo()
    for key, text in texts.items():
        info.add_itxt(key, text)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", pnginfo=info)
    write_bytes(buffer.getvalue(), path)
    return path


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
