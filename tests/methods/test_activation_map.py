"""Maps of where a filter fires: in place, in colours that are in order, with their figures."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from tests.helpers import EXAMPLES, Run, assert_refused
from texton import Network, TextonError, activation_map
from texton.images.maps import between_centres, coloured, overlaid, short, with_scale
from texton.images.sheets import Tile, make_sheet

CAT = EXAMPLES / "chelsea.jpg"


def bright(channels: int = 3) -> Network:
    """How bright 5×5 pixels are, every fourth pixel, beside half of it and a silent filter."""
    conv = nn.Conv2d(channels, 3, 5, 4)
    with torch.no_grad():
        conv.weight.zero_()
        conv.weight[0, :], conv.weight[1, :], conv.bias[:] = 1.0, 0.5, torch.tensor([-1.0, 0, -9])
    return Network(nn.Sequential(conv, nn.ReLU()), channels=channels)


def dotted(y: int, x: int, channels: int = 3) -> Tensor:
    photo = torch.full((1, channels, 47, 62), 0.01)
    photo[:, :, y - 2 : y + 3, x - 2 : x + 3] = 1
    return photo


@pytest.mark.parametrize(("y", "x"), [(2, 2), (22, 38), (42, 58)])
@pytest.mark.parametrize("cells", [False, True])
def test_the_brightest_pixel_is_where_the_filter_fires(y: int, x: int, cells: bool) -> None:
    made = activation_map(dotted(y, x), bright(), "1", 0, bare=True, cells=cells)
    assert (made.y, made.x) == (y, x) and (made.row, made.column) == ((y - 2) // 4, (x - 2) // 4)
    shown = made.image.sum(0)
    assert made.image.shape == (3, 47, 62)
    found = (shown == shown.max()).nonzero().float().mean(0)
    off = 0.5 if cells else 0  # of four pixels a square has no middle one
    edge = y in (2, 42)  # level beyond the outermost centre
    assert torch.allclose(found, torch.tensor([y, x]).float(), atol=2.5 if edge else off)
    assert made.maximum == pytest.approx(3 * 25 - 1, rel=1e-4)
    assert 0 < made.active < 0.1


def test_what_lies_between_centres() -> None:
    values = torch.tensor([[0.0, 1.0], [2.0, 3.0]])
    made = between_centres(values, (5, 4), (1, 0.5), (2, 2))
    assert made[:, 0].tolist() == [0, 0, 1, 2, 2]  # level, at, between, at, level
    assert made[1].tolist() == [0, 0.25, 0.75, 1]
    squares = between_centres(values, (5, 4), (1, 0.5), (2, 2), smooth=False)
    assert squares[1].tolist() == [0, 0, 1, 1] and squares[:, 0].tolist() == [0, 0, 2, 2, 2]


@pytest.mark.parametrize("signed", [False, True])
def test_colours_are_in_order_of_lightness(signed: bool) -> None:
    shares = torch.linspace(0, 1, 200)[None]
    weights = torch.tensor([0.299, 0.587, 0.114]).reshape(3, 1, 1)
    light = (coloured(shares, signed) * weights).sum(0)[0]
    assert (light.diff() > 0).all() and light[-1] - light[0] > 0.6
    if signed:
        other = coloured(-shares, True)
        assert (other[2, 0, 20:] > other[0, 0, 20:]).all(), "what is below 0 is blue"
        assert (((other * weights).sum(0)[0]).diff() > 0).all()


def test_an_overlay_leaves_silent_places_alone() -> None:
    photo, shares = torch.rand(3, 8, 9), torch.zeros(8, 9)
    shares[2, 3] = 1
    made = overlaid(photo, shares)
    grey = made[:, 5, 5]
    assert grey[0] == grey[1] == grey[2] and 0 < grey[0] < 1
    assert torch.equal(made[:, 2, 3], coloured(torch.ones(1, 1))[:, 0, 0])


def test_scales(cat: Tensor) -> None:
    network = bright()
    own, common = (
        activation_map(cat, network, "1", 1, bare=True, scale=scale) for scale in ("own", "layer")
    )
    assert own.maximum == common.maximum
    assert own.image.sum() > 1.2 * common.image.sum(), "the other filter is twice as strong"
    silent = activation_map(cat, network, "1", 2)
    assert (silent.status, silent.maximum, silent.active) == ("dead", 0, 0)
    assert silent.mean == 0
    below = activation_map(cat, network, "0", 2, signs="both")
    assert below.maximum < -5 and below.status == "ok"


@pytest.mark.parametrize("width", [16, 48, 300])
def test_a_scale_fits_below(width: int) -> None:
    """Words are seen to their end: what is too narrow for them is magnified."""
    picture, words = torch.zeros(3, 20, width), "-1.2e+05 at x 1234, y 1234"
    made = with_scale(picture, (0, 5842.0), words, (4, 3), 2000.0)
    times = {16: 7, 48: 3, 300: 1}[width]
    assert made.shape[2] == times * width and 10 <= made.shape[1] - times * 20 <= 60
    strip = made[:, 20 * times :]
    assert float(strip.max()) == 1 and float(strip.std()) > 0.05
    assert made[:, : 20 * times].any(), "there is a ring"
    rows = (strip[:, strip.shape[1] // 2 :].amin(0) < 0.5).any(0)
    assert not rows[-1], "the last letter is whole"


def test_numbers_are_short() -> None:
    numbers = (0, 5842.3, 58.42, 0.05842, 0.0000584, 5842000, -3.5)
    told = ["0", "5842", "58.4", "0.0584", "5.8e-05", "5.8e+06", "-3.5"]
    assert [short(number) for number in numbers] == told


@pytest.mark.parametrize("channels", [1, 4])
def test_networks_of_other_images_have_maps_in_colour(channels: int, tmp_path: Path) -> None:
    network = bright(channels)
    photo = dotted(22, 38, channels)
    for overlay in (False, True):
        made = activation_map(photo, network, "1", 0, overlay=overlay)
        assert made.image.shape[0] == 3 and "bands" not in made.settings
        saved = made.save(tmp_path / "map.png")
        assert Image.open(saved).mode == "RGB" and not saved.with_suffix(".npy").exists()
        times = made.image.shape[2] // photo.shape[3]
        shown = np.asarray(Image.open(saved))[22 * times, 38 * times]
        assert float(shown.std()) > 5, "a colour"
    tile = Tile(made.image, "0", bands=made.settings.get("bands"))
    sheet = np.asarray(make_sheet([("1", [tile])])).astype(int)
    assert (sheet.max(2) - sheet.min(2)).max() > 100


def test_mistakes_are_told(cat: Tensor) -> None:
    with pytest.raises(TextonError, match="no channel 3: the layer has 0 to 2"):
        activation_map(cat, bright(), "1", 3)
    with pytest.raises(TextonError, match="unknown scale 'x'"):
        activation_map(cat, bright(), "1", 0, scale="x")


@pytest.mark.slow
def test_the_command(run: Run) -> None:
    told = run("map", CAT, "relu2_1:4,17", "relu1_1:top1", "--overlay", "--size", 48, "--json")
    assert told.code == 0, told.err
    made = json.loads(told.out)
    assert made["image"] == "chelsea-relu2_1-4+17_relu1_1-top1-overlay-map.png"
    assert [unit["layer"] for unit in made["units"]] == ["relu2_1", "relu2_1", "relu1_1"]
    assert all(unit["maximum"] > 0 for unit in made["units"])
    assert "strongest" in run("info", made["image"]).out
    again = run("map", CAT, "relu2_1:all", "--size", 48, "-o", "all.png", "--bare")
    assert again.code == 0 and Image.open("all.png").width > 16 * 48
    assert_refused(run("map", CAT, "relu9:4"), "no layer 'relu9'")
