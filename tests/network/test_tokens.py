"""Tokens and channels-last tensors as layers: which they are, where they lie, what they show."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import texton
from tests.helpers import EXAMPLES, Run
from tests.transformers import Mixer, Rearranged, TinyViT, Windows, seeded
from texton import Network, TextonError

CAT = EXAMPLES / "chelsea.jpg"
TINY = f"{Path(__file__).parent.parent / 'transformers.py'}:"


def network(module: type[nn.Module], *args: object) -> Network:
    return Network(seeded(module, *args))


@pytest.fixture(scope="module")
def vit() -> Network:
    return network(TinyViT)


@pytest.fixture(scope="module")
def photo() -> Tensor:
    return texton.read_image(CAT, 48)[..., :32, 8:40].contiguous()


def test_tokens_are_a_code_on_their_grid(vit: Network) -> None:
    image = torch.rand(2, 3, 32, 32)
    code = vit.encode(image, ["patches", "blocks.0.norm1", "blocks.1"])
    assert {name: x.shape for name, x in code.items()} == dict.fromkeys(code, (2, 16, 4, 4))
    module = vit.module
    assert isinstance(module, TinyViT)
    with torch.no_grad():
        x = module.patches(image).flatten(2).transpose(1, 2)
        x = torch.cat([module.first.expand(2, -1, -1), x], 1) + module.positions
        expected = module.blocks[0].norm1(x)[:, 1:]  # type: ignore[operator, union-attr]
    for token in range(16):
        at = code["blocks.0.norm1"][:, :, token // 4, token % 4]
        assert torch.allclose(at, expected[:, token], atol=1e-5)
    assert vit.layer("blocks.0.norm1").strides == (8, 8)


@pytest.mark.works(
    "a vision transformer: tokens (B, N, C) or (N, B, C), class and register tokens",
    "its blocks are layers: the embedding's channels are filters, tokens lie on their grid, what "
    "stands for no place is set aside",
)
@pytest.mark.parametrize(
    "told", [(16, False, 0), (16, True, 0), (12, False, 3), (18, False, 1)], ids=str
)
def test_class_tokens_and_registers_are_set_aside(told: tuple[int, bool, int]) -> None:
    """Of the last, as many tokens as features."""
    net, width = network(TinyViT, *told), told[0]
    for name in ("blocks.0", "blocks.0.attention@0", "blocks.1.mlp.1", "blocks.1.mlp.1<"):
        channels = 2 * width if "mlp.1" in name else width
        assert net.layer(name.removesuffix("<")).channels == channels
        assert net.encode(torch.rand(2, 3, 32, 32), name)[name].shape == (2, channels, 4, 4)


def test_what_is_no_code_is_no_layer() -> None:
    """Mixing over tokens gives features of no place, however the sizes agree."""
    net = network(Mixer)
    assert list(net.layers) == ["patches", "over_features"]
    with pytest.raises(TextonError, match=r"over_tokens.*1×16×16 values, no feature maps"):
        net.layer("over_tokens")
    windows = network(Windows)
    with pytest.raises(TextonError, match=r"window.qkv.*tokens whose grid is not known"):
        windows.layer("window.qkv")


@pytest.mark.works(
    "inner blocks with their channels last (Swin, ConvNeXt), tokens without a class token",
    "layers, at every size that the network takes: their grid is followed from the patches on",
)
@pytest.mark.parametrize("size", [(64, 64), (32, 96)])
def test_grids_go_with_the_image(size: tuple[int, int]) -> None:
    rows, columns = size
    net = network(Windows)
    image = torch.rand(1, 3, *size)
    codes = net.encode(image, ["patches", "norm", "window", "merge", "last.2"])
    assert codes["norm"].shape == codes["window"].shape == (1, 8, rows // 4, columns // 4)
    assert codes["merge"].shape == codes["last.2"].shape == (1, 16, rows // 8, columns // 8)
    expected = nn.functional.layer_norm(codes["patches"].permute(0, 2, 3, 1), (8,))
    assert torch.allclose(codes["norm"], expected.permute(0, 3, 1, 2), atol=1e-5)
    other = network(Rearranged)
    code = other.encode(image, "embed")["embed"]
    assert code.shape == (1, 8, rows // 4, columns // 4)
    corner = image[..., :4, -4:].permute(0, 2, 3, 1).flatten(1)
    assert torch.allclose(code[..., 0, -1], other.module.embed(corner), atol=1e-5)


@pytest.mark.parametrize(
    "named", [(TinyViT, "blocks.1"), (TinyViT, "blocks.1.mlp.1"), (Windows, "window")], ids=str
)
def test_they_are_inverted(named: tuple[type[nn.Module], str], photo: Tensor) -> None:
    net, layer = network(named[0]), named[1]
    found = texton.invert_filters(photo, net, layer, [0, 1], steps=20)
    assert [x.status for x in found] == ["ok", "ok"]
    assert all(x.error < 0.6 and x.achieved > 0.25 for x in found)
    assert not torch.allclose(found[0].image, found[1].image, atol=0.1)
    assert texton.invert(photo, net, layer, steps=20).error < 0.01


def test_they_are_inverted_from_the_command_line(run: Run) -> None:
    words = ("filter", CAT, "last.2:0,3", "window:1", "--network", f"{TINY}windows")
    outcome = run(*words, "--size", 48, "--steps", 3, "--json", "--each", "u")
    assert outcome.code == 0, outcome.err
    units = json.loads(outcome.out)["units"]
    assert [f"{x['layer']}:{x['channel']}" for x in units] == ["last.2:0", "last.2:3", "window:1"]
    assert all(np.asarray(Image.open(x["image"])).shape == (32, 48, 3) for x in units)
    listed = run("layers", "--network", f"{TINY}windows")
    rows = {line.split()[0]: line.split()[1:] for line in listed.out.splitlines()}
    assert rows["norm"] == ["LayerNorm", "8", "4", "~4"]
    assert rows["window"][3].startswith("≤"), "it goes with the place in a window"


class Biased(nn.Module):
    """A table (1, heads, N, N) that a part makes of its weights, as relative positions are."""

    def __init__(self) -> None:
        super().__init__()
        self.patches, self.table = nn.Conv2d(3, 2, 8, stride=8), Table()

    def forward(self, image: Tensor) -> Tensor:
        x = self.patches(image).flatten(2)
        out: Tensor = (x.unsqueeze(3) * x.unsqueeze(2) + self.table()).sum()
        return out


class Table(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.values = nn.Parameter(torch.randn(9, 2))

    def forward(self) -> Tensor:
        index = torch.arange(64 * 64) % 9
        return self.values[index].view(64, 64, 2).permute(2, 0, 1)[None]


def test_what_is_the_same_for_every_image_is_no_layer() -> None:
    net = network(Biased)
    assert list(net.layers) == ["patches"]
    with pytest.raises(TextonError, match="the same for every image"):
        net.layer("table")


@pytest.mark.slow
def test_transformers_of_hugging_face_are_followed() -> None:
    hub = pytest.importorskip("transformers")
    told = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "patch_size": 8}
    module = hub.ViTModel(hub.ViTConfig(image_size=32, intermediate_size=16, **told))
    net = Network(module)
    assert net.intake().only == (32, 32)
    assert net.layer("layers.0.mlp.activation_fn").channels == 16
    assert net.encode(torch.rand(2, 3, 32, 32), "layernorm")["layernorm"].shape == (2, 8, 4, 4)
    how = {"image_size": 64, "embed_dim": 8, "depths": [2, 2], "num_heads": [2, 2]}
    swin = Network(hub.SwinModel(hub.SwinConfig(window_size=4, **how)))
    codes = swin.encode(torch.rand(1, 3, 64, 96), ["encoder.layers.0.blocks.1@0", "layernorm"])
    assert [x.shape[1:] for x in codes.values()] == [(8, 16, 24), (16, 8, 12)]
    assert not any("relative_position_bias" in name for name in swin.layers)
