"""A folder of photographs as a torch data set: random crops that depend on nothing but a seed."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import Dataset

from texton.errors import TextonError, TextonWarning
from texton.evidence.looking import files_in
from texton.images.files import content_hash, read_image, to_bytes

FEWEST = 8
_EDGE = 512  # of photographs in memory: 0.6 MB each
_HELD_SHARE, _HELD_MOST = 20, 8  # one in twenty, so many at most
_ZOOM = 2.0  # a crop shows up to so many times its side
_TOLD = 5  # files left out that are named


@dataclass(frozen=True, eq=False)
class Photos:
    """Photographs in memory, (C, H, W) uint8, and a few that training never sees.

    Attributes:
        identity: a hash of them all: other photographs train another network.
    """

    seen: tuple[Tensor, ...]
    held: tuple[Tensor, ...]
    identity: str

    @classmethod
    def read(
        cls,
        folder: Path,
        crop: int,
        *,
        channels: int = 3,
        most: int = 4000,
        on_file: Callable[[int, int], object] = lambda done, total: None,
    ) -> Photos:
        """The pictures of a folder and of those in it.

        What cannot be read, or is smaller than a crop, is left out with a warning; a picture that
        is there twice counts once.

        Args:
            crop: the side of crops, in pixels.
            most: where there are more, those with the smallest hashes of their paths.
            on_file: is told how many are read, and of how many, after every one.

        Raises:
            TextonError: no such folder; under `FEWEST` photographs to train on.
        """
        found: dict[str, Tensor] = {}
        lost: list[str] = []
        names = _chosen(folder, channels, most)
        for number, name in enumerate(names, 1):
            try:
                image = read_image(folder / name, max(_EDGE, crop), channels=channels)
            except TextonError as error:
                lost.append(str(error))
            else:
                if min(image.shape[2:]) < crop:
                    lost.append(f"'{folder / name}' is smaller than a crop of {crop} pixels")
                else:
                    found[content_hash(image)] = to_bytes(image[0])
            on_file(number, len(names))
        _tell(lost)
        hashes = sorted(found)
        held = min(_HELD_MOST, -(-len(hashes) // _HELD_SHARE))
        if len(hashes) - held < FEWEST:
            raise TextonError(
                f"'{folder}' gives {len(hashes)} different photographs of {crop} pixels or more: "
                f"training takes {FEWEST + 1} or more, some hundred are good"
            )
        pictures = [found[one] for one in hashes]
        identity = hashlib.sha256(" ".join(hashes).encode()).hexdigest()[:16]
        return cls(tuple(pictures[held:]), tuple(pictures[:held]), identity)

    def held_crops(self, side: int) -> Tensor:
        """(n, C, side, side) in [0, 1]: the middles of the photographs that are not trained on."""
        return torch.stack([_middle(picture, side) for picture in self.held])


class Crops(Dataset[Tensor]):
    """Item i is the i-th crop of a training, (C, side, side) in [0, 1].

    It depends on the seed and on i alone, so that a training that goes on sees what it would have
    seen.
    """

    def __init__(self, pictures: Sequence[Tensor], side: int, seed: int) -> None:
        self._pictures, self._side, self._seed = pictures, side, seed

    def __getitem__(self, index: int) -> Tensor:
        drawn = torch.Generator().manual_seed(seed_of(self._seed, "crop", index))
        share = torch.rand(4, generator=drawn, dtype=torch.float64).tolist()
        which = int(torch.randint(len(self._pictures), (), generator=drawn))
        picture = self._pictures[which]
        widest = min(_ZOOM, min(picture.shape[1:]) / self._side)
        side = round(self._side * widest ** share[0])
        top, left = (
            int(part * (extent - side + 1))
            for part, extent in zip(share[1:3], picture.shape[1:], strict=True)
        )
        crop = picture[:, top : top + side, left : left + side].float() / 255
        if side != self._side:
            size = (self._side, self._side)
            crop = F.interpolate(crop[None], size, mode="bilinear", antialias=True)[0].clamp(0, 1)
        return crop.flip(2) if share[3] < 0.5 else crop


def seed_of(*what: object) -> int:
    """63 bits that depend on these words and numbers alone, on any machine."""
    digest = hashlib.sha256(repr(what).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def _chosen(folder: Path, channels: int, most: int) -> list[str]:
    def say(line: str) -> None:
        warnings.warn(line, TextonWarning, stacklevel=2)

    try:
        names = list(files_in(folder, channels, say))
    except OSError as error:
        raise TextonError(f"cannot read '{folder}': {error.strerror or error}") from None
    if len(names) <= most:
        return names
    say(f"'{folder}' holds {len(names):,} pictures: {most:,} of them are used (--most)")
    by_hash = sorted(names, key=lambda name: seed_of(name))
    return sorted(by_hash[:most])


def _tell(lost: Sequence[str]) -> None:
    for line in lost[:_TOLD]:
        warnings.warn(f"left out: {line}", TextonWarning, stacklevel=3)
    if len(lost) > _TOLD:
        more = f"left out: {len(lost) - _TOLD:,} more pictures"
        warnings.warn(more, TextonWarning, stacklevel=3)


def _middle(picture: Tensor, side: int) -> Tensor:
    top, left = ((extent - side) // 2 for extent in picture.shape[1:])
    return picture[:, top : top + side, left : left + side].float() / 255
