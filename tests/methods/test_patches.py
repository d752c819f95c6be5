"""Patches: what they show is what the filter saw, beside what it hangs on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import texton
from tests.evidence.scans import SIZE, SOURCE, Inline, scan, write_pictures
from tests.helpers import Run, assert_refused
from texton.evidence.format import Evidence
from texton.methods.parts.patching import Patches, open_evidence, window
from texton.methods.parts.projecting import Projector
from texton.methods.patches import patches

WORDS = ("--texture", "none", "--size", SIZE)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("patches")
    (base / "small.py").write_text(SOURCE)
    write_pictures(base / "pictures", 8)
    scan(base / "pictures", base / "evidence", f"{base / 'small.py'}:make", Inline())
    return base


@pytest.fixture(scope="module")
def network(place: Path) -> texton.Network:
    return texton.load_network(f"{place / 'small.py'}:make")


def test_a_window_holds_the_unit_and_its_projection(place: Path, network: texton.Network) -> None:
    evidence = Evidence.open(place / "evidence")
    for layer in ("1", "4"):
        geometry = evidence.layers[layer]
        cutting = Patches(network, evidence, layer, "guided", "cpu")
        projector = Projector(network, layer, "guided", "cpu")
        for spot in evidence.layer(layer).places(1):
            image = evidence.read(spot.picture)
            top, left, bottom, right = window(geometry, spot, *image.shape[2:])
            assert (bottom - top) * (right - left) < image.shape[2] * image.shape[3] / 4
            at = torch.tensor([[spot.row, spot.column]])
            whole = projector.project(image, 1, at)
            assert float(whole.values[0]) == pytest.approx(spot.value, rel=1e-5)
            windowed = cutting._slopes(image, 1, spot)
            assert torch.allclose(windowed, whole.slopes, atol=1e-6)
            assert whole.slopes.any()


def test_what_is_gathered_now_is_what_a_scan_keeps(place: Path, network: texton.Network) -> None:
    kept = Evidence.open(place / "evidence").layer("4")
    now = open_evidence(place / "pictures", network, ["4"], SIZE, "cpu").layer("4")
    assert now.layer == kept.layer and now.pictures == kept.pictures == 8
    assert np.array_equal(now.top_value[:, :4], kept.top_value)
    assert np.array_equal(now.top_row[:, :4], kept.top_row)
    assert np.array_equal(now.mean, kept.mean) and np.array_equal(now.histogram, kept.histogram)


def test_a_strip_tells_the_figures(place: Path, network: texton.Network) -> None:
    result = patches(network, "4", 2, place / "evidence", texture="none", device="cpu")
    found = Evidence.open(place / "evidence").layer("4")
    assert result.strongest == found.top_value[2, 0] and result.pictures == 8
    assert result.active == found.active_pictures[2] and result.status == "ok"
    assert result.image.shape[2] > 3 * result.image.shape[1] and result.image.std() > 0.1
    dead = patches(network, "4", 4, place / "evidence", device="cpu")
    assert dead.status == "dead" and dead.active == 0 and dead.selectivity == 0


@pytest.mark.parametrize("source", ["evidence", "pictures"])
def test_the_command_draws_a_row_a_filter(run: Run, place: Path, source: str) -> None:
    words = ("patches", "4:0-2", "--from", place / source, *WORDS, "-o", "x.png", "--json")
    outcome = run(*words, "--network", f"{place / 'small.py'}:make")
    assert outcome.code == 0, outcome.err
    made = json.loads(outcome.out)
    assert [unit["status"] for unit in made["units"]] == ["ok"] * 3
    with Image.open("x.png") as sheet:
        assert sheet.height > 3 * 180 and sheet.width > 900  # one below the other


def test_a_folder_may_stand_before_the_filters(run: Run, place: Path) -> None:
    told = (*WORDS, "--network", f"{place / 'small.py'}:make", "-o")
    first = run("patches", place / "evidence", "4:1", *told, "x.png")
    assert first.code == 0, first.err
    assert run("patches", "4:1", "--from", place / "evidence", *told, "y.png").code == 0
    with Image.open("x.png") as one, Image.open("y.png") as other:
        assert one.tobytes() == other.tobytes()


def test_mistakes_are_told_in_a_line(run: Run, place: Path) -> None:
    words = ("patches", "4:0", *WORDS, "--network", f"{place / 'small.py'}:make")
    assert_refused(run(*words), "name --from")
    assert_refused(run(*words, "--from", "nowhere"), "is no folder")
    Path("none").mkdir()
    assert_refused(run(*words, "--from", "none"), "neither evidence nor a picture")
    bare = (*words[:-1], f"{place / 'small.py'}:make@nothing")
    assert run(*bare, "--from", place / "evidence").code == 2
    others = run(*words[:-1], f"{place / 'small.py'}:other", "--from", place / "evidence")
    assert others.code == 2 and "other weights" in others.err
    wrong = (*words, "--from", place / "evidence")
    assert_refused(run("patches", "3:0", *wrong[2:]), "nothing of a layer")


def test_sheets_of_grey_networks_have_colours(run: Run, tmp_path: Path) -> None:
    """What adds is orange and what takes away is blue, whatever images the network takes."""
    source = "from torch import nn\ndef make():\n    return nn.Sequential(nn.Conv2d(1, 3, 3), "
    source += "nn.ReLU(), nn.Conv2d(3, 3, 3), nn.ReLU()), "
    Path("grey.py").write_text(source + "{'channels': 1, 'mean': 0.5, 'std': 0.2}\n")
    write_pictures(Path("p"), 3)
    words = ("3:0", "--from", "p", "--size", SIZE, "--network", "grey.py:make", "-o", "x.png")
    more = {"patches": ("--texture", "none"), "parts": ("--steps", 1, "--edge", 32)}
    for command, how in more.items():
        outcome = run(command, *words, *how, "--force")
        assert outcome.code == 0, outcome.err
        with Image.open("x.png") as strip:
            pixels = np.asarray(strip.convert("RGB"), float)
            assert strip.mode == "RGB" and pixels.std() > 20
            assert (np.ptp(pixels, 2).max() > 60) == (command == "parts")
