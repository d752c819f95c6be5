"""Files of any format as pictures that are upright, in sRGB, without transparency."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageCms, PngImagePlugin, UnidentifiedImageError

from texton.errors import TextonError, optional

MIN_SIDE = 16
MAX_PIXELS = 100_000_000
MAX_SIDE = 100_000  # whatever the other is: nothing of such a strip is left at any size
SETTINGS_KEY = "texton"
_PNG = b"\x89PNG\r\n\x1a\n"
_TEXTS = (b"tEXt", b"zTXt", b"iTXt")
_OWN, _MOST = SETTINGS_KEY.encode() + b"\0", PngImagePlugin.MAX_TEXT_CHUNK  # so its text begins
_LEFT_OUT = ((), _TEXTS, (*_TEXTS, b"iCCP"))  # of a PNG, try by try; its pixels need none of them
_HEIF = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def check_file(path: Path) -> None:
    """Refuse what is no file with something in it."""
    if path.is_dir():
        raise TextonError(f"'{path}' is a folder: name an image file")
    if not path.exists():
        raise TextonError(f"there is no file '{path}'")
    if path.stat().st_size == 0:
        raise TextonError(f"'{path}' is empty: name an image file")


def check_size(path: Path, width: int, height: int) -> None:
    """Refuse what is too large or too small."""
    if width * height > MAX_PIXELS:
        raise _too_large(path)
    if max(width, height) > MAX_SIDE:
        raise TextonError(f"'{path}' is {width}×{height} pixels: crop it to {MAX_SIDE} a side")
    if min(width, height) < MIN_SIDE:
        raise TextonError(
            f"'{path}' is {width}×{height} pixels: texton needs {MIN_SIDE} a side or more"
        )


def identify(path: Path, attempt: int = 0) -> Image.Image:
    """A file's format, size and texts; its pixels are not read.

    Raises:
        OSError, TextonError: it cannot be opened; it is no image that can be read.
    """
    check_file(path)
    _know_heif(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            picture = Image.open(_without(path, _LEFT_OUT[attempt]) if attempt else path)
    except Image.DecompressionBombError:
        raise _too_large(path) from None
    except (UnidentifiedImageError, ValueError, SyntaxError, EOFError) as error:
        if _may_retry(error, attempt) and _is_png(path):
            return identify(path, attempt + 1)
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


def open_picture(path: Path, attempt: int = 0) -> Image.Image:
    """A picture as it is meant to be seen: ``RGB``, or ``I`` or ``F`` for grey of more than 8 bits
    with the values that the file has.

    Raises:
        OSError, TextonError: see `identify`; too large, too small, damaged.
    """
    with identify(path, attempt) as picture:
        check_size(path, *picture.size)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                picture.seek(0)
                picture.load()
                return _standard(upright(picture))
        except (OSError, SyntaxError, ValueError, EOFError) as error:
            if _may_retry(error, attempt) and picture.format == "PNG":
                return open_picture(path, attempt + 1)
            raise TextonError(
                f"'{path}' is damaged or truncated: get the whole file again"
            ) from None


def _know_heif(path: Path) -> None:
    """Have an iPhone's photographs read, by a package that not everybody has."""
    with path.open("rb") as file:
        head = file.read(12)
    if head[4:8] == b"ftyp" and head[8:] in _HEIF:
        with optional("images"):
            import pi_heif
        pi_heif.register_heif_opener()


def upright(picture: Image.Image, told: Image.Image | None = None) -> Image.Image:
    """Turned as its EXIF says, or that of the picture it was made of; what cannot be parsed says
    nothing."""
    try:
        turn = _TURNS.get((told or picture).getexif().get(_ORIENTATION, 1))
    except Exception:  # noqa: BLE001 - its parser fails in a dozen ways
        return picture
    return picture if turn is None else picture.transpose(turn)


def _standard(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith("I"):
        return picture.convert("I")
    if picture.mode == "F":
        return picture
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
