"""Networks: the paper's VGG-19, and any module, unchanged and unhooked."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

import texton
from texton import Network, TextonError
from texton.network.device import choose_compute
from texton.network.weights import VGG19_CONVS, paper_vgg19

EXACT = choose_compute("cpu", torch.float32)


def plain_vgg19(
    image: torch.Tensor, last: str, pool: str = "avg", scale: float = 1.0
) -> torch.Tensor:
    """VGG-19 written out with functions, for comparison; its weights times ``scale``."""
    weights = {key: scale * value for key, value in paper_vgg19().items()}
    mean = torch.tensor([123.68, 116.779, 103.939]).reshape(1, 3, 1, 1)
    x = image * 255 - mean
    block = "1"
    for name in VGG19_CONVS:
        if name[4] != block:
            x = F.avg_pool2d(x, 2) if pool == "avg" else F.max_pool2d(x, 2)
            block = name[4]
        x = F.relu(F.conv2d(x, weights[f"{name}.weight"], weights[f"{name}.bias"], padding=1))
        if name.replace("conv", "relu") == last:
            return x
    raise AssertionError(last)


def all_hooks(module: nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in module.modules())


@pytest.mark.parametrize("pooling", ["avg", "max"])
@pytest.mark.slow
def test_vgg19_is_the_papers(cat: torch.Tensor, pooling: str) -> None:
    net = texton.load_network("vgg19", pooling=pooling)
    for layer in ("relu1_1", "relu3_2", "relu5_2"):
        code = net.encode(cat, layer)[layer]
        torch.testing.assert_close(code, plain_vgg19(cat, layer, pooling), rtol=1e-3, atol=1e-2)


def test_vgg19_layers_have_the_papers_names_and_numbers(net: Network) -> None:
    layers = net.layers
    assert list(layers)[:5] == ["conv1_1", "relu1_1", "conv1_2", "relu1_2", "pool1"]
    assert list(layers)[-1] == "pool5"
    assert len(layers) == 16 + 16 + 5
    assert sum(layer.channels for layer in layers.values() if layer.kind == "conv") == 5504
    known = {"relu1_1": (1, 3), "pool1": (2, 6), "relu2_1": (2, 10), "relu5_4": (16, 252)}
    for name, (stride, field) in known.items():
        assert (layers[name].stride, layers[name].receptive_field) == (stride, field)


def test_receptive_field_is_what_the_gradient_sees(net: Network) -> None:
    image = torch.rand(1, 3, 96, 96, requires_grad=True)
    code = net.encode(image, "conv3_1")["conv3_1"]
    code[0, :, code.shape[2] // 2, code.shape[3] // 2].sum().backward()
    assert image.grad is not None
    rows = image.grad.abs().sum((0, 1, 3)).nonzero().flatten()
    assert int(rows[-1] - rows[0]) + 1 == net.layers["conv3_1"].receptive_field


class Fragile(nn.Module):
    """Runs one convolution, then fails: nothing beyond may be computed."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3)
        self.act = nn.ReLU(inplace=True)
        self.last = nn.Conv2d(4, 4, 3)
        self.fail = False

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.act(self.first(x))
        if self.fail:
            raise ValueError("ran too far")
        x = self.act(self.last(x))
        x += 1
        return x


def test_encoding_stops_at_the_deepest_layer() -> None:
    module = Fragile()
    network = Network(module)
    assert list(network.layers) == ["first", "act", "last", "act#2"]
    module.fail = True
    with torch.no_grad():
        module.first.weight.mul_(2)  # a new copy, that fails
    assert network.encode(torch.rand(1, 3, 8, 8), "act")["act"].shape == (1, 4, 6, 6)
    with pytest.raises(TextonError, match="ran too far"):
        network.encode(torch.rand(1, 3, 8, 8), "last")
    assert all_hooks(network.frozen(EXACT)) == 0


