"""Where units lie: what a unit sees, found by gradient, is centred where it is said to be."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from texton import Network
from texton.network.placing import Placing, placing


def conv(*how: int, **more: object) -> nn.Conv2d:
    return nn.Conv2d(*how, **more)  # type: ignore[arg-type]


CHAINS: dict[str, Callable[[], nn.Module]] = {
    "VGG's": lambda: nn.Sequential(conv(1, 2, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2)),
    "ResNet's": lambda: nn.Sequential(conv(1, 2, 7, 2, 3), nn.ReLU(), nn.MaxPool2d(3, 2, 1)),
    "unpadded": lambda: nn.Sequential(conv(1, 2, 5), nn.ReLU(), nn.MaxPool2d(3, 2), conv(2, 2, 3)),
    "same": lambda: nn.Sequential(conv(1, 2, 4, padding="same"), nn.AvgPool2d(2)),
    "dilated": lambda: nn.Sequential(conv(1, 2, 3, dilation=3), conv(2, 2, 2, 2)),
    "oblong": lambda: nn.Sequential(conv(1, 2, (1, 5), (1, 3)), conv(2, 2, (4, 2), (2, 1), (1, 0))),
}


class Residual(nn.Module):
    """A sum and a lopsided padding, as EfficientNets have it; a gate over the whole image."""

    def __init__(self, gated: bool = False) -> None:
        super().__init__()
        self.first, self.second = conv(1, 2, 3, 2), conv(2, 2, 3, padding=1)
        self.last = nn.Identity()
        self.gated = gated

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(F.pad(x, (0, 1, 0, 1)))
        x = x + self.second(x)
        if self.gated:
            x = x * F.adaptive_avg_pool2d(x, 1).sigmoid()
        out: Tensor = self.last(x.relu() + x)
        return out


def seen(module: nn.Module, row: int, column: int) -> tuple[float, float]:
    """The middle of the pixels that a unit's gradient reaches."""
    pixels = torch.rand(1, 1, 60, 60, dtype=torch.float64, requires_grad=True)
    for weight in module.parameters():
        weight.data = torch.rand_like(weight) + 0.1
    code = module.double()(pixels)
    (slope,) = torch.autograd.grad(code[0, 0, row, column], pixels)
    middle = []
    for axis in (2, 3):
        hit = slope.abs().sum((0, 1, 5 - axis)).nonzero().flatten().tolist()
        middle.append((hit[0] + hit[-1]) / 2)
    return middle[0], middle[1]


@pytest.mark.parametrize("name", CHAINS)
def test_a_chain_is_added_up(name: str) -> None:
    module = CHAINS[name]()
    network = Network(module, channels=1)
    last = list(network.layers)[-1]
    code = module(torch.zeros(1, 1, 60, 60)).shape[2:]
    placed = placing(network, last, (60, 60), tuple(code))
    assert placed.exact
    for row, column in ((4, 5), (5, 4)):
        expected = seen(nn.Sequential(*map(averaged, CHAINS[name]())), row, column)
        assert placed.pixel(row, column) == expected
        assert placed.nearest(*expected, *code) == (row, column)


def averaged(part: nn.Module) -> nn.Module:
    """A max pool's gradient reaches one of what it sees: an average's reaches all."""
    told = isinstance(part, nn.MaxPool2d)
    return nn.AvgPool2d(part.kernel_size, part.stride, part.padding) if told else part


@pytest.mark.parametrize("gated", [False, True])
def test_what_is_no_chain_is_measured(gated: bool) -> None:
    network = Network(Residual(gated), channels=1)
    placed = placing(network, "last", (60, 60), (30, 30))
    assert placed.exact and placed.strides == (2, 2)
    assert placed.pixel(7, 9) == seen(Residual(), 7, 9)
    assert placing(network, "last", (60, 60), (30, 30)) is placed, "once a network"


def test_rows_may_be_padded_otherwise_than_columns() -> None:
    def padded() -> nn.Module:
        return nn.Sequential(nn.ZeroPad2d((0, 3, 1, 2)), conv(1, 2, 4, 3), conv(2, 2, 2))

    placed = placing(Network(padded(), channels=1), "2", (60, 60), (19, 19))
    assert placed.exact and placed.pixel(7, 5) == seen(padded(), 7, 5)


def test_padding_keeps_units_apart() -> None:
    """As EfficientNets are written: a layer that pads, and in it a convolution that does not."""

    class Padded(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = conv(1, 2, 3, 4, 1)
            self.pads = nn.ModuleList(nn.ZeroPad2d(2) for _ in range(3))
            self.convs = nn.ModuleList(conv(2, 2, 5) for _ in range(3))
            self.last = nn.Identity()

        def forward(self, x: Tensor) -> Tensor:
            x = self.first(x)
            for pad, wide in zip(self.pads, self.convs, strict=True):
                x = x + wide(pad(x))
            out: Tensor = self.last(x)
            return out

    network = Network(Padded(), channels=1)
    assert {layer.strides for layer in network.layers.values()} == {(4, 4)}
    placed = placing(network, "last", (60, 60), (15, 15))
    assert placed.exact and placed.pixel(7, 7) == seen(Padded(), 7, 7)


def test_units_that_see_everything_lie_evenly() -> None:
    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.patches, self.last = conv(1, 2, 8, 8), nn.Identity()

        def forward(self, x: Tensor) -> Tensor:
            x = self.patches(x)
            out: Tensor = self.last(x + x.flatten(2).softmax(2).sum(2)[..., None, None])
            return out

    placed = placing(Network(Mixed(), channels=1), "last", (64, 32), (8, 4))
    assert placed == Placing((3.5, 3.5), (8, 8), exact=False)


def test_the_papers_network(net: Network) -> None:
    assert placing(net, "relu1_2", (64, 64), (64, 64)) == Placing((0, 0), (1, 1))
    assert placing(net, "relu5_4", (64, 64), (4, 4)) == Placing((7.5, 7.5), (16, 16))
    assert placing(net, "relu5_4", (64, 64), (4, 4)).nearest(999, -5, 4, 4) == (3, 0)
