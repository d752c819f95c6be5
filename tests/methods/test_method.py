"""A method is one file: what it declares, the command line, Python, atlas and pages follow."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import texton
from tests.helpers import EXAMPLES, Outcome, Run
from texton.errors import TextonError
from texton.methods.catalogue import find_method, methods
from texton.methods.command import NetworkOptions, ReadingOptions, command_of, words_of
from texton.methods.options import Options, Solving, declarations, option

CAT = EXAMPLES / "chelsea.jpg"

BLURRED = '''
"""The photograph, blurred."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from texton.methods.method import Figure, Method, OnStep, Task
from texton.methods.options import Options, option
from texton.methods.result import Result


@dataclass(frozen=True)
class BlurOptions(Options):
    side: int = option(5, "Pixels that are averaged along each side.", low=1, high=15, named=True)


def make(task: Task, on_step: OnStep | None = None) -> Iterator[Result]:
    import torch.nn.functional as F

    from texton.images.files import as_saved

    for unit in task.units:
        started, side = time.perf_counter(), task.options.side
        photo = task.photo(unit)
        edge = side // 2, side - 1 - side // 2
        wide = F.pad(photo, (*edge, *edge), mode="reflect")
        saved = as_saved(F.avg_pool2d(wide, side, 1))
        lost = float((saved - photo).abs().mean())
        settings = {"method": "blurred", "options": task.options.as_json()}
        seconds = time.perf_counter() - started
        yield Result(saved[0], unit, {"lost": lost}, seconds, settings=settings)


