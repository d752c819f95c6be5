"""Regions of pictures, by the grey levels of masks: each has a style of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from texton.errors import TextonError

_FEW = 0.002  # of a mask's pixels: fewer of a grey are the edge between two regions
_ALIKE = 12  # of 255: greys this near to one another are one, as a JPEG blurs them
_MOST = 8  # regions
_OTHER_SHAPE = 0.02  # of the aspect ratio


@dataclass(frozen=True, eq=False)
class Regions:
    """Where each region lies, at the size of the pictures.

    Attributes:
        content: (R, H, W), 1 within a region and 0 outside.
        styles: the same of every style, (R, h, w); None of a style that is the whole of one
            region's.
        holds: (R, S), of each region which styles have it; at least one.
    """

    content: Tensor
    styles: tuple[Tensor | None, ...]
    holds: Tensor

    def __len__(self) -> int:
        return len(self.content)

    def shares(self, of_styles: Sequence[float]) -> list[list[float]]:
        """Of each region how much of each style; they sum to 1."""
        mixed = self.holds * torch.tensor(of_styles, dtype=torch.float64)
        rows: list[list[float]] = (mixed / mixed.sum(1, keepdim=True)).tolist()
        return rows

    def areas(self) -> list[float]:
        """Each region's share of the picture."""
        areas = self.content.mean((1, 2))
        return [float(area) for area in areas / areas.sum()]


def regions_at(mask: Tensor, size: Sequence[int]) -> Tensor:
    """Regions (R, H, W) of a picture of another (height, width): edges become shares."""
    if tuple(mask.shape[1:]) == tuple(size):
        return mask
    return F.interpolate(mask[None], list(size), mode="area")[0]


def bled(mask: Tensor, edge: int) -> Tensor:
    """Regions (R, H, W) with as much around them as the picture has."""
    return F.pad(mask[None], (edge,) * 4, mode="reflect")[0] if edge else mask


def at_code(mask: Tensor, stride: int) -> Tensor:
    """How much each position of a code of that stride counts in each region: (R, H, W) → (R, M, N).

    The last row and column may be more than the code has.
    """
    return F.avg_pool2d(mask[None], stride, ceil_mode=True)[0] if stride > 1 else mask


def read_regions(
    paths: Sequence[Path | Tensor], content: Tensor, styles: Sequence[object]
) -> Regions:
    """The regions of a content (1, C, H, W) and of its styles.

    Args:
        paths: the content's mask, and one for each style or none: the styles then go to the
            regions one by one, from the darkest.
        styles: images (1, C, h, w), or what has no places.

    Raises:
        TextonError: a mask that cannot be read, of another shape than its picture, or with
            regions that the others lack.
    """
    first, *others = [_read(path) for path in paths]
    names = [_name(path) for path in paths]
    _check_shape(names[0], first, content)
    levels = _levels(names[0], first)
    if not others:
        if len(styles) != len(levels):
            raise TextonError(
                f"{names[0]} has {len(levels)} regions and there are {len(styles)} styles: give "
                "one style for each, darkest first, or a mask for each style"
            )
        split, each = _split(first, levels, content), torch.eye(len(levels), dtype=torch.bool)
        return Regions(split, (None,) * len(styles), each)
    if len(others) != len(styles):
        raise TextonError(
            f"{len(others)} masks for {len(styles)} styles: give the content's mask, then one for "
            "each style"
        )
    found = []
    for name, mask, style in zip(names[1:], others, styles, strict=True):
        if not isinstance(style, Tensor):
            raise TextonError(f"{name} is of a .style file, which has no places: name the image")
        _check_shape(name, mask, style)
        found.append(_matched(name, mask, style, levels, names[0]))
    held = torch.stack([mask.sum((1, 2)) > 0 for mask in found], 1)  # (R, S)
    for level, has in zip(levels, held.any(1).tolist(), strict=True):
        if not has:
            raise TextonError(
                f"{names[0]} has a region of grey {level} that no style's mask has: paint the same "
                "greys in both"
            )
    return Regions(_split(first, levels, content), tuple(found), held)


def _matched(name: str, mask: Tensor, style: Tensor, levels: list[int], of: str) -> Tensor:
    """(R, h, w): a style's regions, by the content's greys."""
    for level in _levels(name, mask):
        if min(abs(level - other) for other in levels) > _ALIKE:
            raise TextonError(
                f"{name} has a region of grey {level} that {of} lacks: paint the same greys in both"
            )
    split = _split(mask, levels, style)
    few = split.mean((1, 2)) < _FEW
    return split * ~few[:, None, None]


def _name(path: Path | Tensor) -> str:
    return "the mask" if isinstance(path, Tensor) else f"'{path}'"


def _read(path: Path | Tensor) -> Tensor:
    """(H, W), whole numbers from 0 to 255."""
    from texton.images.files import read_image

    image = path if isinstance(path, Tensor) else read_image(path, channels=1)
    grey = image.mean(1) if image.ndim == 4 else image.reshape(1, *image.shape[-2:])
    return grey[0].mul(255).round()


def _check_shape(name: str, mask: Tensor, picture: Tensor) -> None:
    (rows, columns), (height, width) = mask.shape, picture.shape[2:]
    if abs(columns * height / (rows * width) - 1) > _OTHER_SHAPE:
        raise TextonError(
            f"{name} is {columns}×{rows} pixels and its picture {width}×{height}, of another "
            "shape: give it the picture's"
        )


def _levels(name: str, mask: Tensor) -> list[int]:
    """The greys that regions are painted in, from the darkest."""
    counts = torch.bincount(mask.flatten().long(), minlength=256)
    levels: list[int] = []
    for level in counts.argsort(descending=True, stable=True).tolist():
        if counts[level] < _FEW * mask.numel():
            break
        if all(abs(level - other) > _ALIKE for other in levels):
            levels.append(level)
    if not 2 <= len(levels) <= _MOST:
        what = "one grey" if len(levels) < 2 else f"{len(levels)} greys"
        raise TextonError(f"{name} has {what}: paint 2 to {_MOST} regions, each in an even grey")
    return sorted(levels)


def _split(mask: Tensor, levels: list[int], picture: Tensor) -> Tensor:
    """(R, H, W): every pixel belongs to the nearest grey; at the picture's size."""
    distances = torch.stack([(mask - level).abs() for level in levels])
    split = F.one_hot(distances.argmin(0), len(levels)).permute(2, 0, 1).float()
    if mask.shape == picture.shape[2:]:
        return split
    return F.interpolate(split[None], list(picture.shape[2:]), mode="area")[0]