class Careful(nn.Module):
    """Looks after the failures of its part."""

    def __init__(self) -> None:
        super().__init__()
        self.part = nn.Conv2d(3, 4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        try:
            out: torch.Tensor = self.part(x)
        except Exception:  # noqa: BLE001
            return pytest.fail("a pass that has gone far enough is no failure")
        return out


def test_a_module_that_catches_what_fails_stops_at_the_deepest_layer_too() -> None:
    assert Network(Careful()).encode(torch.rand(1, 3, 8, 8), "part")["part"].shape[1] == 4


def test_in_place_operations_do_not_reach_the_codes() -> None:
    network = Network(Fragile())
    codes = network.encode(torch.rand(1, 3, 8, 8), ["first", "act", "act#2", "act#2<"])
    assert codes["first"].min() < 0
    torch.testing.assert_close(codes["act"], codes["first"].clamp_min(0))
    torch.testing.assert_close(codes["act#2"], codes["act#2<"].clamp_min(0))


def test_the_users_module_stays_as_it_was() -> None:
    module = Fragile().train()
    before = copy.deepcopy(module.state_dict())
    network = Network(module)
    image = torch.rand(1, 3, 16, 16)
    texton.invert_filter(image, network, "act", 1, steps=3)
    with pytest.raises(TextonError):
        network.encode(image, "nowhere")
    assert module.training and module.act.inplace and all_hooks(module) == 0
    assert all(p.requires_grad and p.grad is None for p in module.parameters())
    for key, value in module.state_dict().items():
        assert torch.equal(value, before[key])


def test_training_on_is_seen() -> None:
    module = Fragile()
    network = Network(module)
    image = torch.rand(1, 3, 8, 8)
    seen = []
    for change in (nn.Module.eval, double, put_in_others, put_in_others):
        change(module)
        seen.append((network.weights_hash, float(network.encode(image, "first")["first"].sum())))
        assert network.weights_hash == seen[-1][0] == Network(module).weights_hash
    assert len({name for name, _ in seen}) == len({total for _, total in seen}) == 4
    put_in_others(module)
    put_in_others(module)  # which may lie where those before the last lay
    assert network.weights_hash == Network(module).weights_hash not in {name for name, _ in seen}


def double(module: nn.Module) -> None:
    with torch.no_grad():
        next(module.parameters()).mul_(2)


def put_in_others(module: Fragile) -> None:
    module.first.weight = nn.Parameter(torch.rand_like(module.first.weight))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_told(value: float) -> None:
    module = Fragile()
    with torch.no_grad():
        module.last.weight[0, 0, 0, 0] = value
    network = Network(module, name="broken")
    with pytest.raises(TextonError, match=r"broken: weights hold NaN .*last\.weight, as float32"):
        texton.invert_filter(torch.rand(1, 3, 16, 16), network, "act", 1, steps=3)
    with torch.no_grad():
        module.last.weight.fill_(1e6)
    half = choose_compute("cpu", torch.float16)
    with pytest.raises(TextonError, match=r"last\.weight, as float16"):
        network.encode(torch.rand(1, 3, 16, 16), "act", half)


def test_codes_that_are_no_numbers_are_told() -> None:
    module = Fragile()
    with torch.no_grad():
        module.first.weight.abs_()
    network = Network(module, mean=-1e30)
    with pytest.raises(TextonError, match="'act' is too large to be squared"):
        texton.invert_filter(torch.rand(1, 3, 16, 16), network, "act", 1, steps=3)
    for wrong in ({"mean": float("nan")}, {"std": float("inf")}, {"input_range": float("nan")}):
        with pytest.raises(TextonError, match=f"{next(iter(wrong))} is .*finite"):
            Network(Fragile(), **wrong)


def test_a_network_takes_no_options_of_its_making() -> None:
    network = Network(Fragile())
    assert texton.load_network(network) is network
    for options in ({"weights": "other.pth"}, {"pooling": "max"}, {"bands": (0,)}):
        with pytest.raises(TextonError, match="a Network already"):
            texton.load_network(network, **options)


def test_preactivation_is_what_enters_the_rectifier(net: Network, cat: torch.Tensor) -> None:
    for layer in ("relu2_1", "pool2"):
        name = net.preactivation(layer)
        assert net.encode(cat, name)[name].min() < 0
    assert net.preactivation("conv2_1") == "conv2_1"


def test_weights_stay_frozen_and_gradients_reach_the_image(net: Network, cat: torch.Tensor) -> None:
    image = cat.clone().requires_grad_(True)
    net.encode(image, "relu2_1")["relu2_1"].sum().backward()
    assert image.grad is not None and image.grad.abs().sum() > 0
    weights = net.frozen(EXACT).parameters()
    assert all(not weight.requires_grad and weight.grad is None for weight in weights)


def test_too_small_an_image_is_told(net: Network) -> None:
    with pytest.raises(TextonError, match="32 a side"):
        net.encode(torch.rand(1, 3, 20, 40), "pool5")


@pytest.mark.parametrize("naming", ["paper", "torchvision"])
@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.slow
def test_another_vgg19_by_file(tmp_path: Path, naming: str, suffix: str) -> None:
    import torchvision

    if naming == "paper":
        state = {key: value * 0.5 for key, value in paper_vgg19().items()}
    else:
        with torch.device("meta"):
            shell = torchvision.models.vgg19().features
        shell = shell.to_empty(device="cpu")
        torch.manual_seed(0)
        for p in shell.parameters():
            nn.init.normal_(p, std=0.05)
        state = {f"features.{key}": value for key, value in shell.state_dict().items()}
    path = tmp_path / f"weights{suffix}"
    if suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save(state, path)
    net = texton.load_network("vgg19", weights=path, pooling="max")
    image = torch.rand(1, 3, 32, 32)
    code = net.encode(image, "relu2_1")["relu2_1"]
    if naming == "torchvision":
        mean = torch.tensor([0.485, 0.456, 0.406]).reshape(1, 3, 1, 1)
        std = torch.tensor([0.229, 0.224, 0.225]).reshape(1, 3, 1, 1)
        with torch.no_grad():
            expected = shell[:7]((image - mean) / std)
    else:
        expected = plain_vgg19(image, "relu2_1", "max", scale=0.5)
    torch.testing.assert_close(code, expected, rtol=1e-3, atol=1e-3)
    assert net.weights_hash != texton.load_network("vgg19").weights_hash


def test_half_precision_codes_are_close(net: Network, cat: torch.Tensor) -> None:
    compute = choose_compute("cpu", torch.bfloat16)
    rough = net.encode(cat, "relu4_2", compute)["relu4_2"].float()
    exact = net.encode(cat, "relu4_2")["relu4_2"]
    assert (rough - exact).norm() / exact.norm() < 0.05


def test_only_frozen_modules_of_torchs_own_lend_their_weights() -> None:
    class Scaled(nn.Conv2d):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.weight.data.div_(2)  # as some networks do
            return super().forward(x)

    image = torch.rand(1, 3, 16, 16)
    for kind, trained, lends in (
        (nn.Conv2d, False, True), (nn.Conv2d, True, False), (Scaled, False, False)
    ):  # fmt: skip
        module = nn.Sequential(kind(3, 8, 3), nn.ReLU()).to(memory_format=torch.channels_last)
        module.requires_grad_(trained)
        before = module[0].weight.detach().clone()
        net = Network(module)
        net.encode(image, "1")
        copied = next(net.frozen(EXACT).parameters())
        assert (copied.data_ptr() == module[0].weight.data_ptr()) is lends
        assert module[0].weight.requires_grad is trained and not copied.requires_grad
        net.frozen(choose_compute("cpu", torch.bfloat16))
        torch.testing.assert_close(module[0].weight.detach(), before, rtol=0, atol=0)
        assert module[0].weight.dtype == torch.float32 and type(module[0]) is kind
        if lends:
            module[0].weight.mul_(3)
            torch.testing.assert_close(net.encode(image, "1")["1"], module(image))


def test_no_layer_at_all_is_told(net: Network, cat: torch.Tensor) -> None:
    with pytest.raises(TextonError, match="no layer is named"):
        net.encode(cat, ())
    with pytest.raises(TextonError, match="no layer is named"):
        texton.fingerprint(cat, net, [])


def test_codes_are_had_in_inference_mode_and_gradients_after_it() -> None:
    network = Network(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True)))
    image = torch.rand(1, 3, 20, 20)
    with torch.inference_mode():
        found = network.encode(image, ["0", "1"])
    expected = network.encode(image.requires_grad_(True), ["0", "1"])
    for name, code in found.items():
        torch.testing.assert_close(code, expected[name].detach())
    (slope,) = torch.autograd.grad(expected["1"].sum(), image)
    assert slope.abs().sum() > 0


