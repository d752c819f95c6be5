"""Anybody's network, through the command line: architectures, files, channels, devices."""

from __future__ import annotations

import copy
import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F

import texton
from tests.helpers import EXAMPLES, Run, assert_refused
from texton import Network, TextonError, load_network
from texton.network.device import Compute

CAT, COFFEE = EXAMPLES / "chelsea.jpg", EXAMPLES / "coffee.jpg"
ONE = ("--steps", 1)
DIGITS = f"{EXAMPLES / 'digits.py'}:digits"
ARCHITECTURES = [  # the smallest of every kind
    *("alexnet", "resnet18", "densenet121", "googlenet", "squeezenet1_1"),
    *("shufflenet_v2_x0_5", "mobilenet_v3_small", "efficientnet_b0", "regnet_y_400mf"),
    *("convnext_tiny", "swin_t", "lraspp_mobilenet_v3_large"),
]
# To measure their fields takes up to 20 s; what is of their kind and shallow is measured below.
DEEP = ("alexnet", "densenet121", "googlenet", "convnext_tiny", "swin_t")


@pytest.mark.works(
    "an architecture of torchvision", "all its 4-D codes are layers; 12 are run in the tests"
)
@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.slow
def test_architectures(name: str, cat: torch.Tensor) -> None:
    network = load_network(f"torchvision:{name}@random")
    layers = list((network.layers if name in DEEP else network.measured_layers).values())
    assert name in DEEP or all(x.receptive_field or x.measured for x in layers)
    for tenths in (2, 6):
        layer = layers[len(layers) * tenths // 10].name
        made = texton.invert_filter(cat, network, layer, 0, steps=1)
        assert np.isfinite(made.error) and made.image.shape == cat.shape[1:]
        assert made.settings["network"] == network.name == f"torchvision:{name}@random"


def shallow(kind: str) -> nn.Module:
    """One of the deep ones' kind, with a block or two of few channels where they have many."""
    from torchvision import models
    from torchvision.models.convnext import CNBlockConfig

    torch.manual_seed(0)
    if kind == "densenet":
        return models.DenseNet(4, (2, 2), 8, bn_size=2)
    if kind == "convnext":
        return models.ConvNeXt([CNBlockConfig(8, 16, 1), CNBlockConfig(16, None, 2)])
    return models.SwinTransformer([4, 4], 8, [2, 2], [2, 2], [7, 7])


@pytest.mark.parametrize("kind", ["densenet", "convnext", "swin"])
@pytest.mark.slow
def test_fields_of_the_deep_are_measured_on_the_shallow(kind: str) -> None:
    layers = Network(shallow(kind)).measured_layers.values()
    assert len(layers) > 15 and any(x.measured for x in layers)
    assert all(x.receptive_field or x.measured for x in layers)


@pytest.mark.slow
def test_an_architecture_by_commands(run: Run) -> None:
    spec = "torchvision:shufflenet_v2_x0_5@random"
    listed = run("layers", "--network", spec, "--json")
    assert listed.code == 0, listed.err
    layers = json.loads(listed.out)["layers"]
    assert all(x["receptive_field"] or x["measured"] for x in layers)
    names = [layers[len(layers) * tenths // 10]["name"] for tenths in (2, 6)]
    words = ("filter", CAT, *(f"{x}:0" for x in names), "--size", 64, "--steps", 1)
    outcome = run(*words, "--network", spec, "--json", "-o", "sheet.png")
    assert outcome.code == 0, outcome.err
    made = json.loads(outcome.out)
    assert made["network"] == spec
    assert all(np.isfinite(unit["error"]) for unit in made["units"])
    assert spec in run("info", "sheet.png").out


@pytest.mark.slow
def test_fields_are_measured_past_a_chain_that_rectifies() -> None:
    network = load_network("torchvision:squeezenet1_1@random")
    fire = network.measured_layers["features.3"]  # of 3×3 after a stride of 4 that sees 7
    assert (fire.receptive_field, fire.measured) == (15, True)


@pytest.mark.slow
def test_random_weights_are_the_same_every_time_and_leave_the_generator_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    hashes = [
        load_network(f"torchvision:shufflenet_v2_x0_5@random{seed}").weights_hash
        for seed in ("", "0", "7")
    ]
    assert torch.equal(torch.rand(3), expected)
    assert hashes[0] == hashes[1] != hashes[2]


@pytest.mark.slow
def test_efficientnet_lite0_knows_a_cat_and_shows_textures(run: Run) -> None:
    net = load_network("efficientnet_lite0")
    image = texton.read_image(CAT, 224)
    with torch.no_grad():
        scores = net.module.eval()((image * 255 - 127) / 128).softmax(1)[0]
    assert int(scores.argmax()) in (281, 282, 285) and scores.max() > 0.8
    words = ("filter", CAT, "_blocks.4._swish:1-3", "_swish:0", "--size", 96, "--preset", "fast")
    made = json.loads(run(*words, "--network", "efficientnet_lite0", "--json", "--each", "u").out)
    assert [unit["status"] for unit in made["units"]] == ["ok"] * 4
    for unit in made["units"]:
        assert np.asarray(Image.open(unit["image"]), float).std() > 20


@pytest.mark.slow
def test_digits_are_grey_in_and_out(run: Run) -> None:
    words = ("filter", CAT, "relu2:3", "--size", 32, "--steps", 24, "--network", DIGITS)
    outcome = run(*words, "--json")
    made = json.loads(outcome.out)
    assert made["units"][0]["status"] == "ok" and made["network"] == DIGITS
    picture = Image.open(made["image"])
    assert picture.mode == "L" and np.asarray(picture, float).std() > 20
    assert "assumed" not in outcome.err


def write(folder: Path, text: str) -> Path:
    path = folder / "mine.py"
    path.write_text("from torch import nn\n" + text)
    return path


FOUR = "def make():\n    return nn.Sequential(nn.Conv2d({0}, 8, 3), nn.ReLU()){1}\n"


@pytest.mark.works(
    "a network of 1, 2, 4 or more channels",
    "one channel is grey; of more, the first three are shown and all are kept in a `.npy`",
)
@pytest.mark.parametrize("channels", [2, 4, 6])
def test_other_numbers_of_channels(channels: int, run: Run, tmp_path: Path) -> None:
    write(tmp_path, FOUR.format(channels, ""))
    words = ("filter", CAT, "1:0", "--size", 32, "--steps", 3, "--network", "mine.py:make")
    outcome = run(*words, "-o", "x.png")
    assert outcome.code == 0
    assert f"assumed mean 0, std 1, input_range 1, channels {channels}" in outcome.err
    planes = np.load(tmp_path / "x.npy")
    picture = np.asarray(Image.open(tmp_path / "x.png"))
    assert planes.dtype == np.uint8 and planes.shape[2] == channels
    assert np.array_equal(picture, planes[..., 0] if channels == 2 else planes[..., :3])
    again = run("filter", "x.npy", *words[2:], "--bands", "1", "-o", "y.png")
    assert again.code == 0
    shown, planes = np.asarray(Image.open(tmp_path / "y.png")), np.load(tmp_path / "y.npy")
    assert np.array_equal(shown, planes[..., 1])


@pytest.mark.parametrize("channels", [2, 4])
def test_colours_are_kept_where_there_are_some(channels: int, run: Run, tmp_path: Path) -> None:
    write(tmp_path, FOUR.format(channels, ""))
    layers = (
        "--content-layer",
        "1",
        "--style-layers",
        "1",
        "--network",
        "mine.py:make",
        "-o",
        "o.png",
    )
    outcome = run("stylize", CAT, COFFEE, "--keep-colors", "luma", *layers, "--size", 32, *ONE)
    assert outcome.code == 2
    assert f"takes {channels} channels, of which none are colours to keep" in outcome.err
    assert not (tmp_path / "o.png").exists()
    write(tmp_path, FOUR.format(1, ""))
    again = run("stylize", CAT, COFFEE, "--keep-colors", "luma", *layers, "--size", 32, *ONE)
    assert again.code == 0, again.err


def test_planes_of_somebody_else_are_not_replaced(run: Run, tmp_path: Path) -> None:
    write(tmp_path, FOUR.format(4, ""))
    words = ("filter", CAT, "1:0", "--size", 32, "--steps", 1, "--network", "mine.py:make")
    np.save(tmp_path / "x.npy", np.zeros(3))
    assert_refused(run(*words, "-o", "x.png"), "--force")
    assert run(*words, "-o", "x.png", "--force").code == 0
    assert run(*words, "-o", "x.png").code == 0


@pytest.mark.parametrize(
    ("array", "says"),
    [
        (np.zeros((20, 20, 5), np.uint8), "20×20×5"),
        (np.full((20, 20, 4), 2.0), "outside [0, 1]"),
        (np.full((20, 20, 4), np.nan), "outside [0, 1]"),
        (np.zeros((20, 20, 4), np.int64), "int64"),
        (np.zeros((4, 20, 8), np.uint8), "16 a side"),
        (np.array([{}]), "no NumPy array"),
        (np.zeros((0, 20, 4), np.uint8), "nothing in it"),
        (np.zeros((20, 0, 4)), "nothing in it"),
    ],
)
def test_arrays_refused(array: np.ndarray, says: str, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", array, allow_pickle=True)
    with pytest.raises(TextonError, match=says.replace("[", r"\[")):
        texton.read_image(tmp_path / "x.npy", channels=4)


@pytest.mark.parametrize(
    ("network", "says"),
    [
        ("torchvision:resnt18", "did you mean 'resnet18'"),
        ("torchvision:resnet18@IMAGENET1K_V9", "did you mean 'IMAGENET1K_V1'"),
        ("timm:resnet18", "timm is not installed: pip install '.[timm]'"),
        ("none.py:make", "no file"),
        ("mine.py:mak", "did you mean 'make'"),
        ("mine.py:fails", "(line 5): ValueError: no weights today"),
        ("mine.py:nothing", "returns NoneType"),
        ("mine.py:wrong", "did you mean 'mean'"),
        ("mine.py:short", "mean has 2 values for 3 channels"),
        ("mine.py:zero", "std is 0"),
        ("mine.py:leaves", "SystemExit"),
        ("broken.py:make", "SyntaxError"),
        ("mine.py:lost", "cannot be run on an image"),
    ],
)
def test_refused(
    network: str, says: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    conv = "return nn.Conv2d(3, 4, 3)"
    lines = [
        f"def make(): {conv}",
        "def nothing(): pass",
        "def fails():",
        "    raise ValueError('no weights today')",
        f"def wrong(): {conv}, {{'maen': 0}}",
        f"def short(): {conv}, {{'mean': (0, 0)}}",
        f"def zero(): {conv}, {{'std': 0}}",
        "def leaves(): raise SystemExit",
        "def lost(): return nn.Linear(3, 3)",
    ]
    write(tmp_path, "\n".join(lines))
    (tmp_path / "broken.py").write_text("def make(:")
    assert_refused(run("layers", "--network", network), says)


def test_a_file_may_declare_data_classes_and_leaves_nothing_where_it_fails(
    tmp_path: Path,
) -> None:
    lines = [
        "from __future__ import annotations",
        "from dataclasses import dataclass, field",
        "from torch import nn",
        "@dataclass",
        "class Sizes:",
        "    width: int = 4",
        "def make(): return nn.Conv2d(3, Sizes().width, 3)",
    ]
    (tmp_path / "sized.py").write_text("\n".join(lines))
    (tmp_path / "failing.py").write_text("1 / 0")
    net = load_network(f"{tmp_path / 'sized.py'}:make")
    assert isinstance(net.module, nn.Conv2d) and net.module.out_channels == 4
    with pytest.raises(TextonError, match="ZeroDivisionError"):
        load_network(f"{tmp_path / 'failing.py'}:make")
    assert "texton_user_failing" not in sys.modules


def test_without_internet_the_ways_out_are_told(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_route(*_: object, **__: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(torch.hub, "download_url_to_file", no_route)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: "hub")
    outcome = run("layers", "--network", "torchvision:resnet18")
    assert_refused(outcome, "no route to host")
    assert "--weights FILE" in outcome.err and "torchvision:resnet18@random" in outcome.err


@pytest.mark.slow
def test_weights_that_do_not_fit_say_where(run: Run, tmp_path: Path) -> None:
    net = load_network("torchvision:resnet18@random3")
    state = net.module.state_dict()
    torch.save({f"module.{key}": value for key, value in state.items()}, tmp_path / "w.pth")
    words = ("layers", "--network", "torchvision:resnet18", "--weights")
    assert run(*words, "w.pth").code == 0
    loaded = load_network("torchvision:resnet18", weights=tmp_path / "w.pth")
    assert loaded.weights_hash == net.weights_hash and loaded.name == "torchvision:resnet18"
    state["conv1.weight"] = torch.zeros(64, 1, 7, 7)
    state["head"] = state.pop("fc.bias")
    torch.save(state, tmp_path / "bad.pth")
    outcome = run(*words, "bad.pth")
    assert_refused(outcome, "1 missing (fc.bias); 1 unexpected (head); 1 of the wrong shape")
    assert "conv1.weight is 64×1×7×7 instead of 64×3×7×7" in outcome.err
    assert_refused(
        run("layers", "--network", "torchvision:resnet18@random", *words[3:], "w.pth"),
        "names weights and so does --weights",
    )


def test_timm_is_asked_for_its_preprocessing(monkeypatch: pytest.MonkeyPatch) -> None:
    module = nn.Sequential(nn.Conv2d(1, 4, 3))
    module.pretrained_cfg = {"mean": (0.5,), "std": (0.25,), "input_size": (1, 8, 8)}  # type: ignore[assignment]
    fake = ModuleType("timm")
    vars(fake).update(
        is_model=lambda name: name == "tiny",
        list_models=lambda: ["tiny"],
        create_model=lambda name, pretrained: module,
    )
    monkeypatch.setitem(sys.modules, "timm", fake)
    net = load_network("timm:tiny@random")
    assert (net.name, net.channels) == ("timm:tiny@random", 1)
    assert net.mean_colour.item() == 0.5
    with pytest.raises(TextonError, match="did you mean 'tiny'"):
        load_network("timm:tiney@random")


class Odd(nn.Module):
    """Dropout and batch norm in training mode, a dict, a function's rectifier, a 1×1 extent."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.drop = nn.Dropout2d(0.5)
        self.inner = Pair()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.last = nn.Conv2d(12, 5, 1)
        self.classes = nn.Linear(5 * 9, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.drop(self.norm(self.conv(x))))
        maps = self.inner(x)
        x = self.last(self.pool(torch.cat([maps["a"], maps["b"]], 1)))
        return self.classes(x.flatten(1))  # only fits images that there are none of


class Pair(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Conv2d(6, 6, 3, padding=1), nn.Conv2d(6, 6, 5, padding=2)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"a": self.left(x) + x, "b": F.relu(self.right(x))}


def test_the_module_in_training_mode_stays_as_it_was() -> None:
    module = Odd().train()
    module.drop.eval()
    module.conv.weight.requires_grad_(False)
    handle = module.norm.register_forward_hook(lambda *_: None)
    before = copy.deepcopy(module.state_dict())
    modes = {name: part.training for name, part in module.named_modules()}
    grads = {name: p.requires_grad for name, p in module.named_parameters()}
    hooks = {name: len(part._forward_hooks) for name, part in module.named_modules()}
    network = Network(module)
    image = torch.rand(1, 3, 32, 32)
    first = texton.invert_filter(image, network, "last", 1, steps=3)
    assert torch.equal(first.image, texton.invert_filter(image, network, "last", 1, steps=3).image)
    for wrong in ("inner", "nowhere", "classes"):
        with pytest.raises(TextonError):
            network.encode(image, wrong)
    assert modes == {name: part.training for name, part in module.named_modules()}
    assert grads == {name: p.requires_grad for name, p in module.named_parameters()}
    assert hooks == {name: len(part._forward_hooks) for name, part in module.named_modules()}
    for key, value in module.state_dict().items():
        assert torch.equal(value, before[key])
    handle.remove()


def test_outputs_that_are_no_maps_are_named() -> None:
    network = Network(Odd())
    with pytest.raises(
        TextonError, match=r"dict with the keys a, b.*inner\.right, inner@a, inner@b"
    ):
        network.layer("inner")
    assert network.layers["last"].name == "last"


def test_receptive_fields_are_measured_where_they_do_not_add_up() -> None:
    layers = load_network("torchvision:resnet18@random").measured_layers
    assert layers["layer4"].receptive_field == 435 and layers["layer4"].stride == 32
    odd = Network(Odd()).measured_layers
    fields = {name: odd[name].receptive_field for name in ("inner.left", "inner.right", "last")}
    assert fields == {"inner.left": 5, "inner.right": 7, "last": None}
    assert odd["last"].measured and not odd["conv"].measured


@pytest.mark.parametrize("kind", [nn.Hardswish, nn.SiLU, nn.GELU, nn.ReLU6, nn.PReLU])
def test_preactivations(kind: type[nn.Module]) -> None:
    network = Network(nn.Sequential(nn.Conv2d(3, 4, 3), kind(), nn.MaxPool2d(2)))
    assert network.preactivation("2") == network.preactivation("1") == "1<"


def test_preactivations_of_blocks_and_sums() -> None:
    resnet = load_network("torchvision:resnet18@random")
    assert resnet.preactivation("layer1.0") == "layer1.0.relu#2<"
    assert resnet.preactivation("layer1.0.bn2") == "layer1.0.bn2"
    inception = load_network("torchvision:googlenet@random")
    assert inception.preactivation("conv2") == "conv2.bn"

    class Functional(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Conv2d(3, 4, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return F.relu(self.inner(x))

    assert Network(nn.Sequential(Functional())).preactivation("0") == "0.inner"


@pytest.mark.parametrize("error", [torch.OutOfMemoryError, RuntimeError])
def test_out_of_memory_halves_the_batch(
    error: type[Exception], cat: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = Network(nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU()))
    expected = texton.invert_filters(cat, network, "1", range(5), steps=3)
    sizes: list[int] = []
    prepare = Network.prepare

    def tight(self: Network, image: torch.Tensor, compute: Compute) -> torch.Tensor:
        sizes.append(len(image))
        if len(image) > 2:
            raise error("MPS backend out of memory")
        return prepare(self, image, compute)

    monkeypatch.setattr(Network, "prepare", tight)
    monkeypatch.setattr(Compute, "batch", property(lambda _: 4))
    results = texton.invert_filters(cat, network, "1", range(5), steps=3)
    assert sizes.count(4) == 1 and sizes.count(2) >= 6
    assert [result.channel for result in results] == [0, 1, 2, 3, 4]
    for result, alone in zip(results, expected, strict=True):
        assert result.error == pytest.approx(alone.error, abs=0.02)


@pytest.mark.slow
def test_no_memory_for_one_image_is_told(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare = Network.prepare

    def tight(self: Network, image: torch.Tensor, compute: Compute) -> torch.Tensor:
        if image.requires_grad:  # enough for the photograph's own code, not for a step
            raise torch.OutOfMemoryError("CUDA out of memory")
        return prepare(self, image, compute)

    monkeypatch.setattr(Network, "prepare", tight)
    assert_refused(run("filter", CAT, "relu1_1:0,1", "--size", 32), "smaller --size")
