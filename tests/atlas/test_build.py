"""``texton atlas build`` and ``status``: what is made, extended, refused."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import texton
from tests.atlases import (
    CAT,
    COFFEE,
    GATED_BUILD,
    GATED_UNITS,
    QUICK,
    build,
    check_complete,
    finished,
    shut_gate,
    start,
    until,
)
from tests.helpers import Run, assert_refused
from texton.atlas.build import JOB, jobs_of
from texton.atlas.estimate import _between, _sample
from texton.atlas.plan import Asked, make_plan, photo_name
from texton.atlas.settings import check_same, complete, method_options, reading_options
from texton.jobs.engines import Engine, LocalEngine, RayEngine
from texton.jobs.manifest import Manifest
from texton.jobs.store import Store, Unit
from texton.jobs.work import Made, UnitWork
from texton.methods.catalogue import find_method
from texton.network.codes import energy_shares
from texton.network.device import Compute

pytestmark = pytest.mark.slow

SMALL = ("--layers", "relu1_1,relu2_1", "--channels", "0,3", *QUICK)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An atlas of two layers, two filters each, one photograph."""
    folder = tmp_path_factory.mktemp("atlas")
    done = build(CAT, "--out", "a", *SMALL, "--workers", 1, "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["atlas"] == "a" and told["photos"] == ["chelsea"] and told["network"] == "vgg19"
    assert (told["units"], told["done"], told["failed"], told["left"]) == (4, 4, 0, 0)
    return folder / "a"


def test_the_layout_is_a_picture_and_a_sidecar_a_unit(made: Path, net: texton.Network) -> None:
    check_complete(made, 4)
    files = {str(path.relative_to(made)) for path in made.rglob("*") if path.is_file()}
    units = {f"units/relu{n}_1/{c}/chelsea" for n in (1, 2) for c in (0, 3)}
    pictures = {f"{unit}.{kind}" for unit in units for kind in ("png", "json")}
    assert files == pictures | {"lock", "manifest.json", "photos/chelsea.png"}
    manifest = json.loads((made / "manifest.json").read_text())
    assert manifest["format"] == "texton-atlas/1"
    assert manifest["weights_hash"] == net.weights_hash and manifest["texton"] == texton.__version__
    relu2_1 = {"name": "relu2_1", "filters": 128, "stride": 2, "receptive_field": 10}
    assert manifest["layers"][1] == {**relu2_1, "channels": [0, 3], "field_status": "exact"}
    assert manifest["photos"][0]["source"] == "chelsea.jpg"
    assert str(made.parent) not in json.dumps(manifest)  # it may be published


def test_a_sidecar_has_the_figures_of_its_picture(made: Path, net: texton.Network) -> None:
    store, unit = Store.open(made), Unit("relu2_1", 3, "chelsea")
    record = store.record(unit)
    assert record is not None
    shares = {}
    for name, path in (("photo", store.photo("chelsea")), ("made", store.picture(unit))):
        code = net.encode(texton.read_image(path), "relu2_1")["relu2_1"]
        shares[name] = float(energy_shares(code)[0, 3])
    assert record["energy_share"] == pytest.approx(shares["photo"], rel=1e-5)
    assert record["leakage"] == pytest.approx(1 - shares["made"], rel=1e-5)
    assert record["weights_hash"] == net.weights_hash and record["seed"] == 0
    settings = texton.read_settings(store.picture(unit))
    assert settings is not None and settings["command"] == record["command"]
    for key in ("error", "achieved", "status", "steps", "starts", "seconds"):
        assert settings[key] == record[key]


def test_its_command_makes_a_unit_again_bit_for_bit(made: Path, run: Run, tmp_path: Path) -> None:
    """On as many threads as this process has; the worker had others."""
    shutil.copy(CAT, tmp_path / "chelsea.jpg")
    store = Store.open(made)
    for unit in store.units():
        record = store.record(unit)
        assert record is not None
        again = run(*shlex.split(record["command"])[1:])
        assert again.code == 0
        pictures = [Image.open(p).tobytes() for p in (store.picture(unit), again.out.strip())]
        assert pictures[0] == pictures[1], unit


def test_again_makes_nothing_and_more_extends(made: Path, tmp_path: Path, run: Run) -> None:
    root = shutil.copytree(made, tmp_path / "a", copy_function=shutil.copy2)
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*.*")}
    assert run("atlas", "build", "--out", "a").code == 0
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*.*")} == before
    more = ("--layers", "relu1_2", "--channels", "top2", "--workers", "2")
    assert run("atlas", "build", CAT, COFFEE, "--out", "a", *more).code == 0
    manifest = Store.open(root).manifest
    assert [photo.name for photo in manifest.photos] == ["chelsea", "coffee"]
    assert [layer.name for layer in manifest.layers] == ["relu1_1", "relu1_2", "relu2_1"]
    assert [len(layer.channels) for layer in manifest.layers] == [2, 2, 2]
    check_complete(root, 12)
    for path, date in before.items():
        assert path.name == "manifest.json" or path.stat().st_mtime_ns == date


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--size", "48"], "has size 32, you ask for 48: use another --out or --size 32"),
        (["--preset", "fine"], "has preset fast, you ask for fine"),
        (["--steps", "5"], "has steps 4, you ask for 5"),
        (["--seed", "1"], "has seed 0, you ask for 1"),
        (["--enlarge"], "has enlarge off, you ask for on: use another --out or leave --enlarge"),
        (["--pooling", "max"], "has pooling avg, you ask for max"),
        (["--weights", "other.safetensors"], "other weights of vgg19"),
        (["--network", "torchvision:alexnet@random"], "is of vgg19, you ask for torchvision"),
        (["changed/chelsea.jpg"], "another photograph of this atlas is called"),
        (["--layers", "relu1_9"], "did you mean 'relu1_"),
        (["--layers", "rely*"], "no layer of vgg19 matches 'rely*'"),
        (["--channels", "x"], "is not understood"),
        (["--channels", "top0"], "ask for 1 to 64"),
        (["--channels", "9-4"], "write 4-9"),
        (["--channels", "900"], "relu2_1 has none of the channels 900: it has 0 to 127"),
        (["--engine", "rey"], "did you mean 'ray'"),
        (["--address", "auto"], "add --engine ray"),
        (["--workers", "0"], "use 1 to 10000"),
        (["--size", "8"], "use 16 to"),
        (["--steps", "0"], "use 1 to"),
        (["--device", "tpu"], "unknown device"),
        (["nothing.jpg"], "there is no file"),
    ],
)
def test_what_would_mix_or_cannot_be_is_refused(
    words: list[str], says: str, made: Path, run: Run, tmp_path: Path
) -> None:
    from safetensors.torch import save_file

    from texton.network.weights import paper_vgg19

    if "other.safetensors" in words:
        state = paper_vgg19()
        state["conv1_1.bias"] = state["conv1_1.bias"] + 1
        save_file(state, tmp_path / "other.safetensors")
    (tmp_path / "changed").mkdir()
    shutil.copy(COFFEE, tmp_path / "changed" / "chelsea.jpg")
    before = {path: path.stat().st_mtime_ns for path in made.rglob("*")}
    assert_refused(run("atlas", "build", *words, "--out", made), says)
    assert {path: path.stat().st_mtime_ns for path in made.rglob("*")} == before


