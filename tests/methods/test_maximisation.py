"""Activation maximisation: from noise, of filters that answer, and of those that are silent."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tests.evidence import scans
from tests.helpers import EXAMPLES, Run, Sleepy, assert_refused
from texton import Network, TextonError, load_network
from texton.evidence.format import Evidence
from texton.images.files import read_image
from texton.methods.maximisation import METHOD, MaximiseOptions, maximize
from texton.methods.method import Task
from texton.methods.parts.classifier import class_numbers
from texton.methods.parts.looking import field_of
from texton.methods.parts.tints import Begun, further
from texton.methods.result import Unit

CAT = EXAMPLES / "chelsea.jpg"


@pytest.fixture(scope="module")
def stripes() -> Network:
    """Filter 0 answers red upright stripes of 8 pixels, 1 green lying ones, 2 their difference
    from it; 3 is silent without light."""
    conv = nn.Conv2d(3, 4, 8, padding=4)
    wave = (torch.arange(8) * torch.pi / 4).sin()
    with torch.no_grad():
        conv.weight.zero_()
        conv.bias.copy_(torch.tensor([0, 0, 0, -2.5]))
        conv.weight[0, 0] = wave.expand(8, 8) / 16
        conv.weight[1, 1] = wave[:, None].expand(8, 8) / 16
        conv.weight[2, 1] = -wave.expand(8, 8) / 16
        conv.weight[3] = 1 / 64
    module = nn.Sequential(conv, nn.ReLU(), nn.AvgPool2d(2))
    return Network(module, name="stripes", mean=0.5, std=0.5)


def energy_by(image: torch.Tensor, colour: int) -> tuple[float, float]:
    """How much a colour varies along rows and along columns."""
    plane = image[colour]
    return float(plane.diff(dim=1).abs().mean()), float(plane.diff(dim=0).abs().mean())


def test_a_filter_of_a_colour_gets_its_colour() -> None:
    """From grey, eight steps would not move the mean; a filter of edges stays as it was found."""
    conv = nn.Conv2d(3, 2, 3, bias=False)
    with torch.no_grad():
        conv.weight.zero_()
        conv.weight[0, :, 1, 1] = torch.tensor([-1.0, 1.0, -1.0])
        conv.weight[1, :, 1, 0], conv.weight[1, :, 1, 2] = 1.0, -1.0
    network = Network(nn.Sequential(conv, nn.ReLU()), mean=0.5, std=0.5)
    red, green, blue = maximize(network, "1", 0, size=32, steps=8).image.mean((1, 2)).tolist()
    assert green > 0.8 and red < 0.2 and blue < 0.2
    made = maximize(network, "1", 0, size=32, steps=9)
    assert made.steps == 9  # both trials are of them
    assert len(made.trace) == 7 and made.starts == 2
    edges = maximize(network, "1", 1, size=32, steps=9)
    assert edges.steps == len(edges.trace) == 9 and edges.starts == 1
    told = MaximiseOptions(steps=9)
    both = METHOD.make(Task(network, (Unit("1", 1), Unit("1", 0)), {}, told, "cpu", 32))
    for beside, alone in zip(both, (edges, made), strict=True):
        assert torch.allclose(beside.image, alone.image, atol=2 / 255)
    assert maximize(network, "1", 0, size=32, steps=7).starts == 1  # too few to try any


def test_the_picture_shows_what_the_filter_answers(stripes: Network) -> None:
    red = maximize(stripes, "1", 0, size=48, steps=60)
    along, across = energy_by(red.image, 0)
    assert along > 1.5 * across
    green = maximize(stripes, "1", 1, size=48, steps=60)
    along, across = energy_by(green.image, 1)
    assert across > 1.3 * along
    assert red.activation > 2 and 0.7 < red.transfer < 1.1
    assert len(red.trace) == 60 and red.trace[-1] < 0 and red.trace[-1] < red.trace[10]
    assert 0.05 < float(red.image.std()) < 0.4  # neither grey nor nothing but full colours


def test_same_seed_same_picture(stripes: Network) -> None:
    first = maximize(stripes, "2", 0, size=32, steps=5, seed=3)
    again = maximize(stripes, "2", 0, size=32, steps=5, seed=3)
    other = maximize(stripes, "2", 0, size=32, steps=5, seed=4)
    assert torch.equal(first.image, again.image)
    assert not torch.equal(first.image, other.image)
    assert first.settings["size"] == [32, 32] and "photo_hash" not in first.settings


def test_a_silent_filter_is_warmed_up_and_a_dead_one_named() -> None:
    module = Sleepy()
    with torch.no_grad():
        module.conv.bias[1] = -10  # silent on all that is no brighter than grey
    network = Network(module)
    with pytest.raises(TextonError, match="no channel 3"):
        maximize(network, "relu", 3, size=24)
    dead = maximize(network, "relu", 2, size=24, steps=40)
    assert dead.status == "dead" and dead.activation == 0 and dead.transfer is None
    assert dead.starts >= 2
    woken = maximize(network, "relu", 1, size=24, steps=80)
    assert woken.status == "ok" and woken.activation > 0.1


def test_a_neuron_is_answered_at_its_place_alone(stripes: Network) -> None:
    made = maximize(stripes, "1", 0, size=64, steps=40, at=(16, 40))
    code = stripes.encode(made.image[None], "1")["1"][0, 0]
    row, column = divmod(int(code.argmax()), code.shape[1])
    assert row in range(14, 19) and column in range(38, 43)
    assert float(code[16, 40]) > 4 * float(code.mean())
    with pytest.raises(TextonError, match="65×65 neurons here, none at 99,0"):
        maximize(stripes, "1", 0, size=64, at=(99, 0))
    with pytest.raises(TextonError, match="a row and a column"):
        maximize(stripes, "1", 0, at=(1, 2, 3))


@pytest.mark.slow
def test_a_neuron_far_from_the_middle_is_turned_about_itself() -> None:
    class Sees(nn.Module):
        """A blob of 9 pixels; what sees a hundred turns its views."""

        def __init__(self) -> None:
            super().__init__()
            self.blob = nn.Conv2d(3, 1, 9, padding=4)
            self.far = nn.Conv2d(1, 1, 105, padding=52)
            with torch.no_grad():
                self.blob.weight.copy_(torch.full((1, 3, 9, 9), -1 / 81))
                self.blob.weight[:, :, 2:7, 2:7] = 1 / 25
                self.far.weight.zero_()
                self.far.weight[0, 0, 52, 52] = 1

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen: torch.Tensor = self.far(self.blob(x))
            return seen

    made = maximize(Network(Sees(), mean=0.5), "far", 0, size=64, steps=30, at=(8, 52))
    assert made.transfer is not None and 0.8 < made.transfer < 1.3  # about the middle: 1.7


def test_a_natural_neuron_is_brought_to_life(stripes: Network) -> None:
    told = {"size": 32, "steps": 12, "natural": True, "at": (3, 3)}
    made = [maximize(stripes, "1", 0, seed=seed, **told) for seed in range(4)]
    assert all(x.status == "ok" for x in made)
    both = maximize(stripes, "1", 0, diversity=2, **told)
    assert both.steps == 12 and both.starts in (1, 2, 3)


def test_several_pictures_of_a_filter_are_one_sheet(stripes: Network) -> None:
    made = maximize(stripes, "1", 0, size=32, steps=8, diversity=3)
    assert made.image.shape == (3, 68, 68)
    tiles = [made.image[:, :32, :32], made.image[:, :32, 36:], made.image[:, 36:, :32]]
    assert not torch.equal(tiles[0], tiles[1]) and not torch.equal(tiles[1], tiles[2])
    assert float(made.image[:, 36:, 36:].min()) == 1  # nothing
    assert torch.equal(made.image, maximize(stripes, "1", 0, size=32, steps=8, diversity=3).image)


def test_a_receptive_field_that_is_not_known_is_measured() -> None:
    class Sum(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 5, padding=2)
            self.last = nn.Conv2d(3, 2, 3, padding=1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = self.last(x + self.conv(x))
            return out

    assert field_of(Network(Sum()), "last") == 7


def test_a_direction_is_answered_along_itself(stripes: Network) -> None:
    apart = maximize(stripes, "0", {0: 2.0, 1: -2.0}, size=32, steps=30)
    code = stripes.encode(apart.image[None], "0")["0"].mean((2, 3))[0]
    assert apart.unit.direction == "direction" and apart.activation > 0
    assert float(code[0]) > float(code[1])
    longer = maximize(stripes, "0", {0: 4.0, 1: -4.0}, size=32, steps=30)
    assert torch.equal(apart.image, longer.image) and apart.activation == longer.activation
    with pytest.raises(TextonError, match="finite and not all 0"):
        maximize(stripes, "1", {0: 0.0}, size=32)


class Judge(nn.Module):
    """Three classes: red, green and blue pictures."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1, bias=False)
        with torch.no_grad():
            self.conv.weight.copy_(torch.eye(3)[..., None, None])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x).mean((2, 3))


