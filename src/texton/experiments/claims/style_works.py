"""Works in styles, as crops: from a user's folder, or the program's own pictures."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from texton.errors import TextonError
from texton.experiments.harness.lab import Lab, some_channels
from texton.experiments.harness.series import METHODS, filters_of, styled
from texton.images.files import content_hash, read_image
from texton.images.folder import images_in

Array = NDArray[np.float64]
_THUMB = 16  # pixels a side
_SAME_PICTURE = 0.98  # correlation of thumbnails: a JPEG or a resized copy has 0.99 and more
_SAME_ASPECT = 0.03  # a small copy's sides are rounded to whole pixels
_WIDER = 1.5  # the short side of a work, in sides of its crops
_TEXTURES = 4
_NAMED = 10


@dataclass(frozen=True, eq=False)
class Crop:
    """A square piece (3, size, size) of a work; works of one style are independent."""

    style: str
    work: str
    image: Tensor


@dataclass(frozen=True)
class _Known:
    """A file that has been read: its style, its work, and what tells its copies."""

    style: str
    work: str
    file: Path
    digest: str
    aspect: float
    thumbnail: Array

    def same_picture(self, other: _Known) -> bool:
        """Whether two files show one picture: bit by bit, saved anew or resized."""
        if self.digest == other.digest:
            return True
        near = abs(np.log(self.aspect / other.aspect)) < _SAME_ASPECT
        return bool(near and float(self.thumbnail @ other.thumbnail) > _SAME_PICTURE)


def crops_of_folder(lab: Lab, folder: Path) -> tuple[list[Crop], list[str]]:
    """One subfolder per style, one file per work; and what limits them.

    A style with a single work has nothing that could be found for it: its crops only stand in
    the way of the others.

    Raises:
        TextonError: fewer than two styles; no style with two works; a work in two styles.
    """
    crops: list[Crop] = []
    seen: list[_Known] = []
    copies: list[str] = []
    small: list[str] = []
    for style, files in _styles_of(folder).items():
        for file in files:
            image = read_image(file)
            name = f"{style}/{file.name}"
            found = _known(style, name, file, image)
            # copies of one picture are one work, or the picture would find itself
            first = next((known for known in seen if known.same_picture(found)), found)
            if first.style != style:
                raise TextonError(
                    f"'{first.file}' and '{file}' show one picture in two styles: a work has one "
                    "style, leave one out"
                )
            if first is not found:
                copies.append(f"{name} ({first.work})")
            if min(image.shape[2:]) < _WIDER * lab.options.size:
                small.append(name)
            seen.append(replace(found, work=first.work))
            crops += _crops(lab, style, first.work, image[0], lab.options.size)
    _check_works({crop.work: crop.style for crop in crops}, folder)
    return crops, _limits(lab, copies, small)


def _styles_of(folder: Path) -> dict[str, list[Path]]:
    if not folder.is_dir():
        raise TextonError(f"there is no folder '{folder}': give one with a subfolder per style")
    styles = {sub.name: images_in(sub) for sub in sorted(folder.iterdir()) if sub.is_dir()}
    styles = {name: files for name, files in styles.items() if files}
    if len(styles) < 2:
        raise TextonError(
            f"'{folder}' has {len(styles)} subfolders with pictures: make one per style, at least 2"
        )
    return styles


def _known(style: str, work: str, file: Path, image: Tensor) -> _Known:
    grey = image.mean(1, keepdim=True)
    small = F.interpolate(grey, (_THUMB, _THUMB), mode="bilinear", antialias=True)
    values = small.flatten().double().numpy()
    values = values - values.mean()
    length = float(np.linalg.norm(values))
    # of a flat picture nothing is left but its rounding, which tells no copies
    thumbnail = values / length if length > _THUMB / 255 else np.zeros_like(values)
    aspect = image.shape[3] / image.shape[2]
    return _Known(style, work, file, content_hash(image), aspect, thumbnail)


def _limits(lab: Lab, copies: list[str], small: list[str]) -> list[str]:
    found = []
    if copies:
        found.append(f"Taken as copies of one work: {_listed(copies)}.")
    if small:
        found.append(
            f"Enlarged for crops of {lab.options.size} pixels, so without fine detail: "
            f"{_listed(small)}. A smaller --size keeps every work as it is."
        )
    return found


def _listed(names: list[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def _check_works(style_of: dict[str, str], folder: Path) -> None:
    if max(Counter(style_of.values()).values()) < 2:
        raise TextonError(
            f"every style in '{folder}' has one work: crops of one picture prove nothing, add "
            "another work to a style"
        )


def crops_of_own(lab: Lab) -> list[Crop]:
    """The program's own works: styles carried over to photographs, and filters' textures.

    A style's works are the style picture and each photograph in that style, by both methods:
    the two are one work. A filter's works are its textures on each photograph.
    """
    layer = lab.layers(2)[len(lab.layers(2)) // 2]
    channels = some_channels(lab.network.layer(layer).channels, _TEXTURES, lab.options.seed)
    series = [filters_of(lab, "texture", lab.network, p, layer, channels) for p in lab.photos]
    works = [styled(lab, p, s, m) for p in lab.photos for s in lab.styles for m in METHODS]
    lab.make([*works, *series])
    side = max(32, lab.options.size // 2)
    found: list[Crop] = []
    for style in lab.styles:
        found += _crops(lab, style.name, f"{style.name}/original", style.image[0], side)
        for photo in lab.photos:
            work = f"{style.name}/{photo.name}"
            for method in METHODS:
                image = lab.picture(styled(lab, photo, style, method))
                found += _crops(lab, style.name, work, image, side)
    for photo, textures in zip(lab.photos, series, strict=True):
        for channel, made in zip(channels, lab.made(textures), strict=True):
            name = f"{layer}:{channel}"
            found += _crops(lab, name, f"{name}/{photo.name}", made.image, side)
    return found


def _crops(lab: Lab, style: str, work: str, image: Tensor, side: int) -> list[Crop]:
    """Random squares, from the work with a short side of one and a half of theirs."""
    rows, columns = lab.network.intake().square(side)
    scale = max(_WIDER * rows / image.shape[1], _WIDER * columns / image.shape[2])
    size = [max(rows, round(image.shape[1] * scale)), max(columns, round(image.shape[2] * scale))]
    image = F.interpolate(image[None], size, mode="bicubic", antialias=True)[0].clamp(0, 1)
    seeded = torch.Generator().manual_seed(lab.options.seed)
    found = []
    for _ in range(lab.options.repeats):
        top = int(torch.randint(image.shape[1] - rows + 1, (1,), generator=seeded))
        left = int(torch.randint(image.shape[2] - columns + 1, (1,), generator=seeded))
        found.append(Crop(style, work, image[:, top : top + rows, left : left + columns].clone()))
    return found
