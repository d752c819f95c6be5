"""Lean modules give the gradients of torch's own, and keep less."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from texton import Network
from texton.network.device import choose_compute
from texton.network.fast import convolution, make_lean
from texton.network.fast import modules as lean
from texton.network.fast.rectified import rectified_slope
from texton.network.marks import is_rectified, mark_rectified
from texton.solve.objective import FeatureMapMatch

EXACT = choose_compute("cpu", torch.float32)
MODULES: dict[str, Callable[[], nn.Module]] = {
    "chain": lambda: nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2), nn.Conv2d(8, 4, 3), nn.ReLU()
    ),
    "strides": lambda: nn.Sequential(
        nn.Conv2d(3, 6, 5, stride=2, padding=(1, 2), dilation=2, groups=3, bias=False),
        nn.ReLU(),
        nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False),
    ),
    "others": lambda: nn.Sequential(
        nn.Conv2d(3, 4, 3, padding="same"),
        nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"),
        nn.ReLU6(),
        nn.AvgPool2d((3, 2), (2, 1), divisor_override=4),
    ),
    "image": lambda: nn.Sequential(nn.Conv2d(3, 32, (3, 5), padding=(0, 2)), nn.ReLU()),
    "image, wide": lambda: nn.Sequential(nn.Conv2d(3, 32, 3, padding=2), nn.Conv2d(32, 32, 1)),
    "heavy": lambda: nn.Sequential(
        nn.Conv2d(3, 256, 3, stride=3), nn.ReLU(), nn.Conv2d(256, 64, 3, padding=1), nn.ReLU(),
        nn.AvgPool2d((1, 2)), nn.Conv2d(64, 256, 1), nn.Conv2d(256, 64, 3, 2, 1, groups=2),
        nn.ReLU(), nn.Sequential(),
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", MODULES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("large", [1, convolution.LARGE])
def test_lean_modules_give_the_same(
    kind: str,
    dtype: torch.dtype,
    layout: torch.memory_format,
    large: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    set_large(monkeypatch, large)
    torch.manual_seed(0)
    usual = MODULES[kind]().requires_grad_(False).to(dtype).to(memory_format=layout)
    slim = copy.deepcopy(usual)
    make_lean(slim)
    for shape in ((2, 3, 21, 18), (1, 3, 16, 19)):  # the weights are laid out for each
        image = torch.randn(shape).to(dtype).contiguous(memory_format=layout)
        gradients, codes = [], []
        for module in (usual, slim):
            x = image.clone(memory_format=layout).requires_grad_(True)
            codes.append(module(x))
            slope = torch.linspace(-1, 1, codes[-1].numel()).reshape(codes[-1].shape).to(dtype)
            gradients += torch.autograd.grad(codes[-1], x, slope)
        torch.testing.assert_close(codes[1], codes[0])
        if dtype == torch.float32:
            torch.testing.assert_close(gradients[1], gradients[0])
        else:  # sums of three rounded layers
            close_to(gradients[1], gradients[0], 0.02)


def close_to(found: torch.Tensor, wanted: torch.Tensor, share: float) -> None:
    distance = (found.float() - wanted.float()).norm() / wanted.float().norm()
    assert distance < share, f"{float(distance)} of its size away"


def set_large(monkeypatch: pytest.MonkeyPatch, elements: int) -> None:
    for module in (convolution, lean):
        monkeypatch.setattr(module, "LARGE", elements)


@pytest.mark.skipif(not convolution._has_library(torch.float32), reason="not on this processor")
def test_convolutions_rectify_where_nobody_looks_in_between(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU())
    module = module.requires_grad_(False).to(memory_format=torch.channels_last)
    image = torch.rand(1, 3, 20, 20).contiguous(memory_format=torch.channels_last)
    codes = [image]
    for part in module:
        codes.append(part(codes[-1]))
    make_lean(module)
    rectified = []
    relu = torch.relu
    monkeypatch.setattr(torch.nn.functional, "relu", lambda x, **_: rectified.append(1) or relu(x))
    torch.testing.assert_close(module(image), codes[-1])
    assert not rectified, "both were done by their convolutions"
    x = image
    for part, code in zip(module, codes[1:], strict=True):  # as many networks run their chains
        x = part(x)
        torch.testing.assert_close(x, code)
    assert len(rectified) == 2
    seen: list[torch.Tensor] = []
    module[0].register_forward_hook(lambda *told: seen.append(told[2]))
    module[3].register_forward_pre_hook(lambda _, entering: seen.append(entering[0]))
    torch.testing.assert_close(module(image), codes[-1])
    torch.testing.assert_close(seen, [codes[1], codes[3]])
    with torch.inference_mode():
        torch.testing.assert_close(module(image), codes[-1])


class Inside(nn.Module):
    """A sequence within a class, as torchvision's VGG has one."""

    def __init__(self) -> None:
        super().__init__()
        self.features = stack()[1:7]

    def forward(self, x: Tensor) -> Tensor:
        features: Tensor = self.features(x)
        return features