def test_a_class_is_maximised_where_there_are_any(net: Network) -> None:
    judge = Network(Judge(), name="judge", mean=0.5)
    blue = maximize(judge, class_=2, size=32, steps=60)
    assert str(blue.unit) == "class:2" and blue.activation > 0
    red = maximize(judge, class_=0, size=32, steps=60)
    apart = [float(made.image[2].mean() - made.image[0].mean()) for made in (blue, red)]
    assert apart[0] > 0.02 and apart[1] < -0.02
    with pytest.raises(TextonError, match="no class 3: the network has 0 to 2"):
        maximize(judge, class_="3")
    with pytest.raises(TextonError, match="names 2 classes, and this makes one picture"):
        maximize(judge, class_=[0, "2"])
    with pytest.raises(TextonError, match="has 3 classes: give a number"):
        maximize(judge, class_="goldfish")
    with pytest.raises(TextonError, match=r"vgg19 has no classes.*holds no classifier"):
        maximize(net, class_=281)


@pytest.mark.slow
def test_imagenets_names_are_known() -> None:
    pytest.importorskip("torchvision")
    assert class_numbers(["281", "goldfish", "Beagle"], 1000) == [281, 1, 162]
    with pytest.raises(TextonError, match="did you mean 'goldfish'"):
        class_numbers(["goldfisch"], 1000)


