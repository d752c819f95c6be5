"""Filters whose tuning is known, because it was written into their weights."""

from __future__ import annotations

import json
import math

import pytest
import torch
from torch import nn

from tests.helpers import Run, assert_refused
from texton.errors import TextonError
from texton.methods.parts.stimuli import COLOURS, hue_step, make_stimuli
from texton.methods.parts.tuned import Tuning, tune
from texton.methods.tuning import METHOD, tuning
from texton.network.device import choose_compute
from texton.network.network import Network

BARS, LYING, RED, LIGHT, DEAD = range(5)
PERIOD = 9.0


def _gabor(orientation: float, side: int = 13) -> torch.Tensor:
    at = torch.arange(side) - side // 2
    down, right = torch.meshgrid(at, at, indexing="ij")
    angle = math.radians(orientation)
    across = right * math.sin(angle) + down * math.cos(angle)
    wave = torch.cos(2 * math.pi * across / PERIOD)
    window = torch.exp(-(down**2 + right**2) / (2 * 3.0**2))
    kernel = wave * window
    return kernel - window * (kernel.sum() / window.sum())


class Known(nn.Module):
    """Bars that stand, bars at 22.5°, red against cyan, light, and silence."""

    def __init__(self, channels: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, 5, 13, padding=6)
        self.relu = nn.ReLU()
        with torch.no_grad():
            self.conv.weight.zero_()
            self.conv.bias.zero_()
            self.conv.weight[BARS] = _gabor(90)
            self.conv.weight[LYING] = _gabor(22.5)
            if channels == 3:
                self.conv.weight[RED, :, 6, 6] = hue_step(0)
            self.conv.weight[LIGHT, :, 6, 6] = 1.0
            self.conv.bias[LIGHT] = -channels / 2
            self.conv.bias[DEAD] = -1.0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.relu(self.conv(x))
        return out


@pytest.fixture(scope="module")
def known() -> Tuning:
    return tune(Network(Known()), ["relu"], choose_compute("cpu"))["relu"]


def test_stimuli_are_pictures_of_one_mean_and_one_contrast() -> None:
    stimuli = make_stimuli(3, 36)
    assert 180 <= len(stimuli.images) <= 260
    assert stimuli.images.min() >= 0 and stimuli.images.max() <= 1
    fields = stimuli.images[stimuli.fields][:, :, 0, 0] - 0.5
    assert len(fields) == len(COLOURS)
    assert torch.allclose(fields.norm(dim=1), fields[0].norm().expand(len(fields)), atol=1e-5)
    assert fields[:12].mean(1).abs().max() < 1e-6  # hues are no lighter than grey
    assert fields[0].argmax() == 0 and fields[4].argmax() == 1 and fields[8].argmax() == 2
    assert len(make_stimuli(1, 36).images) < 110  # no colours without three channels


def test_orientation_and_period_are_those_of_the_weights(known: Tuning) -> None:
    for channel, orientation in ((BARS, 90), (LYING, 22.5)):
        found = known.figures(channel)
        assert found["orientation"] == pytest.approx(orientation, abs=3)
        assert found["period"] == pytest.approx(PERIOD, rel=0.1)
        assert found["selectivity"] is not None and found["selectivity"] > 0.6
        assert found["colour"] is not None and found["colour"] < 0.05


def test_colours_are_those_of_the_weights(known: Tuning) -> None:
    red, light = known.figures(RED), known.figures(LIGHT)
    assert red["hue"] is not None and min(red["hue"], 360 - red["hue"]) < 5
    assert red["opponency"] == pytest.approx(1, abs=0.01)
    assert red["colour"] is not None and red["colour"] > 0.9
    assert light["colour"] is not None and light["colour"] < 0.1
    assert red["selectivity"] is not None and red["selectivity"] < 0.1  # one pixel has none


def test_a_silent_filter_has_no_tuning(known: Tuning) -> None:
    assert set(known.figures(DEAD).values()) == {None}
    assert tuning(Network(Known(1), channels=1), "relu", DEAD).status == "dead"


def test_without_colours_there_is_no_hue() -> None:
    found = tuning(Network(Known(1), channels=1), "relu", BARS)
    assert found.hue is None and found.colour is None
    assert found.orientation == pytest.approx(90, abs=3)
    assert found.image.shape[0] == 3  # a sheet, whatever images the network takes


def test_a_layer_or_channel_that_is_not_there_is_refused() -> None:
    with pytest.raises(TextonError, match="channel 5"):
        tuning(Network(Known()), "relu", 5)


@pytest.mark.slow
def test_command(run: Run) -> None:
    told = run("tuning", "relu1_1:0,5", "-o", "t.png", "--json", "--device", "cpu")
    assert told.code == 0, told.err
    units = json.loads(told.out)["units"]
    assert {figure.key for figure in METHOD.figures} <= units[0].keys()
    assert units[0]["selectivity"] > 0.1 > units[1]["selectivity"]  # an edge, and a colour
    assert_refused(run("tuning", "relu1_1:top5"), "name channels")
