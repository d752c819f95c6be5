"""The pictures of an atlas as a site shows them: whole or not at all, large and small."""

from __future__ import annotations

import io
import struct
from functools import lru_cache
from pathlib import Path

from PIL import Image

THUMBNAIL = 128  # pixels; pictures up to a quarter larger are their own thumbnails
_UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, struct.error)  # Pillow has no one name


def is_whole(path: Path) -> bool:
    """Whether a PNG is there to its last byte; by its checksums, without decoding it."""
    try:
        with Image.open(path) as picture:
            picture.verify()
    except _UNREADABLE:
        return False
    return True


def thumbnail(path: Path) -> bytes | None:
    """A picture as a small WebP; None where it cannot be read."""
    try:
        return _thumbnail(path, path.stat().st_mtime_ns)
    except _UNREADABLE:
        return None


@lru_cache(maxsize=4096)  # a few kilobytes each: a screen of tiles is asked for again and again
def _thumbnail(path: Path, changed: int) -> bytes:
    with Image.open(path) as picture:
        small = picture.convert("RGB")
    small.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "WEBP", quality=88, method=4)
    return buffer.getvalue()
