"""One network with one checkpoint after the other: a row each."""

from __future__ import annotations

import json
import shlex
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import nn

import texton
from tests.helpers import EXAMPLES, Run, assert_refused
from texton import load_network

CAT = EXAMPLES / "chelsea.jpg"
MINE = """
from torch import nn
def make():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU())
"""
QUICK = ("--size", 32, "--steps", 2, "--network", "mine.py:make")
FILES = ("epoch_2.pt", "epoch_10.pt", "epoch_1.pt")


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, ...]:
    (tmp_path / "mine.py").write_text(MINE)
    for seed, name in enumerate(FILES):
        torch.manual_seed(seed)
        module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU())
        torch.save({"model": module.state_dict(), "epoch": seed}, tmp_path / name)
    return FILES


@pytest.mark.works(
    "a series of checkpoints, `--weights epoch_*.pt`",
    "a row for each on one sheet, in the order given, from the same noise",
)
def test_a_row_for_every_checkpoint(files: tuple[str, ...], run: Run, tmp_path: Path) -> None:
    words = ("filter", CAT, "1:0-2", *QUICK)
    outcome = run(*words, "--weights", *files, "--json", "--each", "each", "-o", "s.png")
    assert outcome.code == 0, outcome.err
    made = json.loads(outcome.out)
    assert [unit["weights"] for unit in made["units"]] == [x for x in files for _ in range(3)]
    assert [unit["channel"] for unit in made["units"]] == [0, 1, 2] * 3
    assert len({unit["weights_hash"] for unit in made["units"]}) == 3
    assert not {"weights", "weights_hash"} & made["settings"].keys()
    assert "each/1-2-epoch_10.pt.png" in [unit["image"] for unit in made["units"]]
    image = texton.read_image(CAT, 32)
    for unit in made["units"]:
        net = load_network("mine.py:make", weights=unit["weights"])
        alone = texton.invert_filter(image, net, "1", unit["channel"], steps=2)
        assert torch.equal(texton.read_image(unit["image"]), alone.image[None])
        assert unit["error"] == alone.error
    one = run(*words, "--weights", files[0], "-o", "one.png")
    assert one.code == 0
    rows = [Image.open(tmp_path / name).height for name in ("one.png", "s.png")]
    assert rows[0] < rows[1] / 2


def test_what_is_recorded_makes_it_again(files: tuple[str, ...], run: Run, tmp_path: Path) -> None:
    words = ("filter", CAT, "1:0", "3:1", *QUICK, "--weights", *files[:2], "--each", "each")
    assert run(*words, "-o", "s.png").code == 0
    told = run("info", "s.png").out
    assert "  epoch_2.pt  1:0  error" in told and "  epoch_10.pt  3:1  error" in told
    command = shlex.split(told.splitlines()[-1])
    assert [b for a, b in pairwise(command) if a == "--weights"] == [*files[:2]]
    again = [x if x != "s.png" else "again.png" for x in command[1:]]
    assert run(*again).code == 0
    assert pixels("s.png") == pixels("again.png")
    unit = shlex.split(run("info", "each/3-1-epoch_10.pt.png").out.splitlines()[-1])[1:]
    assert unit.count("--weights") == 1
    assert run(*(x if not x.startswith("each/") else "unit.png" for x in unit)).code == 0
    assert pixels("unit.png") == pixels("each/3-1-epoch_10.pt.png")


def pixels(name: str) -> bytes:
    return Image.open(name).convert("RGB").tobytes()


def test_it_is_there_for_every_method_of_a_filter_or_layer(
    files: tuple[str, ...], run: Run
) -> None:
    for words in (("invert", CAT, "1"), ("invert", CAT, "1", "3")):
        made = json.loads(run(*words, *QUICK, "--weights", *files[:2], "--json").out)
        assert [unit["weights"] for unit in made["units"]] == [
            *(files[0] for _ in words[2:]),
            *(files[1] for _ in words[2:]),
        ]
        assert made["image"].endswith("epoch_2-to-epoch_10.png")


def test_the_order_is_the_user_s_and_a_file_named_twice_counts_once(
    files: tuple[str, ...], run: Run
) -> None:
    words = ("filter", CAT, "1:0", *QUICK, "--json")
    both = run(*words, "--weights", files[1], files[0], files[1])
    assert [unit["weights"] for unit in json.loads(both.out)["units"]] == [files[1], files[0]]
    apart = run("filter", "--weights", files[1], "--weights", files[0], *words[1:])
    assert json.loads(apart.out)["units"][1]["weights"] == files[0]
    alone = json.loads(run("filter", "--weights", files[1], *words[1:]).out)
    assert alone["settings"]["weights"] == files[1] and "weights" not in alone["units"][0]


def test_files_of_one_name_are_told_by_their_folders(
    files: tuple[str, ...], run: Run, tmp_path: Path
) -> None:
    for name, source in (("a", files[0]), ("b", files[1])):
        (tmp_path / name).mkdir()
        (tmp_path / name / "last.pt").write_bytes((tmp_path / source).read_bytes())
    series = ("--weights", "a/last.pt", "b/last.pt", "--each", "each")
    assert run("filter", CAT, "1:0", *QUICK, *series, "-o", "s.png").code == 0
    assert sorted(x.name for x in (tmp_path / "each").iterdir()) == [
        "1-0-a-last.pt.png",
        "1-0-b-last.pt.png",
    ]


def test_top_is_of_the_last(files: tuple[str, ...], run: Run) -> None:
    words = ("filter", CAT, "1:top1", *QUICK, "--json")
    series = json.loads(run(*words, "--weights", *files).out)
    last = json.loads(run(*words, "--weights", files[-1]).out)
    assert {unit["channel"] for unit in series["units"]} == {last["units"][0]["channel"]}


def test_a_bad_one_is_told_before_anything_is_made(
    files: tuple[str, ...], run: Run, tmp_path: Path
) -> None:
    (tmp_path / "bad.pt").write_bytes(b"")
    before = {path.name for path in tmp_path.iterdir()}
    words = ("filter", CAT, "1:0", *QUICK, "--weights", files[0], "bad.pt", "--each", "each")
    assert_refused(run(*words), "'bad.pt' cannot be read")
    assert {path.name for path in tmp_path.iterdir()} == before
    assert_refused(run("filter", CAT, "1:0", "--weights"), "--weights")


def test_a_dead_filter_is_told_with_its_checkpoint(
    files: tuple[str, ...], run: Run, tmp_path: Path
) -> None:
    state = torch.load(tmp_path / files[1], weights_only=True)["model"]
    state["0.bias"][2] = -1e3
    torch.save(state, tmp_path / "dead.pt")
    words = ("filter", CAT, "1:2", *QUICK, "--weights", files[0], "dead.pt", "-o", "s.png")
    told = [x for x in run(*words).err.splitlines() if x.startswith("dead: ")]
    assert len(told) == 1 and told[0].startswith("dead: dead.pt  1:2 stayed silent")
