"""style-identity on folders whose answer is known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.helpers import EXAMPLES, Run, assert_refused
from tests.patterns import GREEN, PURPLE, stripes
from texton.errors import TextonError
from texton.experiments.catalogue import find_experiment
from texton.experiments.harness.run import run_experiment

pytestmark = pytest.mark.slow


def folder_of(root: Path, works: dict[str, list[Image.Image]]) -> Path:
    for style, pictures in works.items():
        (root / style).mkdir(parents=True)
        for place, picture in enumerate(pictures):
            picture.save(root / style / f"work-{place}.png")
    return root


def identity(folder: Path, out: Path, layers: tuple[str, ...] = ("relu1_1", "relu2_1")) -> Any:
    chosen = {"folder": folder, "size": 48, "repeats": 2, "layers": layers}
    made = run_experiment(find_experiment("style-identity"), out, chosen)
    return json.loads(Path(made["data"]).read_text())


def score(data: Any, pictures: str, statistic: str) -> dict[str, float]:
    (row,) = (
        row
        for row in data["tables"]["retrieval"]
        if (row["pictures"], row["statistic"]) == (pictures, statistic)
    )
    return dict(row)


def test_styles_of_structure_are_told_apart_by_energy_and_not_by_colour(tmp_path: Path) -> None:
    works = {
        style: [stripes(10 * turned + i, turned, PURPLE) for i in range(4)]
        for turned, style in enumerate(("upright", "lying"))
    }
    data = identity(folder_of(tmp_path / "styles", works), tmp_path / "out")
    assert (data["works"], data["styles"], data["works_that_carry_the_number"]) == (8, 2, 8)
    for pictures in ("in colour", "in grey", "colours matched"):
        for statistic in ("means", "moments", "gram"):
            found = score(data, pictures, statistic)
            assert found["mAP"] > 0.9 and found["nearest"] > 0.9, (pictures, statistic)
            assert found["p"] < 0.05 and 0.3 < found["chance"] < 0.8
    histogram = score(data, "in grey", "colour histogram")
    assert histogram["mAP"] < 0.8, "both styles have the same colours"
    assert score(data, "in colour", "means, channels shuffled")["mAP"] < 0.85


def test_styles_of_colour_are_lost_when_colours_are_matched(tmp_path: Path) -> None:
    works = {
        style: [stripes(20 * place + i, bool(i % 2), colour) for i in range(4)]
        for place, (style, colour) in enumerate((("green", GREEN), ("purple", PURPLE)))
    }
    data = identity(folder_of(tmp_path / "styles", works), tmp_path / "out", ("relu1_1",))
    assert score(data, "in colour", "colour histogram")["nearest"] == 1
    # in each style two works lie and two stand: without colour the style is not to be seen
    assert score(data, "in grey", "means")["mAP"] < 0.7
    assert score(data, "colours matched", "means")["mAP"] < 0.8
    verdict = data["verdicts"][0]
    assert verdict["outcome"] == "not supported" and "8 independent works" in verdict["evidence"]


def test_crops_of_one_work_are_no_hits_for_it(tmp_path: Path) -> None:
    # one green and one purple work in each style: its twin is always in the other style
    works = {
        style: [stripes(1, False, GREEN), stripes(2, True, PURPLE).rotate(angle)]
        for style, angle in (("a", 0), ("b", 180))
    }
    works["b"][0] = works["b"][0].transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    data = identity(folder_of(tmp_path / "styles", works), tmp_path / "out")
    for statistic in ("means", "gram", "colour histogram"):
        assert score(data, "in colour", statistic)["nearest"] == 0, statistic


def test_copies_are_one_work_and_single_works_only_stand_in_the_way(tmp_path: Path) -> None:
    one, two, three = (stripes(i, False, GREEN) for i in range(3))
    folder = folder_of(tmp_path / "styles", {"a": [one, one, two], "b": [three]})
    data = identity(folder, tmp_path / "out", ("relu1_1",))
    assert (data["works"], data["works_that_carry_the_number"]) == (3, 2)
    assert any("2 works of 1 styles; 1 more" in limit for limit in data["limits"])
    assert data["settings"]["folder"] == "styles" and "photos" not in data["settings"]


def test_copies_saved_anew_or_resized_are_found_and_named(run: Run, tmp_path: Path) -> None:
    cat = Image.open(EXAMPLES / "chelsea.jpg").convert("RGB")
    other, third = stripes(1, False, GREEN).resize(cat.size), stripes(2, True, PURPLE)
    folder = folder_of(tmp_path / "styles", {"a": [cat, other], "b": [third]})
    cat.save(folder / "a" / "again.jpg", quality=50)
    cat.resize((cat.width // 3, cat.height // 3)).save(folder / "a" / "small.png")
    data = identity(folder, tmp_path / "out", ("relu1_1",))
    assert (data["works"], data["works_that_carry_the_number"]) == (3, 2)
    (copies,) = (limit for limit in data["limits"] if "copies of one work" in limit)
    assert "a/small.png (a/again.jpg)" in copies and "a/work-0.png (a/again.jpg)" in copies
    (folder / "a" / "small.png").rename(folder / "b" / "small.png")
    refused = run("experiment", "style-identity", "--size", 48, folder)
    assert_refused(refused, "show one picture in two styles")
    assert "again.jpg" in refused.err and "small.png" in refused.err


def test_works_that_have_to_be_enlarged_are_named(tmp_path: Path) -> None:
    works = {
        style: [stripes(i + turned, bool(turned), PURPLE).resize((60, 60)) for i in (0, 5)]
        for turned, style in enumerate(("upright", "lying"))
    }
    data = identity(folder_of(tmp_path / "styles", works), tmp_path / "out", ("relu1_1",))
    assert any("Enlarged" in limit and "lying/work-1.png" in limit for limit in data["limits"])


def test_without_the_optional_network_only_its_row_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(_: object) -> None:
        raise TextonError("the package efficientnet is missing")

    monkeypatch.setattr("texton.experiments.claims.style_identity.held_out", missing)
    works = {
        style: [stripes(i + 9 * turned, bool(turned), PURPLE) for i in range(2)]
        for turned, style in enumerate(("upright", "lying"))
    }
    data = identity(folder_of(tmp_path / "styles", works), tmp_path / "out", ("relu1_1",))
    assert len(data["tables"]["retrieval"]) == 3 * 6 + 2
    assert any("efficientnet is missing" in limit for limit in data["limits"])


def test_folders_that_can_prove_nothing_are_refused(run: Run, tmp_path: Path) -> None:
    one, two = stripes(1, False, GREEN), stripes(2, True, PURPLE)
    command = ("experiment", "style-identity", "--size", 48)
    single = folder_of(tmp_path / "single", {"a": [one], "b": [two]})
    assert_refused(run(*command, single), "crops of one picture prove nothing")
    copies = folder_of(tmp_path / "copies", {"a": [one, one], "b": [two]})
    assert_refused(run(*command, copies), "crops of one picture prove nothing")
    alone = folder_of(tmp_path / "alone", {"a": [one, two]})
    assert_refused(run(*command, alone), "has 1 subfolders with pictures")
    both = folder_of(tmp_path / "both", {"a": [one, two], "b": [one]})
    assert_refused(run(*command, both), "a work has one style")
    assert not (tmp_path / "experiments").exists()
