"""Which filters are dead: those that give next to nothing of what their layer could."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

import texton
from tests.helpers import EXAMPLES, Run
from texton import Network
from texton.methods.parts.filter_inversion import FilterInversion
from texton.network.device import choose_compute
from texton.solve.presets import solver_settings

MANY = 40
PHOTO = torch.rand(1, 3, 24, 24, generator=torch.Generator().manual_seed(0))


def saturated(rectifier: nn.Module) -> nn.Sequential:
    """40 filters at their upper end; filter 0 can be raised by 0.5, filter 1 by nothing."""
    conv = nn.Conv2d(3, MANY, 1)
    with torch.no_grad():
        conv.weight.fill_(0.1)
        conv.bias.fill_(6.0)
        conv.weight[0], conv.bias[0] = 0.5 / 3, 0.0
        conv.weight[1], conv.bias[1] = 0.0, -9.0
    return nn.Sequential(conv, rectifier)


@pytest.mark.works(
    "ReLU6, sigmoids and what else saturates", "dead is measured by what is in reach"
)
@pytest.mark.parametrize("rectifier", [nn.ReLU6(), nn.Hardtanh(0, 4)])
def test_a_filter_of_a_saturating_layer_is_dead_by_what_it_can_reach(rectifier: nn.Module) -> None:
    network = Network(saturated(rectifier))
    low, silent, high = texton.invert_filters(PHOTO, network, "1", [0, 1, 2], steps=6)
    assert low.achieved < 0.005 and low.status == "ok"
    assert (silent.achieved, silent.status) == (0.0, "dead")
    assert high.status == "ok"


def test_reach_is_one_where_nothing_saturates_and_a_directions_own() -> None:
    settings, compute = solver_settings(), choose_compute("cpu", torch.float32)
    free = Network(saturated(nn.ReLU()))
    assert free.ceilings == {}
    reach = FilterInversion(PHOTO, free, "1", settings, compute).reach([0, 2])
    assert reach.tolist() == [1.0, 1.0]
    network = Network(saturated(nn.ReLU6()))
    assert set(network.ceilings) == {"1"}
    inversion = FilterInversion(PHOTO, network, "1", settings, compute)
    total = 6.0 * (MANY - 2)  # and what filter 0 adds
    assert inversion.reach([2]).item() == pytest.approx(6 / total, rel=0.01)
    even = torch.zeros(1, MANY)
    even[0, 2:6] = 0.25  # each is asked for a quarter, and gives 6 as well
    assert inversion.reach(even).item() == pytest.approx(4 * 6 / total, rel=0.01)


FILE = """
import torch
from torch import nn
def make():
    conv = nn.Conv2d(3, 60, 1)
    with torch.no_grad():
        conv.weight.fill_(0.1), conv.bias.fill_(6.0)
        conv.weight[0], conv.bias[0] = 0.3 / 3, 0.0
        conv.weight[1], conv.bias[1] = 0.0, -9.0
    return nn.Sequential(conv, nn.ReLU6())
"""


def test_dead_filters_by_the_command_line(run: Run) -> None:
    Path("mine.py").write_text(FILE)
    words = ("filter", EXAMPLES / "chelsea.jpg", "1:0,1", "--size", 24, "--steps", 4, "--json")
    outcome = run(*words, "--network", "mine.py:make")
    assert outcome.code == 0, outcome.err
    assert [unit["status"] for unit in json.loads(outcome.out)["units"]] == ["ok", "dead"]
