"""Small versions of every experiment, as a user runs them."""

from __future__ import annotations

import csv
import json
import math
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import filelock
import numpy as np
import pytest
import torch
from PIL import Image

from tests.helpers import EXAMPLES, Run, assert_refused
from tests.patterns import GREEN, PURPLE, stripes
from texton.errors import TextonError
from texton.experiments.catalogue import EXPERIMENTS
from texton.experiments.claims import depth, specific_texture
from texton.experiments.claims.energy_or_gram import _wrong_filters
from texton.experiments.harness.folder import Folder, Made
from texton.experiments.harness.lab import Lab
from texton.experiments.harness.options import Options
from texton.experiments.harness.run import run_experiment
from texton.experiments.harness.series import styled
from texton.experiments.harness.work import SeriesWork
from texton.experiments.measures.statistics import Estimate, rank_trend
from texton.experiments.measures.structure import spectral_slope
from texton.experiments.report.findings import Findings, Verdict
from texton.experiments.report.report import write_report
from texton.images.folder import read_pictures
from texton.jobs.engines import Engine, LocalEngine
from texton.methods.parts.fingerprint import fingerprint
from texton.methods.result import Result, Unit

pytestmark = pytest.mark.slow

TINY: tuple[object, ...] = ("--size", 48, "--steps", 3)
COUNTS = {"filters": 3, "repeats": 2}
PHOTOS = (EXAMPLES / "chelsea.jpg", EXAMPLES / "coffee.jpg")
TABLES = {
    "figure1": {"psi": 4},
    "figure2": {"inputs": 4},
    "figure3": {"filters": 2 * 2 * 3},
    "figure4": {"styles": 2 * 2 * 2},
    "figure5": {"pictures": 2 * 2 * 2},
    "specific-texture": {"identification": 2 * 7},
    "depth": {"trends": 5 * 3, "means": 5 * 3},
    "reallocation": {"distances": 3 * 5, "trends": 3 * (3 + 2)},
    "style-identity": {"retrieval": 3 * 6 + 3, "by_layer": 2},
    "energy-or-gram": {"distances": 4 * 4, "pictures": 4 * 9, "explained": 2 * 2},
    "parts": {"changes": 2 * 4},
    "projections": {"likeness": 3 * 7},
    "inversion-or-maximum": {"recognised": 2 * 5},
    "decoders": {},
    "textures": {},
}
# run in files of their own
ELSEWHERE = ("projections", "inversion-or-maximum", "decoders", "textures")
LAYERS = {"figure1": "relu3_2,relu4_2", "figure3": "relu1_2,relu2_2", "depth": "relu1_2,relu2_2"}
LAYERS["specific-texture"] = LAYERS["parts"] = LAYERS["figure3"]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> tuple[object, ...]:
    """Two photographs, and two styles that any network tells apart."""
    folder = tmp_path_factory.mktemp("styles")
    stripes(1, False, GREEN).save(folder / "upright.png")
    stripes(2, True, PURPLE).save(folder / "lying.png")
    return ("--photos", *PHOTOS, "--styles", folder)


def tiny(name: str) -> tuple[object, ...]:
    uses = EXPERIMENTS[name].uses
    counts = [(f"--{key}", n) for key, n in COUNTS.items() if key in uses]
    return (*TINY[: 4 if "preset" in uses else 2], *(word for pair in counts for word in pair))


def experiment(run: Run, name: str, *more: object) -> dict[str, Any]:
    layers = LAYERS.get(name, "relu1_1,relu2_1")
    outcome = run("experiment", name, *tiny(name), "--layers", layers, "--json", *more)
    assert outcome.code == 0, outcome.err
    found: dict[str, Any] = json.loads(outcome.out)
    return found


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_every_experiment_is_listed(run: Run) -> None:
    listed = json.loads(run("experiment", "list", "--json").out)["experiments"]
    assert list(listed) == list(EXPERIMENTS) == list(TABLES)
    plain = run("experiment", "list").out.splitlines()
    assert [line.split()[0] for line in plain] == list(TABLES)


