"""``texton train decoder`` and ``texton invert --decoder``, as a user calls them."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
import torch
from PIL import Image

from tests.helpers import EXAMPLES, Run, assert_refused
from tests.training.recipes import write_photographs
from texton.images.files import read_image, read_settings
from texton.network.load import load_network
from texton.training import trainer

CAT = EXAMPLES / "chelsea.jpg"
SOURCE = """
import torch
from torch import nn

def make():
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2), nn.Conv2d(8, 12, 3, padding=1),
        nn.ReLU(),
    )
"""
QUICK = ("--crop", "32", "--batch", "2", "--rate", "0.01")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network, photographs, and a decoder of the network's last layer."""
    folder = tmp_path_factory.mktemp("place")
    (folder / "net.py").write_text(SOURCE)
    write_photographs(folder / "photos")
    return folder


@pytest.fixture
def net_of(place: Path) -> tuple[str, str]:
    return "--network", f"{place / 'net.py'}:make"


@pytest.fixture
def decoder(place: Path, net_of: tuple[str, str], run: Run) -> Path:
    out = place / "four.safetensors"
    if not out.exists():
        words = ("--layer", "4", "--photos", place / "photos", "-o", out, "--json", *QUICK, *net_of)
        outcome = run("train", "decoder", *words, "--steps", "80", "--every", "40")
        assert outcome.code == 0, outcome.err
        made = json.loads(outcome.out)
        assert made["steps"] == 80 and made["photographs"] == 11 and made["held_out"] < 0.8
        assert made["model"] == str(out)
        assert "step 40: loss" in outcome.err and "80 of 80" in outcome.err
        names = sorted(x.name for x in Path(made["samples"]).glob("*.png"))
        assert names == ["0000040.png", "0000080.png"]
    return out


def test_one_pass_and_polish(decoder: Path, net_of: tuple[str, str], run: Run) -> None:
    words = ("invert", CAT, "4", "--size", "48", *net_of, "--json")
    alone = json.loads(run(*words, "--decoder", decoder).out)
    assert Path(alone["image"]).name == "chelsea-4-four.png"
    better = json.loads(run(*words, "--decoder", decoder, "--polish", "8").out)
    solved = json.loads(run(*words, "--steps", "8").out)
    one, two, three = (x["units"][0] for x in (alone, better, solved))
    assert (one["steps"], two["steps"], three["steps"]) == (0, 8, 8)
    assert one["error"] < 0.3 and max(two["error"], three["error"]) < 0.1 * one["error"]
    network, image = load_network(net_of[1]), read_image(CAT, 48)
    saved = read_image(alone["image"])
    codes = [network.encode(x, "4")["4"] for x in (saved, image)]
    error = (codes[0] - codes[1]).square().sum() / codes[1].square().sum()
    assert float(error) == pytest.approx(one["error"], rel=1e-3)
    settings = read_settings(alone["image"]) or {}
    assert settings["decoder_steps"] == 80 and len(settings["decoder_hash"]) == 16
    assert f"--decoder {decoder}" in settings["command"]
    again = json.loads(run(*words, "--decoder", decoder, "-o", "again.png").out)
    assert torch.equal(read_image(again["image"]), saved)


def test_a_file_tells_how_it_was_made(decoder: Path, run: Run) -> None:
    told = json.loads(run("info", decoder, "--json").out)
    assert (told["kind"], told["layers"], told["steps"]) == ("decoder", ["4"], 80)
    assert "kind: decoder" in run("info", decoder).out
    (Path.cwd() / "other.safetensors").write_bytes(b"12345678")
    assert_refused(run("info", "other.safetensors"), "is not a network that texton trained")


