"""Chains give the codes and gradients of the modules they are made of."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from texton import Network
from texton.network.device import choose_compute
from texton.network.fast import chain
from texton.network.fast.chain import Chain
from texton.network.fast.convolution import LeanConv2d
from texton.network.fast.modules import LeanReLU, LeanSequential
from texton.network.fast.rectified import is_rectified, rectified_slope

EXACT = choose_compute("cpu", torch.float32)


def stack() -> nn.Sequential:
    """Every kind of part a chain knows, some of them in an inner sequence."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.ReLU(),
        nn.Conv2d(3, 32, 3, padding=1),
        nn.ReLU(),
        nn.Sequential(
            nn.Conv2d(32, 8, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2), nn.Dropout(), nn.Identity()
        ),
        nn.Conv2d(8, 6, 3, padding=1, groups=2),
        nn.AvgPool2d(3, 2, 1),
        nn.ReLU(),
        nn.Conv2d(6, 8, 3),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 12, 1, stride=2),
        nn.Flatten(),
        nn.Linear(12, 4),
    ).eval()


def plainly(module: nn.Sequential, image: Tensor) -> dict[str, Tensor]:
    """What every part gives, and ("<") reads, by torch's own modules."""
    found: dict[str, Tensor] = {}

    def run(part: nn.Module, name: str, x: Tensor) -> Tensor:
        found[f"{name}<"] = x
        if isinstance(part, nn.Sequential):
            for inner, child in part.named_children():
                x = run(child, f"{name}.{inner}" if name else inner, x)
        else:
            x = part(x)
        found[name] = x
        return x

    run(module[:10], "", (image - 0.4) / 0.5)
    return found


@pytest.mark.parametrize(
    "wanted",
    [["9"], ["2"], ["1"], ["2", "2<"], ["0<", "9"], ["3"], ["3.2", "3.3", "3.4"], ["3<", "4"],
     ["8", "6", "6<", "3.1"], ["5", "7<"], ["9<", "8<"]],
)  # fmt: skip
@pytest.mark.parametrize("large", [1, chain.LARGE])
def test_chains_give_the_same(
    wanted: list[str], large: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chain, "LARGE", large)
    module = stack()
    net = Network(module, mean=0.4, std=0.5)
    encode = net.encoder(wanted, EXACT, once=True)
    for shape in ((2, 3, 21, 18), (1, 3, 24, 25), (2, 3, 21, 18)):
        image = torch.rand(shape, requires_grad=True)
        codes, usual = encode(image), plainly(module, image)
        assert set(codes) == set(wanted)
        slopes = [torch.randn_like(usual[name]) for name in wanted]
        before = [slope.clone() for slope in slopes]
        for name in wanted:
            torch.testing.assert_close(codes[name], usual[name])
        (found,) = torch.autograd.grad([codes[name] for name in wanted], image, slopes)
        (right,) = torch.autograd.grad([usual[name] for name in wanted], image, slopes)
        torch.testing.assert_close(found, right)
        torch.testing.assert_close(slopes, before, rtol=0, atol=0)
        with torch.no_grad():
            torch.testing.assert_close(encode(image), codes)


def test_a_chain_runs_no_module_that_it_need_not(monkeypatch: pytest.MonkeyPatch) -> None:
    net = Network(stack())
    encode = net.encoder(["3.1"], EXACT, once=True)
    for kind in (LeanConv2d, LeanReLU, LeanSequential):
        monkeypatch.setattr(kind, "forward", lambda *_: pytest.fail("was called"))
    image = torch.rand(1, 3, 16, 16, requires_grad=True)
    encode(image)["3.1"].sum().backward()
    assert image.grad is not None and bool(image.grad.any())


def test_only_part_of_what_was_taken_may_have_a_gradient() -> None:
    net, image = Network(stack()), torch.rand(1, 3, 16, 16, requires_grad=True)
    both = net.encoder(["2", "8"], EXACT, once=True)(image)
    alone = net.encoder(["2"], EXACT, once=True)(image)
    slopes = [torch.autograd.grad(codes["2"].sum(), image)[0] for codes in (both, alone)]
    torch.testing.assert_close(*slopes)