@pytest.mark.slow
def test_rows_of_a_file_take_the_channels_place(run: Run, tmp_path: Path) -> None:
    rows = np.zeros((3, 64), np.float32)
    rows[0, 3], rows[1, [2, 5]], rows[2, 7] = 1, 0.5, -1
    np.save(tmp_path / "d.npy", rows)
    told = ("--steps", 2, "--json")
    for method, words in {"maximize": ("--size", 24), "filter": (CAT, "--size", 48)}.items():
        spec = ("relu1_2:0-1", "--directions", "d.npy", "--each", method)
        made = run(method, *[x for x in words if x == CAT], *spec, *words[-2:], *told)
        assert made.code == 0, made.err
        units = json.loads(made.out)["units"]
        assert [x["direction"] for x in units] == ["row0", "row1"]
        assert Path(units[1]["image"]).name == "relu1_2-1.png"
        again = shlex.split(run("info", units[1]["image"]).out.splitlines()[-1])
        again[again.index("-o") + 1] = "again.png"
        assert run(*again[1:]).code == 0
        assert torch.equal(read_image("again.png"), read_image(units[1]["image"]))
    assert_refused(run("filter", CAT, "relu1_2:2", "--directions", "d.npy"), "not negative")
    assert run("maximize", "relu1_2:2", "--directions", "d.npy", "--size", 24, *told).code == 0
    refused = ("--directions", "d.npy")
    assert_refused(run("maximize", "relu1_2:3", *refused), "has 0 to 2")
    assert_refused(run("maximize", "relu2_1", *refused), "directions of 64 filters: give 128")
    np.save(tmp_path / "d.npy", np.array([{}], dtype=object))
    assert_refused(run("maximize", "relu1_2", *refused), "'d.npy' is no .npy of numbers")
    (tmp_path / "d.npy").write_text("no array")
    assert_refused(run("maximize", "relu1_2", *refused), "'d.npy' is no .npy of numbers")


@pytest.mark.slow
def test_a_direction_is_said_on_a_command_line(run: Run) -> None:
    spec = ("relu1_2", "--direction", "4=1,17=-0.5")
    made = run("maximize", *spec, "--size", 24, "--steps", 2, "--json")
    assert made.code == 0, made.err
    found = json.loads(made.out)
    assert found["units"][0]["direction"] == "4=1,17=-0.5"
    assert found["image"] == "relu1_2-direction4=1,17=-0.5.png"
    assert_refused(run("filter", CAT, *spec), "as `texton maximize` takes them")
    assert_refused(run("maximize", "relu1_2:3", *spec[1:]), "names channels, and so does")
    assert_refused(run("maximize", "relu1_2", "--direction", "64=1"), "no channel 64")
    assert_refused(run("maximize"), "name filters, like relu4_2")
    assert_refused(run("maximize", *spec, "--directions", "d.npy"), "name one of both")


