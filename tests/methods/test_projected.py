"""Projections as pictures: cut in place, on mid-grey, beside the photograph."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import texton
from tests.helpers import EXAMPLES, Run, assert_refused
from tests.transformers import TinyViT, seeded
from texton import Network, TextonError
from texton.methods.parts.projected import cut_out, effective_side
from texton.methods.projection import ProjectOptions

CAT = EXAMPLES / "chelsea.jpg"


def crosses(channels: int = 3) -> Network:
    """A filter for bright 5×5 pixels with a dark middle, every fourth pixel; one that is silent."""
    conv = nn.Conv2d(channels, 2, 5, 4)
    with torch.no_grad():
        conv.weight[:] = 1.0
        conv.weight[:, :, 1:4, 1:4] = -2.0
        conv.bias[:] = torch.tensor([0.0, -99.0])
    return Network(nn.Sequential(conv, nn.ReLU()), channels=channels)


def ringed(y: int, x: int, channels: int = 3) -> Tensor:
    photo = torch.zeros(1, channels, 47, 62)
    photo[:, :, y - 2 : y + 3, x - 2 : x + 3] = 1
    photo[:, :, y - 1 : y + 2, x - 1 : x + 2] = 0
    return photo


def made(photo: Tensor, channel: int = 0, **options: Any) -> texton.Result:
    return texton.projection(photo, crosses(photo.shape[1]), "1", channel, **options)


def test_what_excites_is_bright_in_its_place() -> None:
    result = made(ringed(22, 38))
    assert (result.y, result.x, result.field, result.status) == (22, 38, 5, "ok")
    assert result.value == pytest.approx(48, rel=1e-4)
    image = result.image
    assert image.shape == (3, 47, 62)
    assert (image[:, 0, 0] - 0.5).abs().max() < 0.01, "mid-grey where nothing is seen"
    assert (image[:, 22, 38] == 0).all() and (image[:, 20, 36] > 0.74).all()
    ring = (image[0] - 0.5).abs() > 0.1
    assert ring.nonzero().amin(0).tolist() == [20, 36]
    assert ring.nonzero().amax(0).tolist() == [24, 40]


def test_a_pixel_chooses_the_unit() -> None:
    photo = torch.maximum(ringed(22, 38), 0.5 * ringed(6, 10))
    assert made(photo).y == 22
    other = made(photo, at="11, 7.5")
    assert (other.y, other.x, other.row, other.column) == (6, 10, 1, 2)
    assert other.value == pytest.approx(24, rel=1e-4)
    for text in ("62,0", "0,47", "-1,3"):
        with pytest.raises(TextonError, match="the photograph is 62×47"):
            made(photo, at=text)
    for text in ("here", "3", "1,2,3", "", "nan,1"):
        with pytest.raises(TextonError, match="give max, or a pixel like 120,64"):
            ProjectOptions(at=text)


def test_zoom_grey_and_beside() -> None:
    photo = ringed(22, 38)
    cut = made(photo, zoom=True).image
    assert cut.shape == (3, 47, 47)
    assert (cut[:, 0, 0] > 0.74).all() and (cut[:, 23, 23] == 0).all()
    grey = made(photo, grey=True).image
    assert float(grey[0, 22, 38]) == 1 and float(grey[0, 0, 0]) == 0
    both = made(photo, zoom=True, beside=True).image
    assert both.shape == (3, 47, 2 * 47 + 2)
    assert float(both[0, 0, 0]) == 1 and float(both[0, 23, 23]) == 0, "the photograph's ring"
    torch.testing.assert_close(both[:, :, -47:], cut)
    corner = made(ringed(2, 2), zoom=True).image  # it lies whole in the picture
    torch.testing.assert_close(corner, cut)


def test_the_effective_field_holds_what_is_sent_back() -> None:
    slopes = torch.zeros(3, 40, 40)
    slopes[:, 20, 20] = 1
    assert effective_side(slopes, (20, 20)) == 1
    slopes[0, 20, 27] = -0.3  # a tenth
    assert effective_side(slopes, (20, 20)) == 15
    assert effective_side(slopes, (19.5, 20.5)) == 15
    slopes[0, 20, 39] = 0.05
    assert effective_side(slopes, (20, 20)) == 15, "a twentieth may lie outside"
    assert effective_side(torch.zeros(3, 9, 9), (4, 4)) == 1


def test_a_cut_is_centred_and_padded() -> None:
    image = torch.zeros(3, 20, 30)
    image[:, 4, 25] = 1
    for side in (7, 11, 61):
        cut = cut_out(image, (4, 25), side, 4 * side)
        middle = (cut[0] == 1).nonzero().float().mean(0)
        assert middle.tolist() == [2 * side - 0.5] * 2
    assert float(cut_out(image, (4, 25), 11, 44)[0, 0, 0]) == 0.5, "above the picture"
    small = cut_out(image, (4, 25), 41, 20)
    assert small.shape == (3, 20, 20) and 0 <= float(small.min()) <= float(small.max()) <= 1


@pytest.mark.parametrize("channels", [1, 4])
def test_networks_of_other_images(channels: int, tmp_path: Path) -> None:
    result = made(ringed(22, 38, channels), beside=True)
    assert result.image.shape == (3, 47, 2 * 62 + 2)
    saved = result.save(tmp_path / "a.png")
    assert Image.open(saved).mode == "RGB" and not saved.with_suffix(".npy").exists()


def test_a_silent_filter_is_grey_and_dead() -> None:
    silent = made(ringed(22, 38), 1, zoom=True, beside=True)
    assert silent.status == "dead" and silent.value == 0
    with pytest.raises(TextonError, match="1 alone is no filter"):
        texton.projection(ringed(22, 38), crosses(), "1", None)  # type: ignore[arg-type]


def test_tokens_have_their_places() -> None:
    network = Network(seeded(TinyViT), name="vit")
    photo = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    code = network.encode(photo, "blocks.1")["blocks.1"][0, 3]
    row, column = divmod(int(code.argmax()), 4)
    mapped = texton.activation_map(photo, network, "blocks.1", 3)
    assert (mapped.y, mapped.x) == (3.5 + 8 * row, 3.5 + 8 * column)
    sent = texton.projection(photo, network, "blocks.1", 3, rule="gradient")
    assert sent.value == pytest.approx(float(code.max()), rel=1e-4)
    assert sent.image.std() > 0.05
    with pytest.raises(TextonError, match="vit uses gelu before"):
        texton.projection(photo, network, "blocks.1", 3)


@pytest.mark.slow
def test_the_command(run: Run) -> None:
    told = run("project", CAT, "relu2_1:4,17", "--rule", "deconv", "--size", 48, "--json")
    assert told.code == 0, told.err
    found = json.loads(told.out)
    assert found["image"] == "chelsea-relu2_1-4+17-deconv-project.png"
    assert found["settings"]["pooling"] == "max", "told, though the network came with avg"
    assert all(unit["value"] > 0 and unit["field"] >= 3 for unit in found["units"])
    assert "activation" in run("info", found["image"]).out
    one = run("project", CAT, "relu1_2:4", "--at", "20,10", "--size", 48, "-o", "one.png")
    assert one.code == 0 and "x 20.0" in one.err
    assert Image.open("one.png").size == (48, 32)
    assert_refused(run("project", CAT, "relu1_2:4", "--at", "x"), "give max, or a pixel")
    assert_refused(run("project", CAT, "relu1_2:4", "--rule", "guide"), "did you mean 'guided'")
