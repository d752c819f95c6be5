"""What training wraps around a module: layers are named as inside."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

import texton
from tests.helpers import EXAMPLES, Run
from texton import Network, load_network

CAT = EXAMPLES / "chelsea.jpg"
Wrap = Callable[[nn.Module], nn.Module]


def module() -> nn.Sequential:
    torch.manual_seed(1)
    block = nn.Sequential(nn.Conv2d(4, 4, 3), nn.ReLU())
    return nn.Sequential(OrderedDict(conv=nn.Conv2d(3, 4, 3), relu=nn.ReLU(), block=block))


def compiled(inside: nn.Module) -> nn.Module:
    made = torch.compile(inside, backend="eager")
    assert isinstance(made, nn.Module)
    return made


def compiled_in_place(inside: nn.Module) -> nn.Module:
    inside.compile(backend="eager")
    return inside


def distributed(inside: nn.Module) -> nn.Module:
    """As `DistributedDataParallel` is built, which would want processes to be started."""
    made = nn.parallel.DistributedDataParallel.__new__(nn.parallel.DistributedDataParallel)
    nn.Module.__init__(made)
    made.module = inside
    return made


def a_part(wrap: Wrap) -> Wrap:
    def wrapped(inside: nn.Module) -> nn.Module:
        inside.block = wrap(inside.block)
        return inside

    return wrapped


def two(inside: nn.Module) -> nn.Module:
    return nn.DataParallel(AveragedModel(inside))


def three(inside: nn.Module) -> nn.Module:
    return nn.DataParallel(compiled(AveragedModel(inside)))


SLOW = [
    compiled_in_place,
    compiled,
    three,
    a_part(compiled),
    a_part(three),
]  # they import torch's compiler
QUICK = [nn.DataParallel, distributed, AveragedModel, two]
WRAPS = [
    *(pytest.param(wrap, id=f"quick{i}") for i, wrap in enumerate([*QUICK, a_part(two)])),
    *(pytest.param(wrap, marks=pytest.mark.slow, id=f"slow{i}") for i, wrap in enumerate(SLOW)),
]
MARK = pytest.mark.works(
    "a module under `torch.compile`, DataParallel, DDP or AveragedModel, or with such parts",
    "layers are named as inside; the wrapper is set aside and never changed",
)


@MARK
@pytest.mark.parametrize("wrap", WRAPS)
def test_layers_are_named_as_inside_and_pictures_are_the_same(wrap: Wrap) -> None:
    plain, wrapped = load_network(module()), wrap(module())
    before = copy.copy(dict(wrapped.named_modules()))
    image = torch.rand(1, 3, 24, 24)
    expected = texton.invert_filter(image, plain, "block.1", 2, steps=2).image
    for net in (load_network(wrapped), Network(wrapped)):
        assert list(net.layers) == list(plain.layers)
        assert torch.equal(texton.invert_filter(image, net, "block.1", 2, steps=2).image, expected)
    assert load_network(wrapped).name == "Sequential"
    assert dict(wrapped.named_modules()) == before


@MARK
@pytest.mark.parametrize(
    "wrap",
    [
        pytest.param("torch.compile(net)", marks=pytest.mark.slow),
        "AveragedModel(nn.DataParallel(net))",
    ],
)
def test_through_the_command_line(wrap: str, run: Run, tmp_path: Path) -> None:
    lines = [
        "import torch",
        "from torch import nn",
        "from torch.optim.swa_utils import AveragedModel",
        "def make():",
        "    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())",
        f"    return {wrap}, {{'mean': 0.5}}",
    ]
    (tmp_path / "mine.py").write_text("\n".join(lines))
    words = ("filter", CAT, "1:0", "--size", 24, "--steps", 1, "--network", "mine.py:make")
    assert run(*words, "-o", "x.png").code == 0
    torch.save({"state_dict": nn.Sequential(nn.Conv2d(3, 4, 3)).state_dict()}, "w.pt")
    assert run(*words, "-o", "y.png", "--weights", "w.pt").code == 0
    told = texton.read_settings(tmp_path / "y.png") or {}
    assert told["layer"] == "1" and told["checkpoint"] == "state_dict"


@pytest.mark.parametrize("wrap", WRAPS)
def test_weights_go_into_what_is_inside(wrap: Wrap, tmp_path: Path) -> None:
    torch.manual_seed(2)
    other = module()
    torch.nn.init.ones_(other.block[0].weight)
    torch.save(other.state_dict(), tmp_path / "w.pt")
    torch.save(wrap(copy.deepcopy(other)).state_dict(), tmp_path / "wrapped.pt")
    image = torch.rand(1, 3, 24, 24)
    expected = load_network(other).encode(image, "block.1")["block.1"]
    for file in ("w.pt", "wrapped.pt"):
        for network in (wrap(module()), module()):
            loaded = load_network(network, weights=tmp_path / file)
            assert torch.equal(loaded.encode(image, "block.1")["block.1"], expected)


@pytest.mark.slow
def test_a_compiled_part_makes_no_other_network() -> None:
    plain, wrapped = load_network(module()), load_network(a_part(compiled)(module()))
    assert wrapped.weights_hash == plain.weights_hash


class Normalised(nn.Module):
    """A module of a user's own, whose part is called as wrappers call theirs."""

    def __init__(self) -> None:
        super().__init__()
        self.module = module()

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.module((x - 0.5) / 0.25)
        return made


def test_what_computes_is_no_wrapper(tmp_path: Path) -> None:
    net, image = load_network(Normalised()), torch.rand(1, 3, 24, 24)
    assert "module.relu" in net.layers
    code = net.encode(image, "module.relu")["module.relu"]
    expected = torch.relu(Normalised().module.conv((image - 0.5) / 0.25))
    assert torch.allclose(code, expected, atol=1e-5)
    traced = load_network(torch.fx.symbolic_trace(Normalised()))
    assert torch.allclose(traced.encode(image, "module.relu")["module.relu"], code, atol=1e-5)
    torch.save(nn.DataParallel(Normalised()).state_dict(), tmp_path / "w.pt")
    assert load_network(Normalised(), weights=tmp_path / "w.pt").details["checkpoint"]