def test_a_gradient_is_taken_once_where_that_was_said() -> None:
    net, image = Network(stack()), torch.rand(1, 3, 16, 16, requires_grad=True)
    code = net.encoder(["6"], EXACT, once=True)(image)["6"]
    torch.autograd.grad(code.sum(), image, retain_graph=True)
    with pytest.raises(RuntimeError, match="encode the image again"):
        torch.autograd.grad(code.sum(), image)
    code = net.encode(image, "6")["6"]
    first = torch.autograd.grad(code.sum(), image, retain_graph=True)
    torch.testing.assert_close(torch.autograd.grad(code.sum(), image), first)


@pytest.mark.parametrize(("layer", "says"), [("2", "written to before"), ("7", "inplace")])
def test_a_code_that_was_written_to_has_no_gradient(layer: str, says: str) -> None:
    net, image = Network(stack()), torch.rand(1, 3, 20, 20, requires_grad=True)
    codes = net.encoder([layer, "9"], EXACT, once=True)(image)
    with torch.no_grad():
        codes[layer].sub_(0.5)
    with pytest.raises(RuntimeError, match=says):
        torch.autograd.grad(codes["9"].sum(), image)


def test_nothing_wanted_is_nothing_given() -> None:
    image = torch.rand(1, 3, 16, 16)
    assert Network(stack()).encode(image, []) == {}
    assert Network(stack()).encoder([], EXACT, once=True)(image) == {}


def hook(module: nn.Sequential) -> None:
    module[1].register_forward_hook(lambda _, __, code: 2 * code)


def patch(module: nn.Sequential) -> None:
    module[2].forward = lambda x: -x


def put_in(module: nn.Sequential) -> None:
    module[3].insert(0, nn.Hardtanh())


def share(module: nn.Sequential) -> None:
    module[6] = module[2]


@pytest.mark.parametrize("change", [hook, patch, put_in, share])
def test_what_is_no_plain_chain_is_run_as_it_is(change: Callable[[nn.Sequential], None]) -> None:
    module = stack()
    change(module)
    net = Network(module, mean=0.4, std=0.5)
    assert net._chain(net._copy(EXACT), ["8"], EXACT) is None
    image = torch.rand(1, 3, 21, 18)
    with torch.no_grad():
        wanted = module[:9]((image - 0.4) / 0.5)
        torch.testing.assert_close(net.encode(image, "8")["8"], wanted)
    if change is not hook:
        assert isinstance(net._chain(net._copy(EXACT), ["0"], EXACT), Chain), "up to there it is"


def test_rectified_slopes_are_torchs_own() -> None:
    values = torch.tensor([-2.0, -0.0, 0.0, 1e-30, 1.0, float("inf")])
    code = values.clamp_min(0)
    slope = torch.tensor([3.0, -3.0, float("nan"), -1e-30, -2.0, 5.0])
    for dtype in (torch.float64, torch.float32, torch.bfloat16):
        wanted = torch.ops.aten.threshold_backward(slope.to(dtype), code.to(dtype), 0)
        assert torch.equal(rectified_slope(slope.to(dtype), code.to(dtype)), wanted)
        own = slope.to(dtype)
        assert rectified_slope(own, code.to(dtype), own) is own and torch.equal(own, wanted)
    minus = torch.tensor([-0.0], dtype=torch.bfloat16)
    assert rectified_slope(torch.ones(1, dtype=torch.bfloat16), minus).item() == 0


def test_codes_say_whether_they_are_rectified() -> None:
    encode = Network(stack()).encoder(["2", "3.4", "6", "7"], EXACT, once=True)
    codes = encode(torch.rand(1, 3, 16, 16))
    assert {name: is_rectified(code) for name, code in codes.items()} == {
        "2": True, "3.4": False, "6": True, "7": False,
    }  # fmt: skip