def test_a_first_build_that_is_refused_leaves_nothing(run: Run, tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    shutil.copy(COFFEE, tmp_path / "x" / "chelsea.jpg")
    assert_refused(run("atlas", "build", "--out", "a"), "no photograph is given")
    two = run("atlas", "build", CAT, "x/chelsea.jpg", "--out", "a", *SMALL)
    assert_refused(two, "rename one of the files")
    small = run("atlas", "build", CAT, "--out", "a", "--layers", "pool5", "--size", "30")
    assert_refused(small, "too small for pool5")
    assert_refused(run("atlas", "build", CAT, "--out", "x"), "holds other files (chelsea.jpg)")
    assert_refused(run("atlas", "build", CAT, "--out", "x/chelsea.jpg"), "is not a folder")
    assert_refused(run("atlas", "status", "a"), "no atlas in 'a'")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x"]
    blocked = run("atlas", "build", CAT, "--out", "x/chelsea.jpg/a", *SMALL)
    assert_refused(blocked, "cannot write")


def test_two_builds_keep_apart(made: Path, run: Run) -> None:
    store = Store.open(made)
    with store.lock():
        second = run("atlas", "build", "--out", made)
        assert_refused(second, "another build is at work")


def test_a_dry_run_measures_and_writes_nothing(run: Run, made: Path, tmp_path: Path) -> None:
    words = ("atlas", "build", COFFEE, "--dry-run", "--workers", 1)
    before = {path: path.stat().st_mtime_ns for path in made.rglob("*")}
    told = json.loads(run(*words, "--out", made, "--json").out)
    assert (told["units"], told["left"], told["workers"]) == (8, 4, 1)
    assert 0 < told["seconds"] < 60 and 4 * 8192 <= told["bytes"] < 4 * 20_000
    assert 2 <= told["measured"] <= 6
    assert {path: path.stat().st_mtime_ns for path in made.rglob("*")} == before
    fresh = run(*words, "--out", "new", *SMALL)
    assert fresh.code == 0 and fresh.out.startswith("4 units, about ")
    assert not list(tmp_path.iterdir())


def test_status_in_words_and_in_json(made: Path, run: Run) -> None:
    told = json.loads(run("atlas", "status", made, "--json").out)
    assert {"units", "done", "failed", "left", "rate", "seconds_left"} <= told.keys()
    assert (told["units"], told["done"], told["failed"], told["left"]) == (4, 4, 0, 0)
    assert told["rate"] > 0 and told["seconds_left"] == 0
    assert run("atlas", "status", made).out.startswith("4 of 4 units done")


def test_a_running_build_says_so(tmp_path: Path, run: Run) -> None:
    shut_gate(tmp_path, after=5)
    with start(*GATED_BUILD, cwd=tmp_path) as process:
        until(lambda: finished(tmp_path / "a") >= 5, process)
        status = json.loads(run("atlas", "status", tmp_path / "a", "--json").out)
        process.kill()
    assert status["running"] and 0 < status["done"] < GATED_UNITS and status["seconds_left"] > 0
    assert status["done"] + status["left"] == status["units"] == GATED_UNITS


def test_a_photograph_with_an_odd_name_is_not_swept(tmp_path: Path, run: Run) -> None:
    shutil.copy(CAT, tmp_path / "cat.tmp.jpg")
    words = ("--layers", "relu1_1", "--channels", "0", *QUICK, "--workers", 1)
    assert run("atlas", "build", "cat.tmp.jpg", "--out", "a", *words).code == 0
    assert run("atlas", "build", "--out", "a").code == 0
    check_complete(tmp_path / "a", 1)
    assert Store.open(tmp_path / "a").photo("cat.tmp").exists()
    refused = run("atlas", "build", "cat.tmp.jpg", "--out", ".", *words)
    assert_refused(refused, "holds other files")
    assert (tmp_path / "cat.tmp.jpg").exists()


class Lost:
    """An engine whose workers write to disks of their own."""

    workers = 1

    def close(self) -> None: ...

    def run(self, jobs: Sequence[Sequence[Unit]], work: UnitWork) -> Iterator[Made]:
        return (Made(unit, "ok", 0.1) for job in jobs for unit in job)


def test_a_build_that_ends_without_its_units_says_so(
    monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    monkeypatch.setattr("texton.cli.atlas.make_engine", lambda *_: Lost())
    done = run("atlas", "build", CAT, "--out", "a", *SMALL)
    assert done.code == 1
    assert "4 units of finished jobs are not in 'a': make sure that" in done.err


BROKEN = """
from pathlib import Path
import torch
from torch import nn

class Broken(nn.Module):
    def forward(self, x):
        if x.requires_grad and Path("broken").exists():
            raise ValueError("too hot")
        return x

def network():
    torch.manual_seed(0)
    first, second = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
    return nn.Sequential(first, nn.ReLU(), Broken(), second, nn.ReLU())
"""


def test_a_unit_that_fails_is_recorded_and_the_next_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("net.py").write_text(BROKEN)
    Path("broken").touch()
    asked = Asked(
        [CAT], network={"network": "net.py:network"}, reading={"size": 32}, options={"steps": 2}
    )
    plan = make_plan(asked, Path("a"))
    work = UnitWork(Path("a"), plan.manifest, plan.photos)
    store = Store(Path("a"), plan.manifest)
    store.save(plan.manifest)
    failing = [Unit("4", channel, "chelsea") for channel in (0, 1)]
    made = list(work(failing))
    assert [unit.status for unit in made] == ["failed", "failed"]
    assert made[1].reason is not None and "too hot" in made[1].reason
    assert not store.picture(failing[0]).exists()
    assert next(work([Unit("1", 0, "chelsea")])).status in ("ok", "dead")
    assert "failed: 4:1 on chelsea: " in run("atlas", "status", "a").out
    Path("broken").unlink()
    assert all(unit.status in ("ok", "dead") for unit in work(failing))
    assert store.status()["failed"] == 0


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (("torch.manual_seed(0)", "torch.manual_seed(1)"), "other weights"),
        (('"mean": 0.5', '"mean": 0.25'), r"mean \[0.5, 0.5, 0.5\] of .* has \[0.25"),
        (('"input_range": 1.0', '"input_range": 255.0'), "input_range 1.0 of .* now has 255.0"),
        (
            ("Conv2d(4, 4, 3,", "Conv2d(4, 4, 3, stride=2,"),
            "has 4 with 4 filters and stride 1, now .* with 4 and 2: put the network back, or use",
        ),
        ((", second, nn.ReLU())", ", second)"), "has the layer 4, which .* no longer has"),
    ],
)
def test_a_network_that_was_edited_is_refused(
    edit: tuple[str, str], says: str, tmp_path: Path, run: Run
) -> None:
    code = BROKEN + BANDS.replace('"channels": 5', '"channels": 3')
    (tmp_path / "net.py").write_text(code)
    words = ("--network", "net.py:five", "--channels", "0", *QUICK, "--workers", 1)
    assert run("atlas", "build", CAT, "--out", "a", *words).code == 0
    assert edit[0] in code
    (tmp_path / "net.py").write_text(code.replace(*edit))
    refused = run("atlas", "build", "--out", "a", "--layers", "1")
    assert refused.code == 2
    assert re.search(says, refused.err), refused.err


