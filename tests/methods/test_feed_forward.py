"""`stylize --model`: pictures that a trained network paints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

import texton
from tests.helpers import EXAMPLES, Run, assert_refused
from tests.learned.test_generator import header_of, tiny
from texton import TextonError
from texton.learned.file import save_trained

CAT = EXAMPLES / "chelsea.jpg"


@pytest.fixture
def two(tmp_path: Path) -> Path:
    generator = tiny(styles=2)
    header = header_of(generator, about={"styles": ["night", "scream"]})
    return save_trained(generator, header, tmp_path / "two.safetensors")


def test_a_photograph_is_painted_at_any_size_and_says_how(run: Run, two: Path) -> None:
    made = run("stylize", CAT, "--model", two, "--blend", "0.75,0.25", "--size", 48, "--json")
    assert made.code == 0, made.err
    told = json.loads(made.out)
    assert told["image"] == "chelsea-style-mix0.75,0.25-two.png"
    settings = texton.read_settings(told["image"])
    assert settings is not None
    assert settings["model"]["styles"] == {"night": 0.75, "scream": 0.25}
    assert settings["model"]["file"] == "two.safetensors" and settings["size"][0] == 48
    photo = texton.read_image(CAT, 48)
    picture = texton.read_image(told["image"])
    assert picture.shape == photo.shape
    with torch.no_grad():
        mine = tiny(styles=2)(photo, torch.tensor([[0.75, 0.25]]))
    assert (picture - mine).abs().max() < 0.51 / 255
    again = run("stylize", CAT, "--model", two, "--size", 48, "-o", "even.png")
    assert again.code == 0 and not torch.equal(texton.read_image("even.png"), picture)


def test_colours_are_kept_and_python_does_the_same(
    two: Path, cat: torch.Tensor, net: texton.Network
) -> None:
    kept = texton.stylize(cat, [], net, model=two, keep_colors="luma")
    plain = texton.stylize(cat, [], net, model=two)
    chroma = (kept.image - kept.image.mean(0) - cat[0] + cat[0].mean(0)).abs().median()
    other = (plain.image - plain.image.mean(0) - cat[0] + cat[0].mean(0)).abs().median()
    assert chroma < other / 2
    assert plain.figures["total"] is None and plain.seconds > 0


def test_alpha_and_depth_are_as_stylize_has_them(
    two: Path, cat: torch.Tensor, net: texton.Network
) -> None:
    alpha = torch.ones(cat.shape[2:])
    alpha[:8] = 0
    made = texton.stylize(cat, [], net, model=two, alpha=alpha, depth=16)
    assert made.alpha is not None and torch.equal(made.alpha, alpha) and made.bits == 16
    steps = made.image * 255
    assert (steps - steps.round()).abs().max() > 0.1, "not of 8 bits"


@pytest.mark.parametrize(
    ("told", "says"),
    [
        ({"style_mix": (0.5, 0.3, 0.2)}, "3 shares for the 2 styles"),
        ({"style_mix": (0.5,)}, "1 shares for the 2 styles"),
        ({"style_mix": (0.5, -1)}, "more than 0"),
        ({"keep_colors": "statistics"}, "use --keep-colors luma"),
        ({"steps": 5}, "--steps is for pictures that are solved for"),
        ({"style_weight": 5}, "--style-weight is for"),
        ({"styles": (torch.rand(1, 3, 32, 32),)}, "the styles are in the model"),
    ],
)
def test_what_a_model_cannot_be_told(
    told: dict[str, Any], says: str, two: Path, cat: torch.Tensor, net: texton.Network
) -> None:
    options = dict(told)
    with pytest.raises(TextonError, match=says):
        texton.stylize(cat, options.pop("styles", ()), net, model=two, **options)


def test_files_that_are_no_models_are_told(
    two: Path, tmp_path: Path, cat: torch.Tensor, net: texton.Network
) -> None:
    generator = tiny()
    decoder = json.loads(header_of(generator).as_json()) | {"kind": "decoder"}
    kept = {"texton": json.dumps(decoder)}
    save_file(generator.state_dict(), tmp_path / "decoder.safetensors", kept)
    (tmp_path / "damaged.safetensors").write_bytes(two.read_bytes()[:2000])
    torch.save({"fc.weight": torch.zeros(2, 2)}, tmp_path / "other.pth")
    for name, says in {
        "decoder.safetensors": "holds a decoder",
        "damaged.safetensors": "damaged.safetensors' cannot be read",
        "other.pth": "is not a network that paints",
        "missing.safetensors": "No such file",
        "missing.pth": "does not exist",
        str(CAT.resolve()): "chelsea.jpg",
    }.items():
        with pytest.raises(TextonError, match=says) as told:
            texton.stylize(cat, (), net, model=tmp_path / name)
        assert "\n" not in str(told.value)


def test_a_command_that_is_refused_writes_nothing(run: Run, two: Path) -> None:
    assert_refused(run("stylize", CAT, "--size", 32), "at least one image, or --model")
    made = run("stylize", CAT, "--model", two, "--blend", "0.5", "--size", 32)
    assert_refused(made, "1 shares for the 2 styles")
    assert not list(Path().glob("*.png"))


def test_a_network_of_other_channels_is_told(two: Path) -> None:
    grey = texton.Network(
        torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.ReLU()), channels=1
    )
    with pytest.raises(TextonError, match="takes 3 channels"):
        texton.stylize(torch.rand(1, 1, 32, 32), [], grey, model=two)