@pytest.mark.parametrize("name", [name for name in TABLES if name not in ELSEWHERE])
def test_a_small_version_runs_and_writes_its_report_and_data(
    run: Run, tmp_path: Path, inputs: tuple[object, ...], name: str
) -> None:
    made = experiment(run, name, *inputs)
    root = tmp_path / "experiments" / name
    assert Path(made["report"]) == Path("experiments") / name / "report.html"
    page, data = (root / "report.html").read_text(), json.loads((root / "data.json").read_text())
    assert data["experiment"] == name and data["verdicts"] == made["verdicts"]
    assert data["command"].startswith(f"texton experiment {name} --photos ")
    assert {key: len(rows) for key, rows in data["tables"].items()} == TABLES[name]
    for key, rows in data["tables"].items():
        written = rows_of(root / f"{key}.csv")
        assert [list(row) for row in written] == [list(row) for row in rows]
        for told, kept in zip(written, rows, strict=True):
            assert told == {k: "" if v is None else str(v) for k, v in kept.items()}
    assert numbers_are_finite(data)
    assert EXPERIMENTS[name].title in page and data["command"].split()[2] in page
    for verdict in made["verdicts"]:
        assert verdict["outcome"] in {"holds", "partly", "not supported", "shown"}
    assert 'src="data:image/' in page and "http://" not in page and "https://" not in page
    assert not list(root.rglob("*.tmp"))


def test_without_arguments_the_samples_are_taken(run: Run, tmp_path: Path) -> None:
    assert run("experiment", "figure2", "--size", 64).code == 0
    rows = rows_of(tmp_path / "experiments/figure2/inputs.csv")
    assert [row["kind"] for row in rows] == ["photograph"] * 2 + ["style"] * 4
    assert all(max(int(row["width"]), int(row["height"])) == 64 for row in rows)


def test_what_is_assumed_of_a_network_is_told_once(run: Run, tmp_path: Path) -> None:
    (tmp_path / "small.py").write_text(
        "from torch import nn\ndef make(): return nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU())\n"
    )
    outcome = run("experiment", "figure2", "--size", 64, "--network", "small.py:make")
    assert outcome.code == 0, outcome.err
    assert outcome.err.count("small.py:make: assumed mean 0, std 1") == 1


def numbers_are_finite(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(numbers_are_finite, value.values()))
    if isinstance(value, list):
        return all(map(numbers_are_finite, value))
    return not isinstance(value, float) or math.isfinite(value)