def test_the_command_makes_it_again_from_what_the_picture_says(run: Run) -> None:
    made = run("maximize", "relu1_2:3", "--size", 32, "--steps", 3, "--json")
    assert made.code == 0, made.err
    found = json.loads(made.out)
    assert found["image"] == "relu1_2-3.png" and found["units"][0]["activation"] is not None
    told = run("info", found["image"]).out.splitlines()[-1]
    words = shlex.split(told)
    assert words[:3] == ["texton", "maximize", "relu1_2:3"]
    words[words.index("-o") + 1] = "again.png"
    assert run(*words[1:]).code == 0
    assert torch.equal(read_image("again.png"), read_image("relu1_2-3.png"))


def test_mistakes_are_one_line(run: Run) -> None:
    assert_refused(run("maximize", "relu4_2:top3"), "top3 is of a photograph")
    assert_refused(
        run("maximize", "relu4_2:3", "--preset", "paper"), "use fast, normal, fine or history"
    )
    assert_refused(run("maximize", "relu4_2:3", "--at", "3"), "a row and a column")


def test_a_peak_is_told_in_units_of_the_strongest_patch(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(scans.SOURCE)
    spec = f"{tmp_path / 'net.py'}:make"
    scans.scan(scans.write_pictures(tmp_path / "photos", 3), tmp_path / "found", spec)
    network = load_network(spec)
    made = maximize(network, "4", 1, size=48, steps=4, evidence=tmp_path / "found")
    peak = network.encode(made.image[None], "4")["4"][0, 1].max()
    most = Evidence.open(tmp_path / "found").layer("4").top_value[1, 0]
    assert made.strongest == pytest.approx(float(peak) / float(most), rel=1e-4)
    never = maximize(network, "4", 4, size=48, steps=4, evidence=tmp_path / "found")
    assert never.strongest is None and never.status == "dead"
    other = load_network(f"{tmp_path / 'net.py'}:bare")
    with torch.no_grad():
        other.module[0].weight *= 2
    with pytest.raises(TextonError, match="is of another network"):
        maximize(other, "4", 1, size=48, steps=4, evidence=tmp_path / "found")
    with pytest.raises(TextonError, match="no evidence in"):
        maximize(network, "4", 1, size=48, evidence=tmp_path / "photos")


@pytest.mark.slow
def test_an_atlas_tells_commands_that_make_its_pictures_again(run: Run, tmp_path: Path) -> None:
    words = ("--method", "maximize", "--layers", "relu1_1", "--channels", "0", "--size", 24)
    made = run("atlas", "build", *words, "--steps", 2, "--device", "cpu", "--out", "a")
    assert made.code == 0, made.err
    record = json.loads(next((tmp_path / "a" / "units").rglob("*.json")).read_text())
    again = shlex.split(record["command"])
    assert run(*again[1:]).code == 0
    picture = next((tmp_path / "a" / "units").rglob("*.png"))
    assert torch.equal(read_image(again[-1]), read_image(picture))


def test_a_colour_a_little_ahead_that_does_not_rise_is_left() -> None:
    grey = Begun(torch.zeros(1), 1.9, 16, 1, [-1.9], 1.0)
    for reached, flat, wins in ((2.5, 2.4, False), (2.5, 2.0, True), (3.0, 2.9, True)):
        tinted = Begun(torch.ones(1), reached, 16, 2, [-reached], 1.0)
        best = further(grey, tinted, flat)
        assert best.trace == (tinted if wins else grey).trace
        assert (best.steps, best.starts, best.seconds) == (32, 3, 2.0)


class _Placed(nn.Module):
    """Adds what it learnt of every place, so that it takes images of one size alone."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.relu = nn.Conv2d(3, 2, 3, padding=1), nn.ReLU()
        self.place = nn.Parameter(torch.zeros(1, 2, 224, 224))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.relu(self.conv(x) + self.place)
        return out


def test_flat_colours_are_of_the_one_size_that_a_network_takes() -> None:
    torch.manual_seed(0)
    made = maximize(Network(_Placed()), "relu", 0, size=112, steps=8, preset="fast")
    assert made.image.shape == (3, 224, 224)
