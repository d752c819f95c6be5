"""`texton model`: what is in a file, and the file as ONNX."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from tests.helpers import EXAMPLES, Run, assert_refused
from tests.learned.test_generator import header_of, tiny
from texton.learned.file import save_trained

CAT = EXAMPLES / "chelsea.jpg"


@pytest.fixture
def two(tmp_path: Path) -> Path:
    generator = tiny(styles=2)
    header = header_of(generator, about={"styles": ["night", "scream"]}, trace=((5, 2.0, 1.5),))
    return save_trained(generator, header, tmp_path / "two.safetensors")


def test_it_tells_what_is_in_a_file_and_writes_onnx(run: Run, two: Path) -> None:
    told = run("model", two)
    assert told.code == 0 and "styles: [" in told.out and "held_out: 1.5" in told.out
    made = run("model", two, "--onnx", "two.onnx", "--json")
    assert made.code == 0, made.err
    described = json.loads(made.out)
    assert described["styles"] == ["night", "scream"] and described["onnx"] == "two.onnx"
    import onnx

    kept = {x.key: x.value for x in onnx.load("two.onnx").metadata_props}
    assert json.loads(kept["texton"])["styles"] == ["night", "scream"]
    assert run("model", two, "--onnx", "two.onnx", "--force").code == 0
    state = {name: x[0] if ".in" in f".{name}" else x for name, x in tiny().state_dict().items()}
    torch.save(state, "candy.pth")
    assert "somebody else" in run("model", "candy.pth").out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--onnx", "there.onnx"), "'there.onnx' exists"),
        (("--onnx", "two.png"), "ONNX files are named"),
        (("--onnx", "folder.onnx"), "is a folder"),
        (("--photo", CAT), "name what it learnt by --painting"),
        (("-o", "a.png"), "-o is for a sheet of --photo"),
        (("--photo", CAT, "--painting", CAT), "was trained on vgg19"),
    ],
)
def test_what_it_refuses(words: tuple[object, ...], says: str, run: Run, two: Path) -> None:
    Path("there.onnx").write_text("mine")
    Path("folder.onnx").mkdir()
    assert_refused(run("model", two, *words), says)
    assert Path("there.onnx").read_text() == "mine"


def test_pictures_are_no_models(run: Run) -> None:
    assert_refused(run("model", CAT), "chelsea.jpg")
    assert_refused(run("model", "nowhere.safetensors"), "nowhere")
