"""Where something is going to be written: refused before the work."""

from __future__ import annotations

from pathlib import Path

import pytest

from texton.errors import TextonError
from texton.images.place import check_file


def _check(path: Path, force: bool = False, why: str = "is a friend's") -> None:
    check_file(path, ".x", "it is an x", force, lambda path: why if path.stat().st_size else "")


def test_a_place_that_will_do(tmp_path: Path) -> None:
    (tmp_path / "empty.x").touch()
    (tmp_path / "kept.x").write_text("kept")
    for name, force in (("new/folder/a.x", False), ("empty.x", False), ("kept.x", True)):
        _check(tmp_path / name, force)
    assert (tmp_path / "kept.x").read_text() == "kept" and not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("a.y", "it is an x: name the file '.*/a.x'"),
        ("folder.x", "'.*/folder.x' is a folder: name a file in it"),
        ("kept.x", "'.*/kept.x' is a friend's: add --force to replace it"),
        ("kept.x/a.x", "cannot write '.*/kept.x/a.x'"),
    ],
)
def test_a_place_that_will_not(name: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "folder.x").mkdir()
    (tmp_path / "kept.x").write_text("kept")
    with pytest.raises(TextonError, match=says):
        _check(tmp_path / name)


def test_what_is_there_is_kept_unless_somebody_knows_better(tmp_path: Path) -> None:
    (tmp_path / "a.x").touch()
    with pytest.raises(TextonError, match="exists: add --force"):
        check_file(tmp_path / "a.x", ".x", "it is an x", False)
