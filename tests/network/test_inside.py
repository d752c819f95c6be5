"""Codes in what modules give beside others: dicts, tuples, what a network gives in the end."""

from __future__ import annotations

import json

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import texton
from tests.helpers import EXAMPLES, Run
from texton import Network


class Pyramid(nn.Module):
    """As a feature pyramid does: maps by name, one made inside; a tuple beside."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(4, 5, 3, 2, 1)
        self.both = Both()

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        first = self.first(image)
        made = self.both(first, self.second(first))
        boxes = made["sums"][1].flatten(1)
        out = F.interpolate(made["pool"], image.shape[2:], mode="bilinear")
        return {"out": out, "boxes": boxes}


class Both(nn.Module):
    def forward(self, fine: Tensor, coarse: Tensor) -> dict[str, object]:
        pool = F.max_pool2d(coarse, 2)
        return {"fine": fine, "pool": pool, "sums": (coarse.sum((2, 3)), coarse[:, :2] * 2)}


@pytest.mark.works(
    "detectors, segmentation, generators, autoencoders: modules that give dicts and tuples",
    "every code inside is a layer: `fpn@pool`, `attention@0`, and `@out` of the whole network",
)
def test_each_code_inside_is_a_layer_once() -> None:
    network = Network(Pyramid())
    assert [*network.layers] == ["first", "second", "both@pool", "both@sums@1", "@out"]
    assert network.layer("both@pool").strides == (8, 8) and network.layer("@out").strides == (1, 1)
    image = torch.rand(2, 3, 32, 32)
    codes = network.encode(image, ["second", "both@sums@1", "both@pool", "@out"])
    assert torch.equal(codes["both@sums@1"], codes["second"][:, :2] * 2)
    assert torch.equal(codes["both@pool"], F.max_pool2d(codes["second"], 2))
    assert codes["@out"].shape == (2, 5, 32, 32)
    with pytest.raises(texton.TextonError, match=r"keys fine, pool, sums.*both@pool, both@sums@1"):
        network.layer("both")


def test_they_are_inverted(run: Run) -> None:
    network = f"{__file__}:Pyramid"
    words = ("filter", EXAMPLES / "chelsea.jpg", "both@pool:0", "@out:1", "--network", network)
    made = run(*words, "--size", 32, "--steps", 3, "--json")
    assert made.code == 0, made.err
    assert [x["layer"] for x in json.loads(made.out)["units"]] == ["both@pool", "@out"]
    listed = run("layers", "--network", network, "--json").out
    fields = {x["name"]: x["receptive_field"] for x in json.loads(listed)["layers"]}
    assert fields["both@pool"] == 7 + 4 and fields["@out"] == 7 + 4 + 8


def test_what_is_not_one_for_each_image_is_no_layer() -> None:
    class Crops(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.crop = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3)

        def forward(self, x: Tensor) -> Tensor:
            x = self.conv(x)
            out: Tensor = self.crop(torch.cat([x[..., :8, :8], x[..., -8:, -8:]]))
            return out

    network = Network(Crops())
    assert [*network.layers] == ["conv"]
    with pytest.raises(texton.TextonError, match="not one for each image"):
        network.layer("crop")
