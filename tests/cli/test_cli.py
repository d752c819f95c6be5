"""The commands, as a user types them."""

from __future__ import annotations

import json
import os
import resource
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from PIL import Image

import texton
from tests.helpers import EXAMPLES, Run, assert_refused

CAT = EXAMPLES / "chelsea.jpg"
QUICK = ("--size", 48, "--steps", 4)
TEXTON = [sys.executable, "-c", "from texton.cli import main; main()"]


@pytest.mark.slow
def test_one_filter_gives_its_picture_and_says_where(run: Run, tmp_path: Path) -> None:
    outcome = run("filter", CAT, "relu3_2:4", *QUICK)
    assert outcome.code == 0
    assert outcome.out == "chelsea-relu3_2-4.png\n"
    assert Image.open(tmp_path / "chelsea-relu3_2-4.png").size == (48, 32)


def test_several_give_a_sheet_and_each_its_exact_size(run: Run, tmp_path: Path) -> None:
    outcome = run("filter", CAT, "relu1_2:0-2", "pool2:5,7", "--each", "units", "--json", *QUICK)
    assert outcome.code == 0
    made = json.loads(outcome.out)
    assert made["image"] == "chelsea-relu1_2-0-2_pool2-5+7.png"
    assert made["network"] == "vgg19" and made["size"] == [48, 32] and made["seed"] == 0
    keys = {"layer", "channel", "error", "achieved", "steps", "seconds", "status", "image"}
    for unit in made["units"]:
        assert keys <= unit.keys()
        assert unit["steps"] == 4 and unit["seconds"] > 0
        assert Image.open(tmp_path / unit["image"]).size == (48, 32)
    assert [unit["image"] for unit in made["units"]] == [
        f"units/{name}.png"
        for name in ("relu1_2-0", "relu1_2-1", "relu1_2-2", "pool2-5", "pool2-7")
    ]
    sheet = Image.open(tmp_path / made["image"])
    assert sheet.width > 3 * 48 and sheet.height > 2 * 32
    assert not list(tmp_path.rglob("*.tmp"))


def test_without_each_no_unit_has_an_image(run: Run) -> None:
    made = json.loads(run("filter", CAT, "relu1_1:0,1", "--json", *QUICK).out)
    assert [unit["image"] for unit in made["units"]] == [None, None]


def test_top_takes_the_filters_with_most_energy(run: Run, net: texton.Network) -> None:
    made = json.loads(run("filter", CAT, "relu2_2:top3", "--json", *QUICK).out)
    code = net.encode(texton.read_image(CAT, 48), "relu2_2")["relu2_2"]
    expected = code.sum((0, 2, 3)).argsort(descending=True)[:3].tolist()
    assert [unit["channel"] for unit in made["units"]] == expected


def test_all_takes_every_filter(run: Run) -> None:
    made = json.loads(run("filter", CAT, "relu1_1:all", "--json", "--size", 24, "--steps", 1).out)
    assert [unit["channel"] for unit in made["units"]] == list(range(64))


@pytest.mark.slow
def test_info_gives_a_command_that_makes_the_picture_again(run: Run, tmp_path: Path) -> None:
    run("filter", CAT, "relu2_1:9", "--seed", 4, "-o", "first.png", *QUICK)
    command = run("info", "first.png").out.strip().splitlines()[-1]
    words = shlex.split(command)
    assert words[0] == "texton"
    words[words.index("-o") + 1] = "again.png"
    assert run(*words[1:]).code == 0
    pictures = [Image.open(tmp_path / name).tobytes() for name in ("first.png", "again.png")]
    assert pictures[0] == pictures[1]
    assert json.loads(run("info", "first.png", "--json").out)["seed"] == 4