@pytest.mark.skipif(not convolution._has_library(torch.float32), reason="not on this processor")
def test_a_stretch_into_which_nobody_looks_calls_none_of_its_modules() -> None:
    usual = Inside().requires_grad_(False).to(memory_format=torch.channels_last).eval()
    slim = copy.deepcopy(usual)
    make_lean(slim)
    image = torch.rand(1, 3, 16, 16).contiguous(memory_format=torch.channels_last)
    seen: dict[Inside, list[Tensor]] = {usual: [], slim: []}

    def slope(module: Inside) -> Tensor:
        x = image.clone(memory_format=torch.channels_last).requires_grad_(True)
        return torch.autograd.grad(module(x).square().sum(), x)[0]

    wanted = slope(usual)
    with pytest.MonkeyPatch.context() as patch:
        for kind in (lean.LeanConv2d, lean.LeanAvgPool2d):
            patch.setattr(kind, "forward", lambda *_: pytest.fail("was called"))
        torch.testing.assert_close(slope(slim), wanted)
    for module, codes in seen.items():
        for part in (module.features[1], module.features[2][0], module.features[3]):
            part.register_forward_hook(lambda _, __, code, codes=codes: codes.append(code))
        torch.testing.assert_close(slope(module), wanted)
    assert len(seen[slim]) == 3
    torch.testing.assert_close(seen[slim], seen[usual])


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.body = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.ReLU())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        out: torch.Tensor = x + self.body(x)
        return out


@pytest.mark.parametrize("kind", [Residual, MODULES["chain"]])
def test_the_error_of_a_filter_has_the_usual_slope(kind: Callable[[], nn.Module]) -> None:
    """Where a sum follows a rectifier too, whose slope is zero elsewhere than the sum."""
    torch.manual_seed(0)
    usual = kind().requires_grad_(False).to(memory_format=torch.channels_last)
    slim = copy.deepcopy(usual)
    make_lean(slim)
    image = torch.rand(1, 3, 16, 16).contiguous(memory_format=torch.channels_last)
    gradients = []
    for module in (usual, slim):
        x = image.clone(memory_format=torch.channels_last).requires_grad_(True)
        code = module(x)
        error = FeatureMapMatch("any", [1], torch.full((1, *code.shape[2:]), 0.4))
        gradients += torch.autograd.grad(error({"any": code}, x).sum(), x)
    torch.testing.assert_close(gradients[1], gradients[0])


@pytest.mark.skipif(not convolution._has_library(torch.float32), reason="not on this processor")
def test_what_is_made_of_the_weights_is_made_once_and_anew_when_they_change() -> None:
    module = nn.Sequential(nn.Conv2d(3, 32, 3, padding=1), nn.Conv2d(32, 32, 3, padding=1))
    module = module.requires_grad_(False).to(memory_format=torch.channels_last)
    make_lean(module)
    image = torch.rand(1, 3, 8, 8).contiguous(memory_format=torch.channels_last)

    def slope() -> torch.Tensor:
        x = image.clone().requires_grad_(True)
        return torch.autograd.grad(module(x).sum(), x)[0]

    first = slope()
    made = [dict(part._ways) for part in module]
    assert [set(kinds) for kinds in made] == [{"plain", "slope"}] * 2
    again = slope()
    torch.testing.assert_close(again, first, rtol=0, atol=0)
    assert all(
        made[k][what] is part._ways[what] for k, part in enumerate(module) for what in made[k]
    )
    for part in module:
        part.weight.mul_(2)
    torch.testing.assert_close(slope(), 4 * first)
    module[1].weight = nn.Parameter(module[1].weight / 2, requires_grad=False)
    torch.testing.assert_close(slope(), 2 * first)
    for copied in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        torch.testing.assert_close(copied(image), module(image))
    module[0].padding, module[0].stride, module[0].dilation = 1, 1, (1,)  # as some code sets them
    torch.testing.assert_close(slope(), 2 * first)


