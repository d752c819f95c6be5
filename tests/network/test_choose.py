"""Which layers and channels a text means: one grammar for every command."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import texton
from tests.helpers import EXAMPLES, Run
from texton.errors import TextonError
from texton.network.choose import Filters, choose_channels, choose_layers, parse_filters

CAT = EXAMPLES / "chelsea.jpg"
TEXTS = ["4", "0-3", "0,7,31", "all", "top5", "0-3,top8", "top2,0-1", " 3 , 1", "63,top1,0-2"]


def test_layers_are_chosen_by_name_and_pattern(net: texton.Network) -> None:
    assert choose_layers("relu*_2, conv5_4", net) == [
        *(f"relu{block}_2" for block in range(1, 6)),
        "conv5_4",
    ]
    everything = choose_layers(None, net)
    assert len(everything) == 16 and everything[0] == "relu1_1" and everything[-1] == "relu5_4"
    assert sum(net.layer(name).channels for name in everything) == 5504


def test_channels_as_far_as_a_layer_has_them(net: texton.Network, cat: torch.Tensor) -> None:
    photos = {"cat": cat}
    chosen = choose_channels("60-70,3", ["relu1_1", "relu2_1"], net, photos)
    assert chosen["relu1_1"] == [3, 60, 61, 62, 63] and len(chosen["relu2_1"]) == 12
    assert len(choose_channels("all", ["relu3_1"], net, photos)["relu3_1"]) == 256
    top = choose_channels("top3", ["relu2_1"], net, photos)["relu2_1"]
    energy = net.encode(cat, "relu2_1")["relu2_1"].sum((0, 2, 3))
    assert sorted(top) == sorted(energy.argsort(descending=True)[:3].tolist())


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_means_the_same_filters_everywhere(
    text: str, net: texton.Network, cat: torch.Tensor
) -> None:
    (group,) = parse_filters([f"relu1_2:{text}"], net, cat)
    assert sorted(group.channels) == choose_channels(text, ["relu1_2"], net, {"": cat})["relu1_2"]


def test_filters_come_in_the_order_asked_for_and_once(
    net: texton.Network, cat: torch.Tensor
) -> None:
    energy = net.encode(cat, "relu1_2")["relu1_2"].sum((0, 2, 3))
    top = energy.argsort(descending=True)[:3].tolist()
    assert parse_filters(["relu1_2:top3"], net, cat) == [Filters("relu1_2", tuple(top))]
    assert parse_filters(["relu1_1:5,2-3,3", "relu2_1:1", "relu1_1:0"], net, cat) == [
        Filters("relu1_1", (5, 2, 3, 0)),
        Filters("relu2_1", (1,)),
    ]


def test_layers_of_a_pattern_give_what_they_have(net: texton.Network, cat: torch.Tensor) -> None:
    assert parse_filters(["relu[12]_1:62-100"], net, cat) == [
        Filters("relu1_1", (62, 63)),
        Filters("relu2_1", tuple(range(62, 101))),
    ]
    assert [group.layer for group in parse_filters(["relu*_1:100"], net, cat)] == [
        f"relu{block}_1" for block in range(2, 6)
    ]


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("relu1_1:64", "relu1_1 has no channel 64: it has 0 to 63"),
        ("relu1_1:60-64", "relu1_1 has no channel 64"),
        ("relu1_1:top65", "relu1_1 has 64 filters, ask for 1 to 64"),
        ("relu1_1:top0", "ask for 1 to 64"),
        ("relu1_1:3-1", "counts down: write 1-3"),
        ("relu1_1:", "is not understood"),
        ("relu1_1:1,,2", "is not understood"),
        ("relu1_1:all,x", "is not understood"),
        ("relu1_1", "names no channels"),
        ("relu*_1", "names no channels"),
        ("relu1_7:1", "did you mean"),
        ("relux*_1:1", "no layer of vgg19 matches 'relux*_1'"),
        (":1", "no layer"),
        ("relu*_1:600", "relu4_1 has none of the channels 600: it has 0 to 511"),
    ],
)
def test_what_is_not_understood_says_what_would_be(
    spec: str, says: str, net: texton.Network, cat: torch.Tensor
) -> None:
    with pytest.raises(TextonError) as told:
        parse_filters([spec], net, cat)
    assert says in str(told.value)


@pytest.mark.slow
def test_both_commands_take_the_same_text(run: Run) -> None:
    quick = ("--size", 32, "--steps", 1)
    sheet = run("filter", CAT, "relu[12]_1:0-1,top2", "--json", "-o", "x.png", *quick)
    assert sheet.code == 0, sheet.err
    drawn = {(unit["layer"], unit["channel"]) for unit in json.loads(sheet.out)["units"]}
    options = ("--layers", "relu[12]_1", "--channels", "0-1,top2", "--workers", 1)
    built = run("atlas", "build", CAT, "--out", "a", *options, *quick)
    assert built.code == 0, built.err
    layers = json.loads(Path("a/manifest.json").read_text())["layers"]
    assert drawn == {(layer["name"], channel) for layer in layers for channel in layer["channels"]}


def test_the_grammar_needs_no_torch() -> None:
    code = "import sys, texton.network.choose; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