def test_a_second_run_makes_nothing_again_and_says_the_same(
    run: Run, tmp_path: Path, inputs: tuple[object, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = experiment(run, "figure3", *inputs)
    root = tmp_path / "experiments/figure3"
    before = {file: file.stat().st_mtime_ns for file in root.glob("units/**/*")}
    assert len([file for file in before if file.suffix == ".png"]) == 12
    data = (root / "data.json").read_bytes()

    def never(*_: object, **__: object) -> Any:
        raise AssertionError("solved again")

    monkeypatch.setattr(SeriesWork, "task", never)
    second = experiment(run, "figure3", *inputs)
    assert second["verdicts"] == first["verdicts"]
    assert (root / "data.json").read_bytes() == data
    assert {file: file.stat().st_mtime_ns for file in root.glob("units/**/*")} == before


def test_only_what_is_missing_is_made_and_it_is_the_same_picture(
    run: Run, tmp_path: Path, inputs: tuple[object, ...]
) -> None:
    experiment(run, "figure3", *inputs)
    units = tmp_path / "experiments/figure3/units"
    pictures = {file: file.read_bytes() for file in units.rglob("*.png")}
    ages = {file: file.stat().st_mtime_ns for file in pictures}
    lost, torn = sorted(pictures)[3], sorted(pictures)[7]
    lost.with_suffix(".json").unlink()  # as killed between picture and sidecar
    torn.write_bytes(pictures[torn][:100])
    experiment(run, "figure3", *inputs)
    assert {file for file in ages if file.stat().st_mtime_ns != ages[file]} == {lost, torn}
    for file in (lost, torn):
        assert Image.open(file).tobytes() == Image.open(_copy(tmp_path, pictures[file])).tobytes()


def _copy(folder: Path, content: bytes) -> Path:
    path = folder / "before.png"
    path.write_bytes(content)
    return path


def test_other_settings_in_the_same_folder_are_refused(
    run: Run, tmp_path: Path, inputs: tuple[object, ...]
) -> None:
    experiment(run, "figure3", *inputs)
    again = ("experiment", "figure3", *inputs, *tiny("figure3"), "--layers", "relu1_2,relu2_2")
    assert_refused(run(*again, "--seed", 1), "was made with seed 0, not 1: use another --out")
    assert_refused(run(*again[:1], "figure4", "-o", "experiments/figure3", *TINY), "figure4")
    other = tmp_path / "mine"
    other.mkdir()
    (other / "notes.txt").write_text("keep")
    assert_refused(run(*again, "--out", other), "holds other files (notes.txt)")
    assert [file.name for file in other.iterdir()] == ["notes.txt"]


def test_a_folder_that_another_run_writes_is_refused(
    run: Run, tmp_path: Path, inputs: tuple[object, ...]
) -> None:
    root = tmp_path / "experiments/figure2"
    root.mkdir(parents=True)
    with filelock.FileLock(root / "lock"):
        assert_refused(run("experiment", "figure2", *inputs), "another run is writing")
    assert run("experiment", "figure2", *inputs).code == 0


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("figure33",), "there is no experiment 'figure33' (did you mean 'figure3'"),
        (("figure3", "some-folder"), "figure3 takes no folder"),
        (("figure3", "--photos", "nowhere.jpg"), "nowhere.jpg"),
        (("figure3", "--preset", "quick"), "unknown preset 'quick'"),
        (("figure3", "--filters", "0"), "filters is 0: use 1 to 10000"),
        (("figure3", "--size", "4"), "size"),
        (("figure3", "--seed", "-1"), "seed is -1: use 0 to"),
        (("figure3", "--seed", 2**32), "use 0 to 4294967295"),
        (("figure3", "--repeats", "2"), "figure3 does not use --repeats"),
        (("figure1", "--steps", "2"), "figure1 does not use --steps"),
        (("figure2", "--preset", "normal"), "figure2 does not use --preset"),
        (("energy-or-gram", "--filters", "4"), "energy-or-gram does not use --filters"),
        (("figure2", "--photos"), "'--photos' requires an argument"),
        (("figure2", "--photos", "--size", "64"), "'--photos' requires an argument"),
        (("figure2", "--photos", EXAMPLES / "coffee.jpg", EXAMPLES / "coffee.jpg"), "leave one"),
        (("figure3", "--layers", "relu9_1"), "relu9_1"),
        (("specific-texture", "--photos", EXAMPLES / "coffee.jpg"), "--photos takes two or more"),
        (("specific-texture", "--filters", "1"), "--filters takes 2 or more"),
        (("specific-texture", "--network", "efficientnet_lite0"), "use another --network"),
        (("depth", "--layers", "relu1_2"), "--layers takes two or more"),
        (("reallocation", "--layers", "relu1_2"), "--layers takes two or more"),
        (("energy-or-gram", "--styles", EXAMPLES / "coffee.jpg"), "--styles takes two or more"),
        (("style-identity", "nowhere"), "there is no folder 'nowhere'"),
    ],
)
def test_mistakes_are_refused_in_one_line_and_leave_nothing(
    run: Run, tmp_path: Path, words: tuple[object, ...], says: str
) -> None:
    assert_refused(run("experiment", *words), says)
    assert not list(tmp_path.iterdir())


