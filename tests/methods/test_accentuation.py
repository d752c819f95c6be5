"""Feature accentuation: begun from a photograph, held by it, of one filter more."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

from tests.helpers import EXAMPLES, Run, assert_refused
from texton import Network, TextonError
from texton.methods.accentuation import accentuate
from texton.methods.parts.accentuating import holding_layer
from texton.solve.canvas import FourierCanvas
from texton.solve.maximise import Held

CAT = EXAMPLES / "chelsea.jpg"


@pytest.fixture(scope="module")
def network() -> Network:
    torch.manual_seed(0)
    first, second = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 4, 7, padding=3)
    parts = [first, nn.ReLU(), second, nn.ReLU(), nn.Conv2d(4, 4, 9, padding=4), nn.ReLU()]
    return Network(nn.Sequential(*parts), name="small", mean=0.5, std=0.5)


@pytest.mark.parametrize("size", [(32, 41), (33, 24)])
def test_a_spectrum_begins_at_a_photograph(cat: torch.Tensor, size: tuple[int, int]) -> None:
    photo = cat[..., : size[0], : size[1]].clone()
    photo[..., 0, 0], photo[..., 0, 1] = 0, 1
    canvas = FourierCanvas.of(photo.repeat(2, 1, 1, 1))
    assert canvas.images().shape == (2, 3, *size)
    assert float((canvas.images() - photo).abs().max()) <= 1 / 255
    grey = FourierCanvas.of(photo[:, :1])
    assert float((grey.images() - photo[:, :1]).abs().max()) <= 1 / 255


def test_the_filter_answers_more_and_the_photograph_stays(
    network: Network, cat: torch.Tensor
) -> None:
    made = accentuate(cat, network, "5", 1, steps=25)
    free = accentuate(cat, network, "5", 1, steps=25, weight=0)
    assert made.activation > 1.05 * made.before
    assert free.activation > made.activation and free.moved > made.moved
    assert made.moved < 0.12 and len(made.trace) == made.steps == 25
    assert made.settings["held_by"] == "1"
    again = accentuate(cat, network, "5", 1, steps=25)
    assert torch.equal(again.image, made.image)


def test_a_direction_and_a_layer_that_holds_may_be_named(
    network: Network, cat: torch.Tensor
) -> None:
    made = accentuate(cat, network, "5", {0: 1.0, 2: -1.0}, steps=3, hold="3")
    assert made.settings["held_by"] == "3" and made.unit.direction == "direction"
    with pytest.raises(TextonError, match="no layer '9'"):
        accentuate(cat, network, "5", 0, hold="9")


def test_what_holds_is_the_distance_to_the_photographs_code() -> None:
    target = torch.rand(1, 2, 3, 3, generator=torch.Generator().manual_seed(0))
    held = Held("x", lambda: target)
    assert float(held({"x": target}, target)) == pytest.approx(0, abs=2e-3)
    assert float(held({"x": 0 * target}, target)) == pytest.approx(1, abs=1e-3)
    half = held({"x": target / 2}, target)
    assert float(half) == pytest.approx(0.5, abs=1e-3)  # no square: it pulls as much from near


def test_an_earlier_layer_that_sees_a_quarter_holds(net: Network, network: Network) -> None:
    assert holding_layer(net, "relu4_2") == "pool2"
    assert holding_layer(net, "conv1_1") == "conv1_1"
    assert holding_layer(network, "5") == "1"


def test_the_command_accentuates(run: Run) -> None:
    made = run("accentuate", CAT, "relu1_2:3", "--size", 48, "--steps", 2, "--json")
    assert made.code == 0, made.err
    found = json.loads(made.out)
    assert found["image"] == "chelsea-relu1_2-3-accentuated.png"
    assert found["units"][0]["before"] is not None
    assert_refused(run("accentuate", CAT, "relu1_2:3", "--hold", "relu9"), "no layer 'relu9'")