def test_a_convolution_or_rectifier_with_functions_of_its_own_is_left_alone() -> None:
    chain = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU()).requires_grad_(False)
    chain = chain.to(memory_format=torch.channels_last)
    image = torch.rand(1, 3, 8, 8).contiguous(memory_format=torch.channels_last)
    leaky, doubled = copy.deepcopy(chain), copy.deepcopy(chain)
    leaky[1].forward = lambda x: nn.functional.leaky_relu(x, 0.5)
    doubled[0]._conv_forward = lambda x, weight, bias: (
        2 * nn.functional.conv2d(x, weight, bias, padding=1)
    )
    wanted = leaky(image), doubled(image)
    for module in (leaky, doubled):
        make_lean(module)
    torch.testing.assert_close((leaky(image), doubled(image)), wanted)


def test_a_code_that_was_written_to_is_rectified_again() -> None:
    code = torch.ones(2)
    mark_rectified(code)
    assert is_rectified(code)
    code.sub_(2)
    assert not is_rectified(code)
    assert lean.LeanReLU()(code).tolist() == [0, 0]


def test_a_library_that_has_changed_is_done_without(monkeypatch: pytest.MonkeyPatch) -> None:
    def changed(*_: object) -> None:
        raise RuntimeError("takes other arguments now")

    monkeypatch.setattr(convolution, "_pack", changed)
    convolution._has_library.cache_clear()
    try:
        assert not convolution._has_library(torch.float32)
        module = MODULES["heavy"]().requires_grad_(False).to(memory_format=torch.channels_last)
        wanted = module(torch.ones(1, 3, 18, 18))
        make_lean(module)
        torch.testing.assert_close(module(torch.ones(1, 3, 18, 18)), wanted)
    finally:
        convolution._has_library.cache_clear()


def test_lean_modules_keep_less(monkeypatch: pytest.MonkeyPatch) -> None:
    set_large(monkeypatch, 1)
    usual = MODULES["chain"]().requires_grad_(False)
    slim = copy.deepcopy(usual)
    make_lean(slim)
    kept = []
    for module in (usual, slim):
        seen: dict[int, int] = {}

        def note(x: torch.Tensor, seen: dict[int, int] = seen) -> torch.Tensor:
            seen[x.data_ptr()] = x.untyped_storage().nbytes()
            return x

        with torch.autograd.graph.saved_tensors_hooks(note, lambda x: x):
            module(torch.randn(1, 3, 64, 64, requires_grad=True))
        kept.append(sum(seen.values()))
    assert kept[1] < 0.3 * kept[0], "masks are a byte an element, codes four"


def test_subclasses_stay_as_they_are() -> None:
    class Own(nn.Conv2d):
        pass

    module = nn.Sequential(Own(3, 3, 1), nn.ReLU())
    make_lean(module)
    assert type(module[0]) is Own and isinstance(module[1], nn.ReLU)

    class Chain(nn.Sequential):
        pass

    chain = Chain(module)
    make_lean(chain)
    assert type(chain) is Chain


def stack() -> nn.Sequential:
    """Every kind of part that has a lean form, some of them in an inner sequence."""
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
@pytest.mark.parametrize("large", [1, convolution.LARGE])
@pytest.mark.slow
def test_a_network_gives_torchs_codes_and_gradients_wherever_they_are_taken(
    wanted: list[str], large: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_large(monkeypatch, large)
    module = stack()
    encode = Network(module, mean=0.4, std=0.5).encoder(wanted, EXACT)
    for shape in ((2, 3, 21, 18), (1, 3, 24, 25), (2, 3, 21, 18)):
        image = torch.rand(shape, requires_grad=True)
        codes, usual = encode(image), plainly(module, image)
        assert set(codes) == set(wanted)
        slopes = [torch.randn_like(usual[name]) for name in wanted]
        before = [slope.clone() for slope in slopes]
        for name in wanted:
            torch.testing.assert_close(codes[name], usual[name])
        given = [codes[name] for name in wanted]
        (right,) = torch.autograd.grad([usual[name] for name in wanted], image, slopes)
        for _ in range(2):  # a graph is good for a second time
            (found,) = torch.autograd.grad(given, image, slopes, retain_graph=True)
            torch.testing.assert_close(found, right)
        torch.testing.assert_close(slopes, before, rtol=0, atol=0)
        with torch.no_grad():
            torch.testing.assert_close(encode(image), codes)


@pytest.mark.parametrize("layer", ["2", "7"])
def test_a_code_that_was_written_to_has_no_gradient(layer: str) -> None:
    image = torch.rand(1, 3, 20, 20, requires_grad=True)
    codes = Network(stack()).encoder([layer, "9"], EXACT)(image)
    with torch.no_grad():
        codes[layer].sub_(0.5)
    with pytest.raises(RuntimeError, match="inplace"):
        torch.autograd.grad(codes["9"].sum(), image)


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
