"""Images on disk and in memory: float tensors (B, C, H, W) in [0, 1], C = 3 being sRGB."""

from __future__ import annotations

import hashlib
import io
import os
import secrets
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageCms, ImageOps, PngImagePlugin, UnidentifiedImageError
from torch import Tensor

from texton.errors import TextonError
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

MIN_SIDE = 16
MAX_PIXELS = 100_000_000
SETTINGS_KEY = "texton"
_PNG = b"\x89PNG\r\n\x1a\n"
_TEXTS = (b"tEXt", b"zTXt", b"iTXt")
_OWN, _MOST = SETTINGS_KEY.encode() + b"\0", PngImagePlugin.MAX_TEXT_CHUNK  # so its text begins
_LEFT_OUT = ((), _TEXTS, (*_TEXTS, b"iCCP"))  # of a PNG, try by try; its pixels need none of them


def read_image(
    path: str | os.PathLike[str],
    long_edge: int | None = None,
    *,
    enlarge: bool = False,
    channels: int = 3,
) -> Tensor:
    """Read a picture as it is meant to be seen: EXIF rotation, embedded colour profile, grey,
    palette, CMYK and 16 bit honoured, transparency laid on white, an animation's first frame.

    Args:
        path: any raster file that Pillow reads, or a ``.npy`` array (see `read_planes`).
        long_edge: the longer side of the result, in pixels; smaller pictures stay as they are
            unless ``enlarge``.
        channels: 3 for sRGB, 1 for grey; for any other number a picture's grey is repeated,
            and a ``.npy`` array gives every channel its own plane.

    Returns:
        A float32 tensor (1, channels, H, W) in [0, 1].

    Raises:
        TextonError: the file is missing, a folder, not an image, truncated, under 16 pixels a
            side or over 100 megapixels.
    """
    if Path(path).suffix.lower() == SUFFIX:
        return _read_array(Path(path), long_edge, enlarge, channels)
    try:
        picture = _open(Path(path))
    except OSError as error:
        raise TextonError(f"cannot read '{path}': {error.strerror or error}") from None
    if long_edge is not None:
        picture = _fit(picture, long_edge, enlarge, Path(path))
    picture = picture if channels == 3 else _grey(picture)
    values = np.asarray(picture, dtype=np.float32)
    if picture.mode != "F":
        values = values / 255.0
    tensor = torch.from_numpy(values.copy()).clamp(0, 1)
    tensor = tensor[None] if tensor.ndim == 2 else tensor.permute(2, 0, 1)
    return tensor.expand(channels, -1, -1)[None].contiguous()


def _read_array(path: Path, long_edge: int | None, enlarge: bool, channels: int) -> Tensor:
    image = fit_planes(read_planes(path, channels, MAX_PIXELS), long_edge, enlarge)
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
        with _identify(Path(path)) as picture:
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


def _identify(path: Path, attempt: int = 0) -> Image.Image:
    if path.is_dir():
        raise TextonError(f"'{path}' is a folder: name an image file")
    if not path.exists():
        raise TextonError(f"there is no file '{path}'")
    if path.stat().st_size == 0:
        raise TextonError(f"'{path}' is empty: name an image file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            picture = Image.open(_without(path, _LEFT_OUT[attempt]) if attempt else path)
    except Image.DecompressionBombError:
        raise _too_large(path) from None
    except (UnidentifiedImageError, ValueError, SyntaxError, EOFError) as error:
        if _may_retry(error, attempt) and _is_png(path):
            return _identify(path, attempt + 1)
        raise TextonError(f"'{path}' is not an image that can be read: try PNG or JPEG") from None
    if picture.format == "EPS":  # Pillow would run an interpreter on it
        raise TextonError(f"'{path}' is a PostScript file: convert it to PNG or JPEG")
    return picture


def _too_large(path: Path) -> TextonError:
    limit = MAX_PIXELS // 1_000_000
    return TextonError(f"'{path}' is over {limit} megapixels: scale it down first")


def _may_retry(error: Exception, attempt: int) -> bool:
    """Pillow refuses a PNG with over a megabyte of text or profile by a plain ValueError."""
    return type(error) is ValueError and attempt + 1 < len(_LEFT_OUT)


def _is_png(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_PNG)) == _PNG


def _without(path: Path, kinds: Sequence[bytes]) -> io.BytesIO:
    """A PNG less its chunks of these kinds; texton's own settings stay."""
    content = path.read_bytes()
    kept, start = bytearray(_PNG), len(_PNG)
    while start < len(content):
        end = start + 12 + int.from_bytes(content[start : start + 4], "big")
        own = content[start + 4 : start + 8 + len(_OWN)] == b"iTXt" + _OWN and end - start < _MOST
        if own or content[start + 4 : start + 8] not in kinds:
            kept += content[start:end]
        start = end
    return io.BytesIO(kept)


def _open(path: Path, attempt: int = 0) -> Image.Image:
    with _identify(path, attempt) as picture:
        width, height = picture.size
        if width * height > MAX_PIXELS:
            raise _too_large(path)
        if min(width, height) < MIN_SIDE:
            raise TextonError(
                f"'{path}' is {width}×{height} pixels: texton needs {MIN_SIDE} a side or more"
            )
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                picture.seek(0)
                picture.load()
                return _standard(ImageOps.exif_transpose(picture), path)
        except (OSError, SyntaxError, ValueError, EOFError) as error:
            if _may_retry(error, attempt) and picture.format == "PNG":
                return _open(path, attempt + 1)
            raise TextonError(
                f"'{path}' is damaged or truncated: get the whole file again"
            ) from None


def _standard(picture: Image.Image, path: Path) -> Image.Image:
    """Every mode as ``RGB`` (8 bit) or as ``F`` (grey of more than 8 bits, in [0, 1])."""
    if picture.mode.startswith("I"):
        return _scaled(np.asarray(picture, dtype=np.float32), 65535.0)
    if picture.mode == "F":
        values = np.asarray(picture, dtype=np.float32)
        if not np.isfinite(values).all() or values.min() < 0:
            raise TextonError(f"'{path}' has values below zero or not finite: rescale it to [0, 1]")
        return _scaled(
            values, 1.0 if values.max() <= 1 else 255.0 if values.max() <= 255 else 65535.0
        )
    transparent = "A" in picture.getbands() or "transparency" in picture.info
    if transparent:
        picture = picture.convert("RGBA")
        alpha = picture.getchannel("A")
        colour = _in_srgb(picture.convert("RGB"), picture.info.get("icc_profile"))
        white = Image.new("RGB", picture.size, "white")
        white.paste(colour, mask=alpha)
        return white
    if picture.mode in ("P", "1", "L"):
        return picture.convert("RGB")
    return _in_srgb(picture, picture.info.get("icc_profile"))


def _scaled(values: np.ndarray[Any, Any], top: float) -> Image.Image:
    return Image.fromarray((values / top).clip(0, 1).astype(np.float32))


def _in_srgb(picture: Image.Image, profile: bytes | None) -> Image.Image:
    if profile:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            converted = ImageCms.profileToProfile(
                picture, source, ImageCms.createProfile("sRGB"), outputMode="RGB"
            )
            if converted is not None:
                return converted
        except (ImageCms.PyCMSError, OSError, ValueError):
            pass  # a broken or foreign profile: the plain conversion is the best there is
    return picture.convert("RGB")


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
