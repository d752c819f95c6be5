"""Pictures one after the other, as WebP or GIF."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from texton.images.place import write_bytes

if TYPE_CHECKING:
    from torch import Tensor

SUFFIXES = {"webp": ".webp", "gif": ".gif"}
_MILLISECONDS = 80


def write_animation(
    frames: Sequence[Tensor], path: Path, bands: Sequence[int] | None = None
) -> Path:
    """Write frames (C, H, W) in [0, 1] atomically, in the format of the name's ending, endless.

    Raises:
        TextonError: the disk does not take it.
    """
    from texton.images.pixels import to_pillow  # here: a command line reads SUFFIXES without torch

    first, *others = [to_pillow(frame, bands) for frame in frames]
    buffer = io.BytesIO()
    told = {"save_all": True, "append_images": others, "duration": _MILLISECONDS, "loop": 0}
    first.save(buffer, path.suffix[1:].upper(), quality=90, **told)
    write_bytes(buffer.getvalue(), path)
    return path
