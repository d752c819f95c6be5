"""Folders of pictures: the files in them, each picture once, under a name of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from torch import Tensor

from texton.errors import TextonError
from texton.images.files import content_hash, read_image

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".heic", ".heif"}


@dataclass(frozen=True, eq=False)
class Picture:
    """A named image (1, C, H, W) in [0, 1]."""

    name: str
    image: Tensor


def images_in(folder: Path) -> list[Path]:
    """The image files of a folder, by name.

    Raises:
        TextonError: it cannot be read.
    """
    try:
        files = [file for file in folder.iterdir() if file.is_file()]
    except OSError as error:
        raise TextonError(f"cannot read '{folder}': {error.strerror or error}") from None
    return sorted(file for file in files if file.suffix.lower() in SUFFIXES)


def read_pictures(
    paths: Sequence[Path], size: int, channels: int = 3, **needs: Any
) -> list[Picture]:
    """The named files, folders standing for the images in them.

    Args:
        needs: more that `read_image` is told.

    Raises:
        TextonError: a file that is no image; a folder without one; one picture twice.
    """
    files = [file for path in paths for file in _files(path)]
    images = [read_image(file, size, channels=channels, **needs) for file in files]
    _check_distinct(files, images)
    names = _told_apart([file.stem for file in files])
    return [Picture(name, image) for name, image in zip(names, images, strict=True)]


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    if not (found := images_in(path)):
        raise TextonError(f"there are no images in '{path}'")
    return found


def _check_distinct(files: Sequence[Path], images: Sequence[Tensor]) -> None:
    """A copy has the noise and the targets of its original: it would always find itself."""
    seen: dict[str, Path] = {}
    for file, image in zip(files, images, strict=True):
        first = seen.setdefault(content_hash(image), file)
        if first is not file:
            raise TextonError(f"'{first}' and '{file}' are the same picture: leave one out")


def _told_apart(names: Sequence[str]) -> list[str]:
    """Names that stand once each, in any case of letters: a second ``cat`` becomes ``cat-2``."""
    taken = {name.casefold() for name in names}
    told: set[str] = set()
    unique = []
    for name in names:
        free = name
        if name.casefold() in told:
            free = next(n for i in count(2) if (n := f"{name}-{i}").casefold() not in taken)
        taken.add(free.casefold())
        told.add(free.casefold())
        unique.append(free)
    return unique
