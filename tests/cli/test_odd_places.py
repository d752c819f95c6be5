"""Odd names and places, through the command line: told before the work, or written as they are."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import texton
from tests.conftest import EXAMPLES, Run
from tests.fake_atlas import fake_atlas
from texton.errors import TextonError
from texton.images.place import check_place
from texton.methods.method import Figure
from texton.reading import read_json, to_json

CAT = EXAMPLES / "chelsea.jpg"
MAIN = "from texton.cli import main; main()"
QUICK = ("--size", 32, "--steps", 1)


@pytest.mark.parametrize("out", ["", ".", "/", "n" * 300 + ".png", "/proc/x.png", "cat/x.png"])
def test_a_place_that_cannot_be_written_is_told_before_the_work(
    out: str, run: Run, tmp_path: Path
) -> None:
    (tmp_path / "cat").write_text("a file")
    outcome = run("filter", CAT, "relu1_1:0", *QUICK, "-o", out)
    assert outcome.code == 2 and outcome.err.startswith("error: "), outcome.err
    assert outcome.err.count("\n") == 1  # no line of progress before it
    assert [path.name for path in tmp_path.iterdir()] == ["cat"]


def test_a_place_is_tried_and_left_as_it_was(tmp_path: Path) -> None:
    check_place(tmp_path / "a/b/c.png")
    assert not list(tmp_path.iterdir())
    with pytest.raises(TextonError, match="cannot write"):
        check_place(Path("/proc/c.png"))


@pytest.mark.parametrize(
    "words",
    [
        ("filter", "N.npy", "relu1_1:0"),
        ("filter", CAT, "relu1_1:0", "--each", "N"),
        ("layers", "--weights", "N"),
        ("info", "N"),
        ("atlas", "status", "N"),
        ("atlas", "export", "a", "-o", "N"),
        ("fingerprint", CAT, "-o", "N.style", "--size", "32"),
    ],
)
def test_a_name_too_long_is_told_in_one_line(
    words: tuple[object, ...], run: Run, tmp_path: Path
) -> None:
    outcome = run(*(str(word).replace("N", "n" * 300) for word in words))
    assert outcome.code == 2 and outcome.err.startswith("error: "), outcome.err
    assert outcome.err.count("\n") == 1 and not list(tmp_path.iterdir())


def test_a_host_that_is_no_name_is_told(run: Run, tmp_path: Path) -> None:
    fake_atlas(tmp_path / "a", (("relu1_1", 1),))
    for host in ("n" * 300, "", "nowhere.invalid"):
        outcome = run("atlas", "serve", "a", "--port", 0, "--host", host)
        assert outcome.code == 2 and "there is no address" in outcome.err, outcome.err


@pytest.mark.slow
def test_a_name_that_is_no_text_does_not_stop_the_work(tmp_path: Path) -> None:
    name = b"caf\xe9.jpg"
    (tmp_path / os.fsdecode(name)).write_bytes(CAT.read_bytes())
    quick = [b"--size", b"32", b"--steps", b"1"]
    words = [b"filter", name, b"relu1_1:0", *quick, b"-o", b"\xe9.png"]
    command = [sys.executable, "-c", MAIN]
    done = subprocess.run([*command, *words], cwd=tmp_path, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == b"\xe9.png\n"
    settings = texton.read_settings(tmp_path / os.fsdecode(done.stdout[:-1]))
    assert settings is not None and "caf?.jpg" in settings["command"]
    atlas = [b"atlas", b"build", name, b"--out", b"a", b"--layers", b"relu1_1", b"--channels", b"0"]
    built = subprocess.run(
        [*command, *atlas, b"--workers", b"1", *quick], cwd=tmp_path, capture_output=True
    )
    assert built.returncode == 0, built.stderr
    site = [b"atlas", b"export", b"a", b"-o", b"site", b"--no-similar"]
    assert subprocess.run([*command, *site], cwd=tmp_path, capture_output=True).returncode == 0


@pytest.mark.slow
def test_a_reader_that_has_had_enough_is_no_error() -> None:
    program = shlex.join([sys.executable, "-c", MAIN])
    for where, code, told in (
        ("layers --json | true", 0, ""),
        ("networks > /dev/full", 2, "error: No space left on device\n"),
    ):
        done = subprocess.run(f"{program} {where}", shell=True, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (code, told)


def test_what_is_written_can_be_read() -> None:
    value = {"a": [float("nan"), (1, float("-inf"))], "b": {"c": "caf\udce9 ü"}, "d": 0.5}
    assert read_json(to_json(value)) == {"a": [None, [1, None]], "b": {"c": "caf? ü"}, "d": 0.5}
    assert json.loads(to_json({"x": 1}, indent=1)) == {"x": 1}


@pytest.mark.parametrize(
    ("energy", "says"),
    [("3=1,4=2,3=5", "names channel 3 twice"), ("3", "write 4=3"), ("3=-1", "use 0 or more")],
)
def test_energies_are_given_once_each(energy: str, says: str, run: Run) -> None:
    outcome = run("mix", CAT, "relu1_1", "--energy", energy, *QUICK)
    assert outcome.code == 2 and says in outcome.err, outcome.err


def test_a_huge_figure_is_short() -> None:
    figure = Figure("loss", "Loss", "")
    assert [figure.text(value) for value in (0.8123, 9_999_999.0, 1.3e300, None)] == [
        "0.812", "9999999.000", "1.3e+300", "–",
    ]  # fmt: skip
