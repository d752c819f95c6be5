"""Evidence folders that somebody else wrote: whatever is in them, one line says what is wrong."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import texton
from tests.evidence.scans import SIZE, SOURCE, Inline, scan, write_pictures
from tests.helpers import Run
from texton.evidence.format import Evidence
from texton.methods.filter_parts import parts
from texton.methods.patches import patches

Change = Callable[[Any], object]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("damage")
    (base / "small.py").write_text(SOURCE)
    write_pictures(base / "pictures", 6)
    scan(base / "pictures", base / "evidence", f"{base / 'small.py'}:make", Inline())
    return base


@pytest.fixture
def root(place: Path, tmp_path: Path) -> Path:
    shutil.copytree(place / "evidence", tmp_path / "e")
    return tmp_path / "e"


def setting(key: str, value: Any) -> Change:
    return lambda told: told["settings"].update({key: value})


def of_layers(key: str, value: Any) -> Change:
    return lambda told: [layer.update({key: value}) for layer in told["layers"]]


@pytest.mark.parametrize(
    "change",
    [
        setting("channels", "3"),
        setting("channels", 10**9),
        setting("size", 0),
        setting("size", True),
        setting("top", 0),
        setting("crop", [32, -1]),
        setting("crop", [2**40, 1]),
        setting("crop", "oval"),
        setting("multiple", -2),
        lambda told: told["settings"].pop("channels"),
        of_layers("stride", 2**60),
        of_layers("first", [2**60, 0]),
        of_layers("first", [0]),
        of_layers("name", "4"),
        of_layers("strides", [0, 1]),
        of_layers("strides", [1]),
        lambda told: told.update(layers=[]),
        lambda told: told.update(done=[[5, 1]]),
        lambda told: told.update(done=[[-1, 3]]),
        lambda told: told.update(extents=[{"start": 0, "end": 2**60, "block": 1}]),
        lambda told: told.update(extents=[{"start": 2, "end": 3, "block": 1}]),
    ],
)
def test_a_manifest_out_of_range_is_refused(change: Change, root: Path) -> None:
    told = json.loads((root / "manifest.json").read_text())
    change(told)
    (root / "manifest.json").write_text(json.dumps(told))
    with pytest.raises(texton.TextonError, match="no evidence's"):
        Evidence.open(root)


@pytest.mark.parametrize("name", ["value", "active", "broken", "drawn", "pictures"])
def test_figures_that_cannot_be_are_refused(name: str, root: Path) -> None:
    file = next(root.glob("layers-*/4.npz"))
    arrays = dict(np.load(file))
    arrays[name] = (arrays[name] * np.nan if name == "value" else arrays[name] * 0 - 9).astype(
        arrays[name].dtype
    )
    np.savez(file, **arrays)
    with pytest.raises(texton.TextonError, match=f"its '{name}'"):
        Evidence.open(root).layer("4")


def test_an_array_that_asks_for_petabytes_is_refused(root: Path) -> None:
    import io
    import zipfile

    file = next(root.glob("layers-*/4.npz"))
    with zipfile.ZipFile(file) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    told = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        told, {"descr": "<u4", "fortran_order": False, "shape": (10**12, 10**6)}
    )
    members["histogram.npy"] = told.getvalue() + bytes(64)
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    with pytest.raises(texton.TextonError, match="cannot be read"):
        Evidence.open(root).layer("4")


@pytest.mark.parametrize("name", ["row", "column"])
def test_places_beyond_the_picture_are_told(name: str, root: Path, place: Path) -> None:
    network = texton.load_network(f"{place / 'small.py'}:make")
    file = next(root.glob("layers-*/4.npz"))
    arrays = dict(np.load(file))
    arrays[name][:] = 60_000
    np.savez(file, **arrays)
    how = {"texture": "none"}, {"preset": "fast", "steps": 1, "edge": 32}
    for method, more in zip((patches, parts), how, strict=True):
        with pytest.raises(texton.TextonError, match="4 has no row"):
            method(network, "4", 1, root, device="cpu", **more)


@pytest.mark.parametrize(
    "change",
    [
        {"root": -1},
        {"root": True},
        {"path": "../p.png"},
        {"path": "/etc/hostname"},
        {"path": "a\0b"},
        {"path": ""},
        {"path_bytes": "zz"},
        {"content": "zz"},
        {"content": ""},
        {"look": "00"},
        {"status": "no"},
        {"bytes": -1},
    ],
)
def test_a_list_of_pictures_that_is_damaged_is_told(
    change: dict[str, Any], root: Path, place: Path
) -> None:
    lines = [json.loads(x) | change for x in (root / "pictures.jsonl").read_text().splitlines()]
    (root / "pictures.jsonl").write_text("".join(json.dumps(x) + "\n" for x in lines))
    with pytest.raises(texton.TextonError, match="is lost"):
        Evidence.open(root).read(0)
    with pytest.raises(texton.TextonError, match="damaged in line 1"):
        scan(place / "pictures", root, f"{place / 'small.py'}:make")


def test_a_list_of_pictures_that_is_lost_is_not_begun_anew(root: Path, place: Path) -> None:
    (root / "pictures.jsonl").write_bytes(b"")
    with pytest.raises(texton.TextonError, match="lacks pictures"):
        scan(place / "pictures", root, f"{place / 'small.py'}:make")


def test_a_part_of_another_scan_is_not_taken_in(root: Path, place: Path) -> None:
    shutil.rmtree(next(root.glob("layers-*")))
    told = json.loads((root / "manifest.json").read_text())
    (root / "manifest.json").write_text(json.dumps({**told, "done": [], "state": ""}))
    (root / "parts" / "odd.npz").mkdir(parents=True)
    done = np.array([[0, 6]])
    np.savez(root / "parts" / "a.npz", done=done, skipped=np.zeros(0, np.int64))
    scan(place / "pictures", root, f"{place / 'small.py'}:make")
    ours, first = (Evidence.open(x).layer("4") for x in (root, place / "evidence"))
    assert np.array_equal(ours.histogram, first.histogram)


def test_pictures_that_have_changed_are_as_good_as_gone(run: Run, place: Path) -> None:
    folder = Path("p")
    write_pictures(folder, 3)
    network = f"{place / 'small.py'}:make"
    scan(folder.absolute(), Path("e"), network)
    evidence = Evidence.open("e")
    first, second, *_ = evidence.layer("4").places(1)
    same = evidence.path(first.picture)
    same.touch()  # another time, the same picture
    assert evidence.read(first.picture).shape[1] == 3
    shutil.copy(evidence.path(second.picture), same)
    with pytest.raises(texton.TextonError, match="has changed since it was scanned"):
        evidence.read(first.picture)
    words = ("4:1", "--from", "e", "--network", network, "--size", SIZE, "-o", "o.png")
    short = ("--steps", 1, "--edge", 32)
    for command, more in (("patches", ("--texture", "none")), ("parts", short)):
        assert run(command, *words, "--force", *more).code == 0
    shutil.rmtree(folder)
    for command in ("patches", "parts"):
        outcome = run(command, *words, "--force")
        assert outcome.code == 2 and "what was scanned is no longer there" in outcome.err


def test_parts_of_a_folder_pass_over_what_is_no_picture(run: Run, place: Path) -> None:
    folder = write_pictures(Path("p"), 3)  # one of them in a folder in a folder
    (folder / "a.png").write_bytes(b"no picture")
    network = f"{place / 'small.py'}:make"
    words = ("parts", "4:1", "--from", folder, "--network", network, "--size", SIZE)
    outcome = run(*words, "--steps", 1, "--edge", 32)
    assert outcome.code == 0, outcome.err