@pytest.mark.slow
def test_a_units_command_makes_the_unit_again(run: Run, tmp_path: Path) -> None:
    run("filter", CAT, "relu2_1:2,9", "--each", "units", *QUICK)
    words = shlex.split(run("info", "units/relu2_1-9.png").out.strip().splitlines()[-1])
    words[words.index("-o") + 1] = "again.png"
    assert run(*words[1:]).code == 0
    pictures = [Image.open(tmp_path / n).tobytes() for n in ("units/relu2_1-9.png", "again.png")]
    assert pictures[0] == pictures[1]


def test_invert_takes_its_priors(run: Run, tmp_path: Path) -> None:
    words = ("invert", CAT, "relu2_1", "--tv", 2, "--jitter", 1, "--json", *QUICK)
    made = json.loads(run(*words).out)
    assert made["image"] == "chelsea-relu2_1.png" and made["units"][0]["steps"] == 4
    assert "--tv 2 --jitter 1" in run("info", made["image"]).out


@pytest.mark.slow
def test_pooling_and_weights_by_option(run: Run, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    from texton.network.weights import paper_vgg19

    save_file(paper_vgg19(), tmp_path / "w.safetensors")
    base = ("filter", CAT, "relu2_1:9", *QUICK)
    for name, extra in {
        "a.png": (),
        "b.png": ("--weights", "w.safetensors"),
        "c.png": ("--pooling", "max"),
    }.items():
        assert run(*base, "-o", name, *extra).code == 0
    a, b, c = (Image.open(tmp_path / name).tobytes() for name in ("a.png", "b.png", "c.png"))
    assert a == b != c


def test_layers_and_networks(run: Run) -> None:
    table = run("layers").out
    assert table.splitlines()[-1] == "16 conv, 16 ReLU, 5 pool, 5,504 filters"
    assert "relu4_2" in table
    assert "vgg19" in run("networks").out
    assert len(json.loads(run("layers", "--json").out)["layers"]) == 37


def test_no_argument_helps(run: Run) -> None:
    outcome = run()
    assert outcome.code == 0 and "filter" in outcome.out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["relu4_9:0"], "did you mean 'relu4_"),
        (["relu4_2"], "names no channels"),
        (["relu4_2:512"], "it has 0 to 511"),
        (["relu4_2:x"], "not understood"),
        (["relu4_2:4-2"], "counts down"),
        (["relu4_2:top0"], "ask for 1 to 512"),
        (["relu1_1:0", "--network", "vgg18"], "did you mean 'vgg19'"),
        (["relu1_1:0", "--device", "tpu"], "unknown device"),
        (["relu1_1:0", "--device", "cuda:7"], "no device"),
        (["relu1_1:0", "--preset", "finest"], "did you mean 'fine'"),
        (["relu1_1:0", "--pooling", "min"], "use avg or max"),
        (["relu1_1:0", "--size", "15"], "use 16 to"),
        (["relu1_1:0", "--size", "20000"], "use 16 to"),
        (["relu1_1:0", "--steps", "0"], "use 1 to"),
        (["relu1_1:0", "--steps", "many"], "--steps"),
        (["relu1_1:0", "--seed", "-1"], "seed"),
        (["relu1_1:0", "--bogus"], "--bogus"),
        ([], "Missing argument"),
        (["relu1_1:0", "-o", "x.jpg"], "x.png"),
        (["pool5:0", "--size", "24"], "too small"),
        (["relu1_1:0", "-o", "blocker/x.png"], "blocker"),
        (["relu1_1:0", "--each", "blocker"], "not a folder"),
        (["relu1_1:0", "-o", "mine.png"], "--force"),
        (["relu1_1:0", "--weights", "nothing.pth"], "does not exist"),
        (["relu1_1:0", "--weights", "blocker"], "weights"),
        (["relu1_1:0", "--weights", "evil.pth"], "more than tensors"),
        (["relu1_1:0", "--weights", "foreign.pth"], "not a VGG-19"),
        (["relu1_1:0", "--weights", "shapes.pth"], "not a VGG-19"),
        (["relu1_1:0", "--weights", "broken.safetensors"], "cannot be read"),
    ],
)
def test_mistakes_are_told_in_one_line(
    words: list[str], says: str, run: Run, tmp_path: Path
) -> None:
    (tmp_path / "blocker").write_text("a file, not a folder")
    Image.new("RGB", (20, 20)).save(tmp_path / "mine.png")
    make_bad_weights(tmp_path)
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    quick = [] if {"--size", "--steps"} & set(words) else ["--size", "32", "--steps", "1"]
    assert_refused(run("filter", CAT, *words, *quick), says)
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before
    assert not (tmp_path / "evil-was-run").exists()


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (Path("evil-was-run"),)  # type: ignore[return-value]


