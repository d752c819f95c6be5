"""``texton check``: what is seen in somebody's network, in one screen, and where it fails."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.helpers import Run
from texton import Network, TextonError
from texton.cli.checking import seen_in, trial_picture, try_filter

OWN = """
import torch
from torch import nn

class Odd(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2))
        self.aux = nn.Conv2d(8, 4, 1)
        self.cut = nn.Conv2d(8, 4, 1)
        self.fc = nn.Linear(4, 10)

    def forward(self, x):
        return self.fc(self.cut(self.body(x).detach()).mean((2, 3)))

class Fixed(Odd):
    image_size = (32, 48)

    def forward(self, x):
        assert x.shape[2:] == (32, 48), "wrong size"
        return self.body((x - 0.5) / 0.25)

class Detached(Odd):
    def forward(self, x):
        return self.body(x.detach())

class Fails(Odd):
    def forward(self, x):
        raise ValueError("no forward today")

class Nan(Odd):
    def forward(self, x):
        return self.body(x * float("nan"))
"""


@pytest.fixture
def own(tmp_path: Path) -> str:
    (tmp_path / "own.py").write_text(OWN)
    return "own.py"


@pytest.mark.works(
    "`texton check NETWORK`",
    "in one screen: the input that is assumed or seen, layers, which can be inverted and why "
    "others cannot, what was found in a checkpoint, three steps of one filter",
)
def test_what_is_seen_is_told(own: str, run: Run, tmp_path: Path) -> None:
    namespace: dict[str, Any] = {}
    exec(OWN, namespace)
    state = {f"model.{key}": x for key, x in namespace["Odd"]().state_dict().items()}
    torch.save({"state_dict": state, "epoch": 3}, tmp_path / "w.ckpt")
    told = run("check", f"{own}:Odd", "--weights", "w.ckpt")
    assert told.code == 0, told.err
    lines = told.out.splitlines()
    assert len(lines) < 24 and max(map(len, lines)) < 160
    for expected in (
        "own.py:Odd: Odd, 346 weights",
        "assumed mean 0, std 1, input_range 1, channels 3",
        "of many sizes",
        "5 (2 conv, ",
        "4 can be",
        "not 1, no gradient passes to the image: cut",
        "1, a tensor of 2 axes: fc",
        "1, never run on an image: aux",
        "the error falls",
        "s a step (cpu, ",
        "texton filter PHOTO body.1:",
        "w.ckpt",
        "model.",
    ):
        assert expected in told.out, (expected, told.out)
    made = json.loads(run("check", f"{own}:Odd", "--json").out)
    assert made["layers"]["without"] == {"no gradient passes to the image": ["cut"]}
    assert made["layers"]["count"] == 5 and made["layers"]["filters"] == 12
    trial = made["trial"]
    assert len(trial["errors"]) == 4 and trial["falls"] and trial["seconds"] > 0
    assert made["input"]["channels"] == 3 and made["size"] is None


def test_the_command_that_it_ends_with_works(own: str, run: Run, tmp_path: Path) -> None:
    from PIL import Image

    Image.new("RGB", (40, 32), (90, 140, 200)).save(tmp_path / "photo.png")
    last = run("check", f"{own}:Odd").out.splitlines()[-1].split()
    assert last[:4] == ["next", "texton", "filter", "PHOTO"]
    assert run("filter", "photo.png", *last[4:], "--steps", 2).code == 0


def test_a_network_of_one_size_that_normalises(own: str, run: Run) -> None:
    told = run("check", f"{own}:Fixed", "--json")
    assert told.code == 0, told.err
    made = json.loads(told.out)
    assert made["size"] == [32, 48] and made["trial"]["size"] == [32, 48]
    assert made["input"]["inside"].startswith("normalises images itself (mean 0.5, std 0.25)")
    assert "48×32 pixels alone" in run("check", f"{own}:Fixed").out


@pytest.mark.works(
    "`texton check` of a network that fails", "exit code 2, one line, and what was found before it"
)
@pytest.mark.parametrize(
    ("name", "says"),
    [("Fails", "no forward today"), ("Detached", "no gradient"), ("Nan", "finite")],
)
def test_where_it_fails_the_line_is_told(name: str, says: str, own: str, run: Run) -> None:
    told = run("check", f"{own}:{name}")
    assert told.code == 2
    assert told.err.startswith("error: ") and told.err.count("\n") == 1 and says in told.err
    assert f"own.py:{name}: {name}, 346 weights" in told.out
    plain = run("check", f"{own}:{name}", "--json")
    assert plain.code == 2 and plain.out == ""


def test_silent_layers_are_told_apart_and_not_tried() -> None:
    module = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU())
    with torch.no_grad():
        module[2].bias.fill_(-100)
    network = Network(module, channels=1)
    picture = trial_picture(network)
    assert picture.shape[1] == 1 and picture.min() == 0 and picture.max() == 1
    seen = seen_in(network, picture)
    assert seen.silent == ("2", "3") and seen.inverted == ("0", "1", "2", "3")
    assert try_filter(network, picture, seen, "cpu").layer == "1"
    with torch.no_grad():
        module[0].bias.fill_(-100)
    asleep = Network(module, channels=1)
    with pytest.raises(TextonError, match="can be inverted: silent on noise"):
        try_filter(asleep, picture, seen_in(asleep, picture), "cpu")


def test_nothing_to_invert_is_an_error() -> None:
    network = Network(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()))
    picture = trial_picture(network)
    seen = seen_in(network, picture)
    without = {"no gradient": list(seen.names)}
    lost = type(seen)(seen.names, seen.filters, (), (), without, {})
    with pytest.raises(TextonError, match="no layer of custom can be inverted: no gradient"):
        try_filter(network, picture, lost, "cpu")