def test_what_an_in_place_operation_changes_is_told_apart_in_inference_mode() -> None:
    class Doubles(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.last = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = self.last(self.conv(x).mul_(2))
            return out

    network, image = Network(Doubles()), torch.rand(1, 3, 20, 20)
    with torch.inference_mode():
        code = network.encode(image, ["conv", "last"])["conv"]
    torch.testing.assert_close(code, network.module.conv(image).detach())


def test_whatever_a_module_raises_is_one_line() -> None:
    class Picky(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if x.shape[-1] != 64:
                raise ValueError("need 64")
            out: torch.Tensor = self.conv(x)
            return out

    with pytest.raises(TextonError, match=r"fails on 32×32 pixels before conv.*need 64"):
        Network(Picky()).encode(torch.rand(1, 3, 32, 32), "conv")


def test_what_a_module_saves_beside_its_tensors_is_left_out(tmp_path: Path) -> None:
    class Counts(nn.Conv2d):
        def get_extra_state(self) -> dict[str, int]:
            return {"seen": 3}

        def set_extra_state(self, state: dict[str, int]) -> None: ...

    torch.manual_seed(0)
    trained, other = Counts(3, 4, 3), Counts(3, 4, 3)
    torch.save(trained.state_dict(), tmp_path / "w.pth")
    network = texton.load_network(other, weights=tmp_path / "w.pth")
    assert network.weights_hash == Network(trained).weights_hash != Network(other).weights_hash


@pytest.mark.parametrize("by_name", [False, True])
def test_channels_turned_last_by_name_are_known_as_such(by_name: bool) -> None:
    class Turns(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.norm = nn.Conv2d(3, 4, 3), nn.LayerNorm(4)
            self.last = nn.Conv2d(4, 5, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x, last, first = self.first(x), (0, 2, 3, 1), (0, 3, 1, 2)
            turned = torch.permute(input=x, dims=last) if by_name else torch.permute(x, last)
            back = self.norm(turned).permute(dims=first) if by_name else turned.permute(*first)
            out: torch.Tensor = self.last(back)
            return out

    layers = Network(Turns()).layers
    expected = {"first": 4, "norm": 4, "last": 5} if by_name else {"first": 4, "last": 5}
    assert {name: x.channels for name, x in layers.items()} == expected