METHOD = Method(
    name="blurred",
    title="A photograph, blurred",
    caption="{photo}, out of focus",
    axes=("photo",),
    options=BlurOptions,
    figures=(Figure("lost", "Lost", "How far pixels moved.", "percent", 1, "low"),),
    make=make,
    size=64,
    suffix="blurred",
)
'''


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package with one more file in ``methods/``, and nothing else."""
    folder = tmp_path_factory.mktemp("house")
    package = Path(texton.__file__).parent
    shutil.copytree(package, folder / "texton", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "texton" / "methods" / "blurred.py").write_text(BLURRED)
    return folder


# Runs commands told as JSON, one after the other; their codes and what they said as JSON.
_SEVERAL = """
import contextlib, io, json, sys
from texton.cli import main
done = []
for words in json.loads(sys.argv[1]):
    sys.argv, out, err = ["texton", *words], io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
        except SystemExit as stop:
            done.append((stop.code, out.getvalue(), err.getvalue()))
print(json.dumps(done))
"""


def call(house: Path, *commands: tuple[object, ...], cwd: Path) -> list[Outcome]:
    """Commands in one process of their own, as importing takes longer than most of them."""
    words = json.dumps([list(map(str, command)) for command in commands])
    ran = _python(house, _SEVERAL, words, cwd=cwd)
    assert ran.returncode == 0, ran.stderr
    return [Outcome(*outcome) for outcome in json.loads(ran.stdout)]


def _python(house: Path, code: str, *words: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(house)}
    command = [sys.executable, "-c", code, *map(str, words)]
    return subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.slow
def test_a_new_method_is_a_command(house: Path, tmp_path: Path) -> None:
    listed, told, made, info, refused = call(
        house,
        ("--help",),
        ("blurred", "--help"),
        ("blurred", CAT, "--side", 7, "--json"),
        ("info", "chelsea-side7-blurred.png"),
        ("blurred", CAT, "--side", 16),
        cwd=tmp_path,
    )
    assert "A photograph, blurred." in listed.out
    told_in_one = " ".join(told.out.split())
    assert "Pixels that are averaged along each side. [default: 5]" in told_in_one
    assert made.code == 0, made.err
    assert "lost " in made.err
    found = json.loads(made.out)
    assert found["image"] == "chelsea-side7-blurred.png" and found["units"][0]["lost"] > 0
    picture = Image.open(tmp_path / found["image"])
    assert picture.size == (64, 43)
    again = shlex.split(info.out.splitlines()[-1])
    assert again[:2] == ["texton", "blurred"] and "--side" in again
    again[again.index("-o") + 1] = "again.png"
    assert call(house, tuple(again[1:]), cwd=tmp_path)[0].code == 0
    assert Image.open(tmp_path / "again.png").tobytes() == picture.tobytes()
    assert refused.code == 2 and refused.err == "error: side is 16: use 1 to 15\n"


@pytest.mark.slow
def test_a_new_method_is_in_python(house: Path, tmp_path: Path) -> None:
    code = f"""
import texton
from texton.methods.catalogue import find_method
net, photo = texton.load_network(), texton.read_image({str(CAT)!r}, 64)
result = find_method("blurred").picture(photo, net, side=3)
print(result.lost, result.image.shape, result.save("x.png"))
"""
    done = _python(house, code, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "torch.Size([3, 43, 64]) x.png" in done.stdout


@pytest.mark.slow
def test_a_new_method_is_an_atlas(house: Path, tmp_path: Path) -> None:
    words = (CAT, EXAMPLES / "coffee.jpg", "--method", "blurred", "--size", 48, "--out", "a")
    made, other, mixed, pages = call(
        house,
        ("atlas", "build", *words, "--side", 3, "--json"),
        ("atlas", "build", *words, "--side", 5),
        ("atlas", "build", CAT, "--out", "a"),  # it goes on with what it is of
        ("atlas", "export", "a", "--out", "pages", "--no-similar"),
        cwd=tmp_path,
    )
    assert made.code == 0, made.err
    assert json.loads(made.out)["done"] == 2
    assert other.code == 2 and "has side 3, you ask for 5" in other.err
    assert mixed.code == 0, mixed.err
    assert pages.code == 0, pages.err
    site = "".join(path.read_text() for path in (tmp_path / "pages").rglob("*.html"))
    assert "chelsea, out of focus" in site and "Lost" in site and "Achieved" not in site
    record = json.loads(next((tmp_path / "a" / "units").rglob("coffee.json")).read_text())
    words_again = shlex.split(record["command"])
    assert words_again[:2] == ["texton", "blurred"] and "--side" in words_again


def test_every_method_declares_what_others_read() -> None:
    for name, method in methods().items():
        assert method.name == name and method.title and "{" in method.caption
        assert len({figure.key for figure in method.figures}) == len(method.figures)
        assert method.shown()
        for declared in declarations(method.options):
            assert declared.spec.help, (name, declared.name)
            if declared.spec.choices and declared.default is not None:
                assert declared.default in declared.spec.choices
    with pytest.raises(TextonError, match="did you mean 'filter'"):
        find_method("filtr")


@dataclass(frozen=True)
class Several(Solving):
    weight: float = option(1.0, "A number.", low=0, high=10)
    parts: tuple[float, ...] = option((), "Numbers.", above=0)
    names: tuple[str, ...] = option(("a", "b"), "Words.")
    factors: dict[int, float] | None = option(None, "By channel.", low=0)
    kind: str | None = option(None, "One of two.", choices=("up", "down"))


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"weight": -1}, "weight is -1.0: use 0 to 10"),
        ({"weight": float("nan")}, "weight is nan"),
        ({"weight": "1"}, "give a number"),
        ({"weight": True}, "give a number"),
        ({"steps": 0}, "steps is 0: use 1 to 100000"),
        ({"steps": 1.5}, "give a whole number"),
        ({"seed": -1}, "seed is -1: use 0 to"),
        ({"parts": (1.0, 0.0)}, "parts is 0.0: use more than 0"),
        ({"parts": "1,2"}, "give several, as a list"),
        ({"names": 3}, "give several, as a list"),
        ({"factors": {"x": 1}}, "give numbers by channel"),
        ({"factors": {4: -1}}, "factors is -1.0: use 0 or more"),
        ({"kind": "donw"}, "unknown kind 'donw' .did you mean 'down'.*: use up or down"),
        ({"preset": "fin"}, "did you mean 'fine'"),
        ({"wieght": 1}, "there is no option 'wieght' .did you mean 'weight'"),
    ],
)
def test_what_a_field_does_not_declare_is_refused(given: dict[str, Any], says: str) -> None:
    with pytest.raises(TextonError, match=says):
        Several.of(given)


def test_options_come_back_from_json_and_from_words() -> None:
    told = Several(weight=2, parts=[1, 2], factors={4: 3, 17: 0.5}, kind="up", seed=7)
    assert told.parts == (1.0, 2.0) and told.weight == 2.0
    again = Several.of(json.loads(json.dumps(told.as_json())))
    assert again == told
    by_name = {declared.flag: declared for declared in declarations(Several)}
    words = words_of(told)
    pairs = dict(zip(words[::2], words[1::2], strict=True))
    parsed = {by_name[flag].name: by_name[flag].parse(text) for flag, text in pairs.items()}
    assert Several.of(parsed) == told
    assert words_of(Several()) == []


def test_a_command_says_only_what_is_not_usual() -> None:
    method = find_method("filter")
    told: list[Options] = [method.options.of({"seed": 3}), ReadingOptions(), NetworkOptions()]
    line = command_of(method, "my photo.jpg", ["relu4_2:4"], told, "x.png")
    assert line == "texton filter 'my photo.jpg' relu4_2:4 --seed 3 -o x.png"


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["--version"],
        ["filter", "--help"],
        ["stylize", "--help"],
        ["atlas", "build", "--help"],
        ["filter", "a.png", "b:1", "--steps", "0"],
        ["atlas", "build", "a.png", "--preset", "x"],
        ["mix", "a.png", "b"],
        ["experiment", "figure1", "--size", "1"],
        ["bogus"],
    ],
)
@pytest.mark.slow
def test_the_command_line_answers_without_torch(words: list[str], tmp_path: Path) -> None:
    code = (
        "import sys\nfrom texton.cli import main\n"
        "try: main()\nfinally: print('torch' in sys.modules, file=sys.stderr)"
    )
    done = _python(Path(texton.__file__).parent.parent, code, *words, cwd=tmp_path)
    assert done.stderr.splitlines()[-1] == "False", done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("number", [0.123456789, 1234567.0, 1 / 3, 0.1, 5.0])
def test_numbers_are_recorded_as_they_were(number: float) -> None:
    told = Several(weight=min(number, 10), factors={4: number})
    words = words_of(told)
    by_name = {declared.flag: declared for declared in declarations(Several)}
    pairs = dict(zip(words[::2], words[1::2], strict=True))
    parsed = {by_name[flag].name: by_name[flag].parse(text) for flag, text in pairs.items()}
    assert Several.of(parsed) == told


def test_numbers_of_numpy_and_huge_ones() -> None:
    told = Several(weight=np.float32(0.5), seed=np.int64(3))
    assert told.weight == 0.5 and type(told.seed) is int
    for given in ({"weight": 10**400}, {"parts": (10**400,)}):
        with pytest.raises(TextonError, match="out of range"):
            Several.of(given)
    with pytest.raises(TextonError, match="seed is 1"):
        Several.of({"seed": 10**400})


def test_a_method_takes_a_filter_by_its_number(net: texton.Network, cat: torch.Tensor) -> None:
    made = find_method("filter").picture(cat, net, "relu1_1", 3, steps=2)
    assert str(made.unit) == "relu1_1:3"
    with pytest.raises(TextonError, match="relu1_1 alone is no filter"):
        find_method("filter").picture(cat, net, "relu1_1", steps=2)


def test_help_tells_one_default(run: Run) -> None:
    told = " ".join(run("atlas", "build", "--help").out.split())
    assert "(the 2016 algorithm). [fast]" in told and "[fast] [normal]" not in told
    assert (
        "Long edge in pixels [128]" in told and "The same seed gives the same picture. [0]" in told
    )