def test_the_shuffled_target_has_the_same_sums_for_other_filters(tmp_path: Path) -> None:
    lab = Lab("energy-or-gram", Options(size=48), Folder(tmp_path))
    style = lab.styles[1]
    own = fingerprint(style.image, lab.network, lab.layers(1))
    wrong = _wrong_filters(lab, style)
    for layer, values in own.moments.items():
        mixed = wrong.moments[layer]
        assert not torch.equal(mixed, values)
        for mine, theirs in zip(values.chunk(2, 1), mixed.chunk(2, 1), strict=True):
            torch.testing.assert_close(mine.sort().values, theirs.sort().values)


def test_other_layers_are_other_pictures_and_the_first_stay(
    run: Run, tmp_path: Path, inputs: tuple[object, ...]
) -> None:
    units = tmp_path / "experiments/figure5/units"
    experiment(run, "figure5", *inputs)
    before = {file: file.read_bytes() for file in units.rglob("*.png")}
    first = rows_of(tmp_path / "experiments/figure5/pictures.csv")
    experiment(run, "figure5", *inputs, "--layers", "relu2_1")
    assert len(list(units.rglob("*.png"))) == 2 * len(before) == 16
    assert rows_of(tmp_path / "experiments/figure5/pictures.csv") != first
    experiment(run, "figure5", *inputs)
    assert rows_of(tmp_path / "experiments/figure5/pictures.csv") == first
    assert {file: file.read_bytes() for file in before} == before


def test_layers_are_taken_by_depth_and_once(tmp_path: Path) -> None:
    layers = ("relu4_2", "relu1_2", "relu4_2", "relu2_2")
    lab = Lab("depth", Options(layers=layers), Folder(tmp_path))
    assert lab.layers(2) == ["relu1_2", "relu2_2", "relu4_2"]


def test_pictures_of_one_name_are_told_apart(tmp_path: Path) -> None:
    names = ("cat.jpg", "cat.png", "cat-2.jpg", "CAT.webp")
    files = []
    for i, name in enumerate(names):
        (folder := tmp_path / str(i)).mkdir()
        stripes(i, False, GREEN).save(folder / name)
        files.append(folder / name)
    told = [picture.name for picture in read_pictures(files, 48)]
    assert told == ["cat", "cat-3", "cat-2", "CAT-4"]


def test_a_photograph_and_a_style_may_share_a_name(
    run: Run, tmp_path: Path, inputs: tuple[object, ...]
) -> None:
    stripes(3, False, GREEN).save(tmp_path / "coffee.png")
    words = ("experiment", "figure2", "--size", 64, "--photos", EXAMPLES / "coffee.jpg")
    assert run(*words, "--styles", tmp_path / "coffee.png").code == 0
    stripes(4, True, PURPLE).save(tmp_path / "coffee.png")
    assert_refused(run(*words, "--styles", tmp_path / "coffee.png"), "another 'style/coffee'")


def test_a_chosen_preset_brings_its_own_steps() -> None:
    default = Options(preset="fast", steps=80)
    assert default.given({}).steps == 80
    assert default.given({"preset": "normal"}).steps is None
    assert default.given({"preset": "normal", "steps": 7}).steps == 7
    assert default.given({"steps": None, "preset": None}).steps == 80


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_a_finished_unit_has_the_networks_channels(tmp_path: Path, channels: int) -> None:
    image = torch.rand(channels, 20, 24).mul(255).round() / 255
    folder = Folder(tmp_path)
    folder.keep("kind/a", Result(image, Unit(), {"error": 0.5}, 1.0), {})
    found = folder.find("kind/a", channels)
    assert found is not None and torch.equal(found.image, image)
    assert found.figures["error"] == 0.5


