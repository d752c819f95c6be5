"""Where something is going to be written: tried before the work, and written whole."""

from __future__ import annotations

import contextlib
import os
import secrets
import tempfile
from collections.abc import Callable, Iterator
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


def _exists(_: Path) -> str:
    return "exists"


def check_file(
    path: Path,
    suffix: str,
    what: str,
    force: bool,
    kept: Callable[[Path], str] = _exists,
) -> None:
    """Refuse, before anything is computed, a place that could not be written in the end.

    Args:
        what: says why its name should end in ``suffix``.
        kept: why a file that is there is not replaced without ``force``; empty where it may be.

    Raises:
        TextonError: of another ending, a folder, a file that is kept, nothing can be made there.
    """
    check_suffix(path, suffix, what)
    if path.is_dir():
        raise TextonError(f"'{path}' is a folder: name a file in it")
    if path.exists() and not force and (why := kept(path)):
        raise TextonError(f"'{path}' {why}: add --force to replace it")
    check_place(path)


@contextlib.contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Somewhere beside a file to write what becomes it: its name shows either the whole content or
    what was there before.

    Raises:
        TextonError: the disk does not take it.
    """
    unique = path.with_name(f".{path.name[:40]}.{secrets.token_hex(8)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield unique
        with unique.open("rb+") as file:
            os.fsync(file.fileno())
        unique.replace(path)
    except OSError as error:
        raise TextonError(f"cannot write '{path}': {error.strerror or error}") from None
    finally:
        with contextlib.suppress(OSError):
            unique.unlink(missing_ok=True)


def write_bytes(content: bytes, path: Path) -> None:
    """Write a file, `whole`."""
    with whole(path) as beside, beside.open("xb") as file:
        file.write(content)
