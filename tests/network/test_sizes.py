"""Images of a size that a network does not take: the cause and the remedy in one line."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import texton
from tests.helpers import EXAMPLES, Run
from tests.network.test_fields import deep, shuffled, unet
from tests.transformers import vit
from texton import Network, TextonError
from texton.network.sizes import Intake

TESTS = Path(__file__).parent.parent
CAT = EXAMPLES / "chelsea.jpg"
FIELDS = TESTS / "network" / "test_fields.py"
VIT = f"{TESTS / 'transformers.py'}:vit"


@pytest.mark.parametrize(
    ("make", "layer", "said"),
    [
        (deep, "last", "multiples of 16, which 40×56 is not: leave --crop out"),
        (unet, "join.1", "multiples of 4, which 40×58 is not"),
        (vit, "blocks.1", "takes images of 32×32 pixels alone, not of 40×56: leave --crop out"),
    ],
)
def test_the_cause_and_the_remedy(make: object, layer: str, said: str) -> None:
    network = Network(make())  # type: ignore[operator]
    height = 58 if "58" in said else 56
    with pytest.raises(TextonError, match=re.escape(said)):
        network.encode(torch.rand(1, 3, height, 40), layer)
    first = next(iter(network.layers))
    if make is not vit:
        assert network.encode(torch.rand(1, 3, height, 40), first)[first].shape[2] == height


def test_a_fixed_size_is_learnt_from_what_works() -> None:
    assert Network(vit()).intake() == Intake((32, 32))
    assert Network(vit()).intake(["patches"]) == Intake(), "what comes before takes any size"


@pytest.mark.works(
    "a network of one image size (a ViT)",
    "recognised, and the middle of a photograph is taken at that size, in one line; "
    "`--crop none` leaves it whole, `--crop square` is for any network",
)
def test_a_photograph_is_cropped_for_a_network_of_one_size(run: Run, tmp_path: Path) -> None:
    words = ("filter", CAT, "blocks.0:1", "--network", VIT, "--steps", 2)
    made = run(*words, "--json")
    assert made.code == 0 and made.err.count("takes images of 32×32 pixels alone") == 1
    told = json.loads(made.out)
    assert told["size"] == [32, 32] and told["settings"]["crop"] == [32, 32]
    other = run(*words, "--size", 64, "-o", "x.png", "--force", "--json")
    assert json.loads(other.out)["settings"]["photo_hash"] == told["settings"]["photo_hash"]
    before = run(*words[:2], "patches:1", *words[3:], "--size", 48, "--json")
    assert json.loads(before.out)["size"] == [48, 32] and "alone" not in before.err
    whole = run(*words, "--crop", "none", "--size", 48)
    assert whole.code == 2 and "not of 48×32: leave --crop out" in whole.err


@pytest.mark.works(
    "sides that must be multiples (a U-Net)",
    "the number is learnt, and a photograph is trimmed to it in the middle, in one line; "
    "`--crop none` leaves it whole",
)
def test_a_photograph_is_trimmed_to_what_a_network_takes(run: Run) -> None:
    words = ("filter", CAT, "join.1:1", "--network", f"{FIELDS}:unet", "--size", 58)
    made = run(*words, "--steps", 2, "--json")
    assert made.err.count("chelsea.jpg: trimmed from 58×39 to 56×36 pixels, multiples of 4") == 1
    told = json.loads(made.out)
    assert told["size"] == [56, 36] and told["settings"]["multiple"] == 4
    whole = texton.read_image(CAT, 58)
    trimmed = texton.read_image(CAT, 58, multiple=4)
    assert torch.equal(trimmed, whole[..., 1:37, 1:57])
    command = json.loads(run("info", told["image"], "--json").out)["command"]
    again = run(*shlex.split(command)[1:], "--json", "-o", "again.png")
    assert json.loads(again.out)["settings"]["photo_hash"] == told["settings"]["photo_hash"]
    before = run(*words[:2], "down.0:1", *words[3:], "--steps", 2, "--json")
    assert json.loads(before.out)["size"] == [58, 39] and "trimmed" not in before.err
    refused = run(*words, "--crop", "none")
    assert refused.code == 2 and "multiples of 4, which 58×39 is not: leave --crop" in refused.err


def test_a_network_that_takes_any_size_is_left_alone() -> None:
    assert Network(unet()).intake() == Intake(multiple=4)
    assert Network(deep()).intake() == Intake(multiple=16)
    assert Network(deep()).intake(["first"]) == Intake()
    net = Network(shuffled())
    assert net.layer("2").receptive_field is None, "so its sizes are tried"
    assert net.intake() == Intake() and net.intake().told() == {}


def test_plain_chains_are_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    net = Network(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2)))
    assert list(net.layers) == ["0", "1", "2"]
    monkeypatch.setattr(net, "_tried", lambda *_: pytest.fail("a forward too many"))
    assert net.intake() == net.intake(["2"]) == Intake()


def test_square_is_for_any_network(run: Run) -> None:
    words = ("filter", CAT, "last:1", "--network", f"{FIELDS}:deep")
    made = run(*words, "--size", 50, "--crop", "square", "--steps", 2, "--json")
    assert json.loads(made.out)["size"] == [48, 48]
    assert "--crop square" in json.loads(run("info", "chelsea-last-1.png", "--json").out)["command"]


def test_other_commands_crop_alike(run: Run) -> None:
    layer = ("--layers", "blocks.0.mlp.1")
    top = run("top", CAT, "blocks.0.mlp.1", "--network", VIT)
    compared = run("compare", CAT, EXAMPLES / "coffee.jpg", "--network", VIT, *layer)
    assert (top.code, compared.code) == (0, 0), top.err + compared.err


@pytest.mark.parametrize(("crop", "size"), [("square", (40, 40)), ((24, 60), (24, 60))])
def test_the_middle_is_read(crop: str | tuple[int, int], size: tuple[int, int]) -> None:
    image = texton.read_image(CAT, 40, crop=crop)
    assert image.shape[2:] == size
    whole = texton.read_image(CAT, 4 * 451 // 4)
    height, width = whole.shape[2:]
    high = min(height, round(width * size[0] / size[1]))
    wide = min(width, round(height * size[1] / size[0]))
    top, left = (height - high) // 2, (width - wide) // 2
    middle = whole[..., top : top + high, left : left + wide]
    near = torch.nn.functional.interpolate(middle, size, mode="bilinear", antialias=True)
    assert float((near - image).abs().mean()) < 0.02


def test_planes_are_cropped_alike(tmp_path: Path) -> None:
    planes = np.random.default_rng(0).random((40, 60, 5), np.float32)
    np.save(tmp_path / "x.npy", planes)
    image = texton.read_image(tmp_path / "x.npy", channels=5, crop="square")
    assert torch.equal(image[0], torch.from_numpy(planes[:, 10:50]).permute(2, 0, 1))
    assert texton.read_image(tmp_path / "x.npy", channels=5, crop=(16, 48)).shape[2:] == (16, 48)
