"""Folders of photographs: what is taken, what is left out, and crops that can be drawn again."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch

from tests.training.recipes import write_photographs
from texton.errors import TextonError, TextonWarning
from texton.training.photos import Crops, Photos, seed_of


def test_a_folder_is_read(tmp_path: Path) -> None:
    folder = write_photographs(tmp_path / "in" / "side", 25).parent
    (folder / "note.txt").write_text("no picture")
    photos = Photos.read(folder, 32)
    assert len(photos.seen) == 23 and len(photos.held) == 2
    assert photos.held_crops(32).shape == (2, 3, 32, 32)
    again = Photos.read(folder, 32)
    assert again.identity == photos.identity
    assert all(map(torch.equal, again.seen, photos.seen))
    with pytest.warns(TextonWarning, match="25 pictures: 20 of them are used"):
        assert len(Photos.read(folder, 32, most=20).seen) == 19


def test_what_cannot_be_used_is_left_out(tmp_path: Path) -> None:
    folder = write_photographs(tmp_path / "in", 12)
    write_photographs(folder / "small", 1, 20)
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and then nothing")
    (folder / "twice.png").write_bytes((folder / "00.png").read_bytes())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        photos = Photos.read(folder, 32)
    assert len(photos.seen) + len(photos.held) == 12
    told = [str(one.message) for one in caught]
    assert len(told) == 2 and "broken.png" in told[0] and "smaller than a crop" in told[1]


@pytest.mark.parametrize(("count", "says"), [(0, "gives 0"), (2, "gives 2"), (8, "gives 8")])
def test_too_few(count: int, says: str, tmp_path: Path) -> None:
    folder = write_photographs(tmp_path / "in", count)
    with pytest.raises(TextonError, match=f"{says} different photographs") as told:
        Photos.read(folder, 32)
    assert "\n" not in str(told.value)
    with pytest.raises(TextonError, match="cannot read"):
        Photos.read(tmp_path / "nowhere", 32)


def test_crops_depend_on_seed_and_number_alone(tmp_path: Path) -> None:
    pictures = Photos.read(write_photographs(tmp_path / "in", 12, 80), 32).seen
    crops = Crops(pictures, 32, 5)
    some = [crops[i] for i in (7, 3, 7, 10**12)]
    assert torch.equal(some[0], some[2]) and not torch.equal(some[0], some[1])
    assert torch.equal(Crops(pictures, 32, 5)[3], some[1])
    assert not torch.equal(Crops(pictures, 32, 6)[3], some[1])
    many = torch.stack([crops[i] for i in range(64)])
    assert many.shape == (64, 3, 32, 32) and many.min() >= 0 and many.max() <= 1
    colours = many.mean((2, 3))
    assert colours.std(0).min() > 0.05  # of more than one photograph
    assert seed_of(1, "crop", 2) == seed_of(1, "crop", 2) != seed_of(1, "crop", 3)