def test_channels_go_to_the_layers_that_have_them(tmp_path: Path) -> None:
    def extended(**asked: Any) -> dict[str, tuple[int, ...]]:
        plan = make_plan(Asked(reading={"size": 32}, **asked), tmp_path / "a")
        store = Store(tmp_path / "a", plan.manifest)
        for name, image in plan.photos.items():
            store.write_photo(name, image)
        store.save(plan.manifest)
        return {layer.name: layer.channels for layer in plan.manifest.layers}

    extended(photos=[CAT], layers="relu1_1,relu2_1", channels="2-3")
    assert extended(channels="64-66") == {"relu1_1": (2, 3), "relu2_1": (2, 3, 64, 65, 66)}
    assert extended(layers="relu2_2")["relu2_2"] == (2, 3, 64, 65, 66)
    assert extended(layers="relu1_2")["relu1_2"] == (2, 3)
    assert extended(layers="relu3_1", channels="9")["relu3_1"] == (9,)  # of this layer alone
    assert extended(layers="relu3_2")["relu3_2"] == (2, 3, 64, 65, 66)
    fresh = make_plan(Asked([CAT], "relu1_1,relu2_1", "64-127"), tmp_path / "b")
    assert [layer.name for layer in fresh.manifest.layers] == ["relu2_1"]
    assert fresh.notes == ("no channel 64-127 in relu1_1: left out",)


