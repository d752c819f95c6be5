"""A filter's parts: what its inputs add up to is what the network computes."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
import torch
from torch import nn

from tests.helpers import EXAMPLES, Run, assert_refused
from texton.errors import TextonError
from texton.methods.filter_parts import parts
from texton.methods.parts.composition import contributions, strongest_places, wiring_of
from texton.network.device import choose_compute
from texton.network.network import INPUT, Network

CPU = choose_compute("cpu").exact()


def _seeded(make: Callable[[], nn.Module]) -> Network:
    torch.manual_seed(0)
    module = make()
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.normal_(part.weight)
            nn.init.normal_(part.bias)
            nn.init.normal_(part.running_mean)
            nn.init.uniform_(part.running_var, 0.5, 2)
    return Network(module)


def _plain() -> nn.Module:
    last = nn.Conv2d(6, 4, 3, padding=1, stride=2)
    return nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), last, nn.ReLU())


def _normed() -> nn.Module:
    first, last = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 4, 3, dilation=2, bias=False)
    return nn.Sequential(first, nn.BatchNorm2d(6), nn.ReLU(), last, nn.BatchNorm2d(4), nn.ReLU())


def _grouped() -> nn.Module:
    last = nn.Conv2d(6, 4, 3, padding=1, groups=2, padding_mode="reflect")
    return nn.Sequential(nn.Conv2d(3, 6, 1), nn.ReLU(), last, nn.ReLU())


class Same(nn.Conv2d):
    """As EfficientNet-lite pads: by a module inside the convolution."""

    def __init__(self) -> None:
        super().__init__(6, 4, 3, stride=2)
        self.static_padding = nn.ZeroPad2d((0, 1, 0, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.conv2d(self.static_padding(x), self.weight, self.bias, self.stride)


class Identity(nn.Module):
    """A library's own."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


class Pointwise(nn.Conv2d):
    """As EfficientNet-lite's convolutions that need no padding."""

    def __init__(self) -> None:
        super().__init__(6, 4, 1)
        self.static_padding = Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.conv2d(self.static_padding(x), self.weight, self.bias)


def _pointwise() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), Pointwise(), nn.ReLU())


class Own(nn.Conv2d):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x * 2)


def _same() -> nn.Module:
    first = nn.Conv2d(3, 6, 3, padding=1)
    return nn.Sequential(first, nn.ReLU(), nn.Identity(), Same(), nn.ReLU())


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 3, 3, padding=1)
        self.relu, self.three = nn.ReLU(), nn.Conv2d(3, 3, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        a = self.one(x)
        out: torch.Tensor = self.three(self.relu(a + self.two(a)) * 2)
        return out


@pytest.mark.parametrize("make", [_plain, _normed, _grouped, _same, _pointwise])
def test_contributions_and_bias_are_the_pre_activation(make: Callable[[], nn.Module]) -> None:
    network = _seeded(make)
    image = torch.rand(1, 3, 15, 17, generator=torch.Generator().manual_seed(1))
    layer = list(network.layers)[-1]
    wiring = wiring_of(network, layer)
    entering = network.encode(image, layer + INPUT)[layer + INPUT]
    for channel, row, column in ((0, 0, 0), (1, 2, 3), (3, 4, 5)):  # a border among them
        found = contributions(network, wiring, channel, [(image, row, column)], CPU)
        total = float(found.mean.sum() + wiring.bias[channel])
        assert total == pytest.approx(float(entering[0, channel, row, column]), abs=1e-4)
        assert found.added - found.taken == pytest.approx(float(found.mean.sum()), abs=1e-5)
        order = [found.of(one) for one in (*found.adding, *reversed(found.taking))]
        assert order == sorted(order, reverse=True)
        assert len(found.adding) + len(found.taking) == int((found.mean != 0).sum())


def test_a_group_reads_its_own_inputs() -> None:
    wiring = wiring_of(_seeded(_grouped), "3")
    assert list(wiring.inputs(1)) == [0, 1, 2] and list(wiring.inputs(2)) == [3, 4, 5]


def test_the_source_is_the_layer_that_the_convolution_reads() -> None:
    network = _seeded(_normed)
    assert wiring_of(network, "5").source == "2"
    assert wiring_of(network, "1").source == ""  # the image


def test_the_strongest_place_is_the_maximum_of_the_map() -> None:
    network = _seeded(_plain)
    images = [torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(s)) for s in (1, 2)]
    value, (image, row, column) = strongest_places(network, "3", [1], images, CPU)[1][0]
    codes = [network.encode(one, "3")["3"][0, 1] for one in images]
    assert value == pytest.approx(max(float(code.max()) for code in codes))
    assert float(network.encode(image, "3")["3"][0, 1, row, column]) == pytest.approx(value)


def test_what_has_no_parts_is_refused_in_one_line(net: Network) -> None:
    network = _seeded(Residual)
    for name, says in (("relu", "added or joined"), ("three", "reads no single layer")):
        with pytest.raises(TextonError, match=says):
            wiring_of(network, name)
    assert wiring_of(_seeded(_same), "4").source == "1"  # not the identity between
    with pytest.raises(TextonError, match="computes in its own way"):
        wiring_of(Network(nn.Sequential(Own(3, 2, 3), nn.ReLU())), "1")
    with pytest.raises(TextonError, match="ask for what it pools, relu2_2"):
        wiring_of(net, "pool2")


def test_parts_of_a_written_filter() -> None:
    """One filter adds input 0 and subtracts input 1: those are its parts, in that order."""
    module = nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU(), nn.Conv2d(3, 1, 1), nn.ReLU())
    with torch.no_grad():
        module[0].weight.copy_(torch.eye(3)[:, :, None, None])
        module[0].bias.zero_()
        module[2].weight.copy_(torch.tensor([2.0, -1.0, 0.0]).reshape(1, 3, 1, 1))
        module[2].bias.zero_()
    found = parts(Network(module), "3", 0, EXAMPLES / "coffee.jpg", steps=1, edge=32, count=2)
    told = {one["channel"]: one["adds"] for one in found.settings["parts"]}
    assert list(told) == [0, 1] and told[0] > 0 > told[1]
    assert found.half == 1 and found.against == pytest.approx(-told[1] / told[0])
    assert found.image.shape[0] == 3


@pytest.mark.slow
def test_command(run: Run) -> None:
    words = ("parts", "relu1_2:3", "--steps", 2, "--edge", 32, "--count", 2, "--json")
    told = run(*words, "--from", EXAMPLES / "chelsea.jpg", "-o", "p.png")
    assert told.code == 0, told.err
    made = json.loads(told.out)
    assert made["settings"]["reads"] == "relu1_1"
    assert sum(one["adds"] > 0 for one in made["settings"]["parts"]) >= 2
    assert_refused(run(*words), "--from")
    assert_refused(run(*words, "--from", "nowhere"), "nowhere")