def make_bad_weights(folder: Path) -> None:
    from texton.network.weights import VGG19_CONVS

    torch.save({"conv1_1.weight": Evil()}, folder / "evil.pth")
    torch.save({"layer.weight": torch.zeros(3)}, folder / "foreign.pth")
    wrong = {f"{n}.{part}": torch.zeros(2) for n in VGG19_CONVS for part in ("weight", "bias")}
    torch.save(wrong, folder / "shapes.pth")
    (folder / "broken.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0not json")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("invert", CAT, "relu1_9"), "no layer 'relu1_9' (did you mean"),
        (("invert", CAT, "relu1_1", "--tv", "-1"), "tv"),
        (("invert", CAT, "relu1_1", "--jitter", "-2"), "jitter is -2: use 0 or more"),
        (("invert", CAT, "relu1_1", "--preset", "paper", "--tv", "1"), "paper"),
        (("info", CAT), "carries no settings"),
        (("info", "nothing.png"), "there is no file 'nothing.png'"),
        (("layers", "--network", "nothing"), "unknown network 'nothing'"),
        (("bogus",), "No such command 'bogus'"),
    ],
)
def test_mistakes_of_the_other_commands(
    words: tuple[str, ...], says: str, run: Run, tmp_path: Path
) -> None:
    assert_refused(run(*words), says)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_an_existing_file_of_ours_is_replaced_another_only_by_force(
    run: Run, tmp_path: Path
) -> None:
    target = tmp_path / "x.png"
    words = ("filter", CAT, "relu1_1:0", "-o", target, *QUICK)
    assert run(*words).code == 0
    assert run(*words).code == 0
    Image.new("RGB", (20, 20)).save(target)
    assert run(*words).code == 2
    assert run(*words, "--force").code == 0
    assert texton.read_settings(target) is not None


@pytest.mark.slow
def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path) -> None:
    def small_disk() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))

    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [*TEXTON, "filter", str(CAT), "relu1_1:0", "--size", "48", "--steps", "1"],
        cwd=tmp_path,
        env=environment,
        preexec_fn=small_disk,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "error: cannot write" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_ctrl_c_keeps_what_is_finished(tmp_path: Path) -> None:
    words = ["filter", str(CAT), "relu1_1:all", "--size", "48", "--each", "units", "-o", "s.png"]
    with subprocess.Popen(
        [*TEXTON, *words, "--json"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:
        while len(list(tmp_path.glob("units/*.png"))) < 3:
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted" in err and "Traceback" not in err
    made = json.loads(out)
    finished = sorted(path.name for path in tmp_path.glob("units/*"))
    assert 3 <= len(made["units"]) < 64
    assert finished == sorted(Path(unit["image"]).name for unit in made["units"])
    assert Image.open(tmp_path / "s.png").size[0] > 48


def test_more_filters_than_a_file_name_holds(run: Run, tmp_path: Path) -> None:
    named = "relu1_1:" + ",".join(map(str, [*range(60)] * 2))
    outcome = run("filter", CAT, named, "--size", 32, "--steps", 1, "--each", "each")
    assert outcome.code == 0, outcome.err
    assert [x.name for x in tmp_path.glob("*.png")] == ["chelsea-relu1_1-to-relu1_1-60-filters.png"]