def test_what_an_experiment_raises_is_not_told_as_a_disk_that_cannot_be_written(
    tmp_path: Path,
) -> None:
    folder = Folder(tmp_path / "deep" / "a")
    with pytest.raises(FileNotFoundError, match="no such model"), folder.held():
        folder.settle({}, {})
        raise FileNotFoundError("no such model")
    assert not list(tmp_path.iterdir())
    with pytest.raises(ValueError, match="the real one"), folder.held():
        (folder.root / "data.json").write_text("{}")  # a report, of an experiment without units
        raise ValueError("the real one")
    assert [file.name for file in folder.root.iterdir()] == ["data.json"]


@pytest.mark.parametrize("engine", [LocalEngine(2)])
def test_an_engines_workers_make_the_same_pictures(engine: Engine, tmp_path: Path) -> None:
    chosen = {"photos": PHOTOS[:1], "size": 48, "steps": 2, "layers": ("relu1_1",)}
    for name in ("figure4", "specific-texture"):
        photos = {"photos": PHOTOS} if name == "specific-texture" else {}
        counts = {"filters": 2} if name == "specific-texture" else {"repeats": 2}
        pictures = []
        for crew, out in ((None, tmp_path / name / "a"), (engine, tmp_path / name / "b")):
            told: list[str] = []
            run_experiment(
                EXPERIMENTS[name],
                out,
                {**chosen, **photos, **counts},
                on_unit=lambda key, done, of, told=told: told.append(key),  # type: ignore[misc]
                engine=crew,
            )
            files = sorted((out / "units").rglob("*.png"))
            assert len(told) == len(set(told)) == len(files)
            pictures.append({file.relative_to(out): Image.open(file).tobytes() for file in files})
        assert pictures[0] == pictures[1]


