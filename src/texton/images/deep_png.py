"""PNG of 16 bits a value, colours and alpha, which Pillow reads as 8 and does not write."""

from __future__ import annotations

import struct
import zlib

import numpy as np
from torch import Tensor

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_KINDS = {1: 0, 2: 4, 3: 2, 4: 6}  # colour types, by channels: grey, with alpha, RGB, with alpha
_UP = 2  # the filter: what is above is subtracted


def deep_png(image: Tensor, texts: dict[str, str]) -> bytes:
    """A file's content.

    Args:
        image: (C, H, W) in [0, 1], C from 1 to 4; the last of 2 or 4 is alpha.
        texts: keywords and texts, kept inside.
    """
    values = image.detach().double().clamp(0, 1).mul(65535).round().permute(1, 2, 0).cpu().numpy()
    height, width, channels = values.shape
    rows = np.ascontiguousarray(values.astype(">u2")).view(np.uint8).reshape(height, -1)
    filtered = np.full((height, rows.shape[1] + 1), _UP, dtype=np.uint8)
    filtered[:, 1:] = np.diff(rows, axis=0, prepend=np.zeros_like(rows[:1]))
    head = struct.pack(">IIBBBBB", width, height, 16, _KINDS[channels], 0, 0, 0)
    inside = [
        _chunk(b"iTXt", key.encode("latin-1") + b"\0\0\0\0\0" + text.encode())
        for key, text in texts.items()
    ]
    data = zlib.compress(filtered.tobytes(), 6)
    return b"".join(
        [_SIGNATURE, _chunk(b"IHDR", head), *inside, _chunk(b"IDAT", data), _chunk(b"IEND", b"")]
    )


def _chunk(kind: bytes, content: bytes) -> bytes:
    return (
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
    )
