"""The pictures an experiment looks at: files, or samples that the installed packages bring."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from texton.errors import TextonError, optional
from texton.images.files import MIN_SIDE, content_hash, read_image

with optional("experiments"):
    from skimage import data

PHOTOS = ("chelsea", "coffee")  # CC0
STYLES = ("hubble_deep_field", "immunohistochemistry", "brick", "grass")
SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp"}


@dataclass(frozen=True)
class Picture:
    """A named image (1, C, H, W) in [0, 1]."""

    name: str
    image: Tensor


def sample(name: str, size: int, channels: int = 3) -> Picture:
    """One of scikit-image's pictures, all of which its wheel holds: nothing is downloaded."""
    picture = Image.fromarray(getattr(data, name)()).convert("RGB" if channels == 3 else "L")
    scale = size / max(picture.size)
    width, height = (max(1, round(side * scale)) for side in picture.size)
    if min(width, height) < MIN_SIDE:
        raise TextonError(f"'{name}' would become {width}×{height} pixels: use a larger --size")
    values = np.asarray(picture.resize((width, height), Image.Resampling.LANCZOS), np.float32)
    tensor = torch.from_numpy(values.copy()) / 255
    planes = tensor.permute(2, 0, 1) if tensor.ndim == 3 else tensor.expand(channels, -1, -1)
    return Picture(name, planes[None].contiguous())


def read_pictures(
    paths: Sequence[Path], samples: Sequence[str], size: int, channels: int = 3
) -> list[Picture]:
    """The named files, folders standing for the images in them; without any, the samples.

    Raises:
        TextonError: a file that is no image; a folder without one; one picture twice.
    """
    if not paths:
        return [sample(name, size, channels) for name in samples]
    files = [file for path in paths for file in _files(path)]
    images = [read_image(file, size, channels=channels) for file in files]
    _check_distinct(files, images)
    names = _told_apart([file.stem for file in files])
    return [Picture(name, image) for name, image in zip(names, images, strict=True)]


def images_in(folder: Path) -> list[Path]:
    """The image files of a folder, by name."""
    return sorted(file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES)


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