def test_a_gpu_is_kept_by_its_number_and_any_will_do(
    tmp_path: Path, net: texton.Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = make_plan(Asked([CAT], "relu1_1", reading={"size": 32}), tmp_path / "a")
    options = method_options(find_method("filter"), plan.manifest, {})
    reading = reading_options(plan.manifest, {})
    told = []
    for device in ("cuda:1", "cuda", "cpu"):
        compute = Compute(torch.device(device))
        monkeypatch.setattr("texton.methods.parts.setup.compute_for", lambda *_, c=compute: c)
        told.append(complete(options, reading, device, net))
    assert [settings["device"] for settings in told] == ["cuda:1", "cuda", "cpu"]
    begun = replace(plan.manifest, settings=told[0])
    check_same(tmp_path, begun, net, options, told[1])
    with pytest.raises(texton.TextonError, match="with device cuda:1, this machine would use cpu"):
        check_same(tmp_path, begun, net, options, told[2])


def test_a_worker_that_would_make_other_pictures_stops(tmp_path: Path) -> None:
    asked = Asked([CAT], layers="relu1_1", reading={"size": 32}, options={"steps": 2})
    plan = make_plan(asked, tmp_path / "a")
    other = replace(plan.manifest, settings={**plan.manifest.settings, "dtype": "float64"})
    refuses(tmp_path, other, r"with dtype .*, the atlas with float64")
    refuses(tmp_path, replace(plan.manifest, weights_hash="0"), "other weights")
    for key, says in (("solver", "another preset 'fast'"), ("preprocessing", "finds vgg19 with")):
        settings = {**plan.manifest.settings, key: {}}
        refuses(tmp_path, replace(plan.manifest, settings=settings), says)


def refuses(root: Path, manifest: Manifest, says: str) -> None:
    Store(root, manifest).save(manifest)
    with pytest.raises(texton.TextonError, match=says):
        UnitWork(root, manifest, {}).prepare()


@pytest.mark.parametrize("engine", ["local", "ray"])
def test_a_worker_that_does_not_see_the_atlas_stops(engine: str, tmp_path: Path) -> None:
    asked = Asked([CAT], layers="relu1_1", reading={"size": 32}, options={"steps": 2})
    plan = make_plan(asked, tmp_path / "a")
    work = UnitWork(tmp_path / "a", plan.manifest, plan.photos)
    jobs = [[Unit("relu1_1", 0, "chelsea")]]
    says = "does not find this atlas in '.*/a': every machine must see the same folder"
    crew: Engine = LocalEngine(1) if engine == "local" else RayEngine(workers=1)
    with closing(crew), pytest.raises(texton.TextonError, match=says):
        list(crew.run(jobs, work))
    assert not (tmp_path / "a").exists()
    other = replace(plan.manifest, settings={**plan.manifest.settings, "seed": 1})
    Store(tmp_path / "a", other).save(other)
    with pytest.raises(texton.TextonError, match=says):
        work.prepare()


def test_photographs_of_many_bands_are_kept_and_resumed(tmp_path: Path, run: Run) -> None:
    (tmp_path / "net.py").write_text(BROKEN.replace("Conv2d(3, 4", "Conv2d(5, 4") + BANDS)
    rng = np.random.default_rng(0)
    np.save(tmp_path / "field.npy", rng.random((24, 24, 5), dtype=np.float32))
    words = ("--out", "a", "--network", "net.py:five", "--bands", "4,2,0", "--layers", "1")
    first = ("field.npy", *words, "--channels", "0", *QUICK)
    assert run("atlas", "build", *first, "--workers", 1).code == 0
    more = run("atlas", "build", "--out", "a", "--channels", "1", "--workers", 1)
    assert more.code == 0, more.err
    store = Store.open(tmp_path / "a")
    assert store.status()["done"] == 2
    for unit in store.units():
        planes = store.picture(unit).with_suffix(".npy")
        assert np.load(planes).shape == (24, 24, 5)
        record = store.record(unit)
        assert record is not None and "--bands 4,2,0" in record["command"]
        assert record["bytes"][".npy"] == planes.stat().st_size
    assert [photo.exact for photo in store.manifest.photos] == [True]


BANDS = """
def five():
    return network(), {"channels": 5, "mean": 0.5, "std": 0.25, "input_range": 1.0}
"""


@pytest.mark.parametrize(
    ("file", "name"),
    [("cat.jpg", "cat"), ("a b/ö (1).png", "ö-1"), ("...jpg", "photo"), ("x.tar.png", "x.tar")],
)
def test_a_photograph_is_named_after_its_file(file: str, name: str) -> None:
    assert photo_name(Path(file)) == name


def test_jobs_hold_every_unit_once_and_all_layers_side_by_side() -> None:
    units = [Unit(x, c, p) for x, n in (("a", 64), ("b", 512)) for c in range(n) for p in "uv"]
    jobs = jobs_of(units, workers=2)
    assert sorted(unit for job in jobs for unit in job) == sorted(units)
    assert all(len({(u.layer, u.photo) for u in job}) == 1 and len(job) <= 32 for job in jobs)
    half = [unit.layer for job in jobs[: len(jobs) // 2] for unit in job]
    assert half.count("a") == pytest.approx(64, abs=32)
    assert len(jobs_of(units[:6], workers=2)) >= 4


@pytest.mark.parametrize("count", [1, 2, 3, 4, 512])
def test_a_measurement_takes_different_units(count: int) -> None:
    units = [Unit("a", channel, photo) for channel in range(count) for photo in "uv"]
    batch = _sample("a", units, "v", JOB)
    assert len(set(batch)) == len(batch) == min(count, JOB)
    sample = _sample("a", [*units, Unit("b", 0, "v")], "v")
    assert len(set(sample)) == len(sample) == min(count, 3)
    assert {(unit.layer, unit.photo) for unit in sample} == {("a", "v")}


def test_seconds_between_measured_layers_lie_between() -> None:
    names = ["a", "b", "c", "d"]
    assert _between({"a": 1.0, "c": 3.0}, names, "b") == 2.0
    assert _between({"a": 1.0, "c": 3.0}, names, "d") == 3.0
    assert _between({"b": 1.0}, names, "a") == 1.0


@pytest.mark.slow
def test_an_atlas_of_styles_is_checked_before_it_is_begun(tmp_path: Path, run: Run) -> None:
    style = tmp_path / "style.png"
    Image.open(COFFEE).resize((60, 40)).save(style)
    words = ("atlas", "build", CAT, "--out", "a", "--method", "stylize", *QUICK, "--workers", 1)
    for wrong, says in (
        ((), "no style is given"),
        (("--styles", "nosuch.png"), "no file 'nosuch.png'"),
        (("--styles", style, "--style-mix", "1,2"), "2 shares for 1"),
        (("--styles", "relu4_2:0-4"), "more than one filter"),
    ):
        assert_refused(run(*words, *wrong), says)
        assert not (tmp_path / "a").exists()
    assert run(*words, "--styles", style).code == 0
    Image.open(style).rotate(180).save(style)
    refused = run("atlas", "build", COFFEE, "--out", "a")
    assert_refused(refused, f"begun with other content of {style}")


@pytest.mark.slow
def test_an_atlas_of_mixes_goes_on_by_its_methods_name(tmp_path: Path, run: Run) -> None:
    words = ("atlas", "build", "--out", "a", "--method", "mix", "--workers", 1)
    first = (*words, CAT, "--layers", "relu1_1", "--energy", "4=2", *QUICK)
    wrong = run(*first[:-4], "--energy", "400=2", *QUICK)
    assert wrong.code == 2 and "no channel 400" in wrong.err
    assert run(*first).code == 0
    assert run(*words, "--layers", "relu1_2").code == 0
    assert Store.open(tmp_path / "a").status()["done"] == 2
    assert_refused(run("atlas", "build", "--method", "stylise"), "did you mean 'stylize'")
