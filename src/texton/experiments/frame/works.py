"""Works in styles, as crops: from a user's folder, or the program's own pictures."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from texton.errors import TextonError
from texton.experiments.frame.lab import Lab, some_channels
from texton.experiments.frame.samples import images_in
from texton.experiments.frame.styled import METHODS, plan, styled
from texton.experiments.frame.textures import filters_of, solve
from texton.images import content_hash, read_image

_WIDER = 1.5  # the short side of a work, in sides of its crops
_TEXTURES = 4


@dataclass(frozen=True)
class Crop:
    """A square piece (3, size, size) of a work; works of one style are independent."""

    style: str
    work: str
    image: Tensor


def crops_of_folder(lab: Lab, folder: Path) -> list[Crop]:
    """One subfolder per style, one file per work.

    A style with a single work has nothing that could be found for it: its crops only stand in
    the way of the others.

    Raises:
        TextonError: fewer than two styles; no style with two works; a work in two styles.
    """
    if not folder.is_dir():
        raise TextonError(f"there is no folder '{folder}': give one with a subfolder per style")
    styles = {sub.name: images_in(sub) for sub in sorted(folder.iterdir()) if sub.is_dir()}
    styles = {name: files for name, files in styles.items() if files}
    if len(styles) < 2:
        raise TextonError(
            f"'{folder}' has {len(styles)} subfolders with pictures: make one per style, at least 2"
        )
    crops: list[Crop] = []
    seen: dict[str, tuple[str, str]] = {}
    for style, files in styles.items():
        for file in files:
            image = read_image(file)
            # copies of one picture are one work, or the picture would find itself
            known, work = seen.setdefault(content_hash(image), (style, f"{style}/{file.name}"))
            if known != style:
                raise TextonError(
                    f"'{work}' is in style '{style}' too, as '{file.name}': a work has one style"
                )
            crops += _crops(lab, style, work, image[0], lab.options.size)
    _check_works({crop.work: crop.style for crop in crops}, folder)
    return crops


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
    plan(lab, lab.photos, lab.styles, METHODS, [None], [key for s in series for key in s.keys])
    side = max(32, lab.options.size // 2)
    found: list[Crop] = []
    for style in lab.styles:
        found += _crops(lab, style.name, f"{style.name}/original", style.image[0], side)
        for photo in lab.photos:
            work = f"{style.name}/{photo.name}"
            for method in METHODS:
                image = styled(lab, photo, style, method).image
                found += _crops(lab, style.name, work, image, side)
    for photo, textures in zip(lab.photos, series, strict=True):
        for channel, made in zip(channels, solve(lab, textures), strict=True):
            name = f"{layer}:{channel}"
            found += _crops(lab, name, f"{name}/{photo.name}", made.image, side)
    return found


def _crops(lab: Lab, style: str, work: str, image: Tensor, side: int) -> list[Crop]:
    """Random squares, from the work with a short side of one and a half of theirs."""
    scale = _WIDER * side / min(image.shape[1:])
    size = [max(side, round(edge * scale)) for edge in image.shape[1:]]
    image = F.interpolate(image[None], size, mode="bicubic", antialias=True)[0].clamp(0, 1)
    seeded = torch.Generator().manual_seed(lab.options.seed)
    found = []
    for _ in range(lab.options.repeats):
        top = int(torch.randint(image.shape[1] - side + 1, (1,), generator=seeded))
        left = int(torch.randint(image.shape[2] - side + 1, (1,), generator=seeded))
        found.append(Crop(style, work, image[:, top : top + side, left : left + side].clone()))
    return found