def test_a_modified_code_is_decoded_too(decoder: Path, net_of: tuple[str, str], run: Run) -> None:
    words = ("invert", CAT, "4", "--size", "48", "--decoder", decoder, *net_of)
    assert run(*words, "-o", "plain.png").code == 0
    assert run(*words, "-o", "styled.png", "--modify", "random", "--seed", "3").code == 0
    apart = read_image("styled.png") - read_image("plain.png")
    assert apart.abs().mean() > 0.02


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["1", "--decoder", "DECODER"], "decodes 4, not 1: train one with `texton train decoder"),
        (["4", "1", "--decoder", "DECODER"], "decodes 4, not 1"),
        (["relu1_1", "--decoder", "DECODER", "--network", "vgg19@random"], "whose weights vgg19"),
        (["4", "--decoder", "net.py"], "is not a network that texton trained"),
        (["4", "--decoder", "nowhere.safetensors"], "cannot read"),
        (["4", "--polish", "5"], "add --decoder FILE"),
        (["4", "--decoder", "DECODER", "--steps", "5"], "leave --steps out"),
        (["4", "--decoder", "DECODER", "--fourier"], "leave out --fourier"),
        (["4", "--decoder", "DECODER", "--preset", "paper"], "leave out --fourier and the paper"),
    ],
)
def test_decoders_that_do_not_fit(
    words: list[str], says: str, decoder: Path, place: Path, net_of: tuple[str, str], run: Run
) -> None:
    named = {"DECODER": decoder, "net.py": place / "net.py"}
    told = [named.get(word, word) for word in words]
    network = () if "--network" in words else net_of
    outcome = run("invert", CAT, *told, "--size", "32", *network)
    assert outcome.err.splitlines()[-1].startswith("error: ") and says in outcome.err
    assert outcome.code == 2 and outcome.out == "" and not list(Path.cwd().iterdir())


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--layer", "9"], "no layer '9'"),
        (["--layer", "4", "--photos", "few"], "gives 2 different photographs of 32 pixels"),
        (["--layer", "4", "--photos", "nowhere"], "cannot read"),
        (["--layer", "4", "--crop", "64"], "of 64 pixels or more"),
        (["--layer", "4", "--steps", "5", "--minutes", "1"], "give one of them"),
        (["--layer", "4", "--pixels", "0", "--code", "0"], "leave nothing to train on"),
        (["--layer", "4", "-o", "x.pth"], "name the file 'x.safetensors'"),
        (["--layer", "4", "-o", "mine.safetensors"], "texton did not make it: add --force"),
        (["--layer", "4", "-o", "trained.safetensors"], "is trained already: add --force"),
        (["--layer", "4", "--dtype", "float16"], "use auto, float32 or bfloat16"),
        (["--layer", "4", "--batch", "0"], "batch is 0: use 1 to"),
        ([], "--layer"),
    ],
)
def test_trainings_that_cannot_begin(
    words: list[str], says: str, decoder: Path, place: Path, net_of: tuple[str, str], run: Run
) -> None:
    here = Path.cwd()
    write_photographs(here / "few", 2)
    (here / "mine.safetensors").write_bytes(b"mine")
    (here / "trained.safetensors").write_bytes(decoder.read_bytes())
    before = sorted(here.rglob("*"))
    told = [*words, *([] if "--photos" in words else ["--photos", place / "photos"])]
    told += [] if "-o" in words else ["-o", "new.safetensors"]
    told += [] if "--crop" in words else ["--crop", "32"]
    outcome = run("train", "decoder", *told, *net_of)
    assert outcome.code == 2 and outcome.out == "", outcome.err
    assert outcome.err.splitlines()[-1].startswith("error: ") and says in outcome.err
    assert sorted(here.rglob("*")) == before


def test_ctrl_c_and_on(
    place: Path, net_of: tuple[str, str], run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("--layer", "1", "--photos", place / "photos", "--steps", "8", *QUICK, *net_of)
    assert run("train", "decoder", *words, "-o", "whole.safetensors").code == 0
    written = trainer._Training._step
    steps = 0

    def interrupt(self: trainer._Training, images: torch.Tensor) -> None:
        nonlocal steps
        written(self, images)
        steps += 1
        if steps == 3:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(trainer._Training, "_step", interrupt)
    outcome = run("train", "decoder", *words, "-o", "cut.safetensors")
    assert outcome.code == 130 and outcome.out.strip() == "cut.safetensors"
    assert "interrupted: saved as it is after 3 steps, run it again to go on" in outcome.err
    assert Path("cut.safetensors").read_bytes() != Path("whole.safetensors").read_bytes()
    assert run("train", "decoder", *words, "-o", "cut.safetensors").code == 0
    assert steps == 8
    assert Path("cut.safetensors").read_bytes() == Path("whole.safetensors").read_bytes()
    with Image.open("cut.training/0000008.png") as sample:
        assert sample.size == (32, 64)
    assert_refused(
        run("train", "decoder", *words, "-o", "cut.safetensors"), "is trained already: add --force"
    )