def test_a_picture_that_kills_its_workers_ends_the_experiment(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    work = SeriesWork(folder, {}, {"device": "cpu"}, {})
    with pytest.raises(TextonError, match="filter/a/0: 3 workers were killed at it"):
        work.give_up("filter/a/0", "3 workers were killed at it")


def test_how_long_a_style_takes_follows_its_preset(tmp_path: Path) -> None:
    def evaluations(**chosen: object) -> float:
        lab = Lab("x", Options.of({"photos": PHOTOS[:1], "size": 192, **chosen}), Folder(tmp_path))
        return styled(lab, lab.photos[0], lab.styles[0], "pmci").evaluations

    fast, fine = evaluations(preset="fast"), evaluations(preset="fine")
    assert 0 < 4 * fast < fine
    assert evaluations(preset="fine", steps=7) == 7


def test_data_is_json_even_where_a_number_has_no_value(tmp_path: Path) -> None:
    findings = Findings(data={"interval": {"low": -math.inf, "n": np.int64(1)}})
    findings.table("t", "T", ["a", "b"], [[math.nan, 1.5]])
    about = dict.fromkeys(("name", "title", "section", "question"), "x") | {"method": ()}
    write_report(tmp_path, about, {}, findings, "")
    data = json.loads((tmp_path / "data.json").read_text(), parse_constant=pytest.fail)
    assert data["interval"] == {"low": None, "n": 1}
    assert data["tables"]["t"] == [{"a": None, "b": 1.5}]
    assert (tmp_path / "t.csv").read_text() == "a,b\n,1.5\n"
    assert "nan" not in (tmp_path / "report.html").read_text()


def test_other_commands_do_not_load_what_only_experiments_need() -> None:
    code = (
        "import sys, texton.cli; print([m for m in ('scipy.stats', 'skimage') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# verdicts, from planted numbers


def depth_verdict(own: Estimate, random: Estimate | None) -> Verdict:
    findings = Findings()
    trends = {"filter": own, "blend": Estimate(0.1, -0.2, 0.4, 40)}
    depth._judge(findings, "hue count", trends | ({} if random is None else {"random": random}))
    return findings.verdicts[0]


def test_a_trend_holds_only_against_a_control_that_lacks_it() -> None:
    own, weaker = Estimate(0.8, 0.7, 0.9, 40), Estimate(0.3, 0.0, 0.5, 40)
    assert depth_verdict(own, weaker).outcome == "holds"
    assert depth_verdict(own, own).outcome == "partly"
    assert depth_verdict(own, None).outcome == "partly"
    assert depth_verdict(weaker, None).outcome == "not supported"


@pytest.mark.parametrize("each", [1, 2])
def test_a_trend_over_too_few_is_not_supported_however_steep(each: int) -> None:
    steep = rank_trend([[float(10 * layer + i) for i in range(each)] for layer in range(5)])
    verdict = depth_verdict(steep, None)
    assert verdict.outcome == "not supported" and "Too few" in verdict.evidence


def test_dead_and_flat_pictures_are_left_out_of_depth_and_counted() -> None:
    flat, live = torch.full((3, 32, 32), 0.5), torch.rand(3, 32, 32)
    told = {True: {"status": "dead"}, False: {"status": "ok"}}
    made = [
        [Made(live, told[False]), Made(live, told[True]), Made(flat, told[False])],
        [Made(live, told[True]), Made(live, told[True]), Made(live, told[False])],
    ]
    values, flat_count = depth._per_item(made, spectral_slope)
    assert values == [spectral_slope(live)] * 2 and flat_count == 1


def texture_verdicts(
    tmp_path: Path, own: list[list[float]], **controls: list[list[float]]
) -> list[str]:
    """Outcomes from hits of items, layer by layer."""
    scores = {
        name: [specific_texture._Scores(np.array(hits), 0.5) for hits in layers]
        for name, layers in {"filter": own, "another start": own, **controls}.items()
    }
    lab = Lab("specific-texture", Options(photos=PHOTOS, size=48), Folder(tmp_path))
    findings = Findings()
    specific_texture._judge(findings, lab, scores)
    return [verdict.outcome for verdict in findings.verdicts]


def test_a_filter_is_special_only_against_controls_that_are_not(tmp_path: Path) -> None:
    good, chance = [[1.0] * 16] * 3, [[1.0] + [0.0] * 15] * 3
    some = [[1.0] * 8 + [0.0] * 8] * 3
    assert texture_verdicts(tmp_path, good, blend=chance, dense=some, random=good) == [
        "holds",
        "holds",
        "partly",
        "not supported",
    ]
    assert texture_verdicts(tmp_path, good, blend=good, dense=good) == [
        "holds",
        "not supported",
        "not supported",
    ]
    assert texture_verdicts(tmp_path, chance)[0] == "not supported"


def test_the_chance_of_layers_of_unlike_width_is_that_of_their_items(tmp_path: Path) -> None:
    # 2 items at 1/2 and 30 at 1/30 are at chance together: 2 of 32
    own = [[1.0, 0.0], [1.0] * 6 + [0.0] * 24]
    assert texture_verdicts(tmp_path, own)[0] == "partly"
    assert texture_verdicts(tmp_path, [[1.0, 0.0], [1.0] + [0.0] * 29])[0] == "not supported"


def test_an_experiment_takes_an_engine_by_its_name(run: Run, tmp_path: Path) -> None:
    words = ("figure3", "--layers", "relu1_1", *TINY, "--filters", 2)
    made = run("experiment", *words, "--engine", "local", "--workers", 1)
    assert made.code == 0, made.err
    assert len(list(tmp_path.rglob("units/**/*.png"))) == 4
    assert_refused(run("experiment", *words, "--workers", 2), "add --engine local or ray")
    assert_refused(run("experiment", *words, "--engine", "raay"), "did you mean 'ray'")


@pytest.mark.slow
def test_the_recorded_command_says_what_was_said(run: Run, tmp_path: Path) -> None:
    made = experiment(run, "figure3", "--photos", *PHOTOS, "--seed", 0)
    command = json.loads(Path(made["data"]).read_text())["command"]
    words = shlex.split(command)
    assert words.count("--photos") == len(PHOTOS) and "--size" in words and "--seed" in words
    assert run(*words[1:]).code == 0
