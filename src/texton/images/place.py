"""Where something is going to be written: tried before the work, not after it."""

from __future__ import annotations

import tempfile
from pathlib import Path

from texton.errors import TextonError


def check_suffix(path: Path, suffix: str, what: str) -> None:
    """Refuse another ending, with the name that would do.

    Raises:
        TextonError: ``what`` says why it should end so.
    """
    if not path.name:
        raise TextonError(f"'{path}' is no file's name: end it in {suffix}")
    if path.suffix.lower() != suffix:
        raise TextonError(f"{what}: name the file '{path.with_suffix(suffix)}'")


def check_place(path: Path) -> None:
    """Make a file where ``path`` is going to be, and take it away again.

    Only that tells: rights say nothing of file systems that are full, read-only or no real ones.

    Raises:
        TextonError: none can be made there.
    """
    try:
        folder = next(place for place in path.absolute().parents if place.exists())
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise TextonError(f"cannot write '{path}': {error.strerror or error}") from None
