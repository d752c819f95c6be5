"""What units see where neighbours see differently: decoders, pixel shuffles, axes of their own."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import texton
from tests.helpers import EXAMPLES, Run
from tests.transformers import seeded
from texton import Network
from texton.atlas.plan import Asked, make_plan
from texton.atlas.site.pages import environment
from texton.jobs.manifest import Manifest

CAT = EXAMPLES / "chelsea.jpg"


class UNet(nn.Module):
    """Two halvings and back: it takes sides that are multiples of 4."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.ModuleList([nn.Conv2d(n, 4, 3, padding=1) for n in (3, 4, 4)])
        self.up = nn.ModuleList([nn.ConvTranspose2d(4, 4, 2, stride=2) for _ in range(2)])
        self.join = nn.ModuleList([nn.Conv2d(8, 4, 3, padding=1) for _ in range(2)])

    def forward(self, image: Tensor) -> Tensor:
        first = self.down[0](image).relu()
        second = self.down[1](F.max_pool2d(first, 2)).relu()
        x = self.down[2](F.max_pool2d(second, 2)).relu()
        x = self.join[0](torch.cat([second, self.up[0](x)], 1)).relu()
        out: Tensor = self.join[1](torch.cat([first, self.up[1](x)], 1))
        return out


def shuffled() -> nn.Module:
    conv = nn.Conv2d(3, 12, 3, padding=1)
    return nn.Sequential(conv, nn.PixelShuffle(2), nn.Conv2d(3, 4, 3, padding=1))


def by_axes() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, stride=(2, 1), padding=1),
        nn.Conv2d(4, 4, (3, 1), stride=(1, 2)),
        nn.ConvTranspose2d(4, 4, (2, 1), stride=(2, 1)),
    )


def unet() -> nn.Module:
    return seeded(UNet)


class Deep(nn.Module):
    """Takes sides that are multiples of 16."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.up = nn.ConvTranspose2d(4, 4, 16, stride=16)
        self.last = nn.Conv2d(8, 4, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        x = self.first(image)
        out: Tensor = self.last(torch.cat([x, self.up(F.avg_pool2d(x, 16))], 1))
        return out


def deep() -> nn.Module:
    return seeded(Deep)


def dilated() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, stride=2, dilation=2), nn.PixelShuffle(2), nn.Conv2d(1, 2, 3)
    )


def seen(module: nn.Module, layer: str, axis: int) -> int:
    """How far the unit that sees most reaches along an axis, by the gradient of each."""
    network = Network(module)
    for weight in module.parameters():
        weight.data = weight.data.abs() + 0.1
    image = torch.rand(1, 3, 64, 64, requires_grad=True)
    code = network.encode(image, layer)[layer]
    widest = 0
    for place in range(3 * code.shape[axis] // 8, 5 * code.shape[axis] // 8):
        (slope,) = torch.autograd.grad(code.select(axis, place).sum(), image, retain_graph=True)
        hit = slope.sum([x for x in range(4) if x != axis]).nonzero().flatten()
        widest = max(widest, int(hit[-1] - hit[0]) + 1)
    return widest


@pytest.mark.works(
    "a pixel shuffle, a decoder, strides that differ by axis",
    "what units see is measured for each that sees differently, strides may be half a pixel, and "
    "`layers` says where it is only a bound, or not known",
)
@pytest.mark.parametrize("make", [shuffled, by_axes, unet, dilated])
def test_the_widest_is_what_the_gradient_reaches(make: Callable[[], nn.Module]) -> None:
    network = Network(make())
    for name, layer in network.measured_layers.items():
        expected = max(seen(make(), name, axis) for axis in (2, 3))
        assert (layer.receptive_field, layer.status) == (expected, "exact"), name


def test_strides_are_of_each_axis_and_may_be_less_than_a_pixel() -> None:
    fine = Network(shuffled()).measured_layers
    assert [x.strides for x in fine.values()] == [(1, 1), (0.5, 0.5), (0.5, 0.5)]
    assert [x.receptive_field for x in fine.values()] == [3, 3, 4]
    assert [x.strides for x in Network(by_axes()).layers.values()] == [(2, 1), (2, 2), (1, 2)]


class Resizing(nn.Module):
    """Brings every image to 96 pixels itself."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        out: Tensor = self.conv(F.interpolate(image, size=(96, 96)))
        return out


def test_a_network_that_resizes_is_told(run: Run, tmp_path: Path) -> None:
    network = Network(Resizing())
    assert network.resizes and network.measured_layers["conv"].status == "not known"
    (tmp_path / "mine.py").write_text("from tests.network.test_fields import Resizing\n")
    listed = run("layers", "--network", "mine.py:Resizing")
    assert "?" in listed.out.splitlines()[1].split() and "another size itself" in listed.out
    told = json.loads(run("layers", "--network", "mine.py:Resizing", "--json").out)["layers"]
    assert told[0]["status"] == "not known" and told[0]["receptive_field"] is None


def test_an_atlas_tells_what_is_not_known(tmp_path: Path) -> None:
    """That a unit sees the whole picture is something else."""
    named = {"network": f"{__file__}:Resizing"}
    asked = Asked((CAT,), "conv", "0", options={"steps": 1}, network=named, reading={"size": 48})
    manifest = Manifest.from_json(make_plan(asked, tmp_path / "a").manifest.to_json())
    (layer,) = manifest.layers
    assert layer.receptive_field is None and layer.field_status == "not known"
    field = environment().get_template("parts.html").module.field  # type: ignore[attr-defined]
    told = [
        field({"field": side, "field_status": status}).strip()
        for side, status in ((None, "not known"), (None, "exact"), (9, "at most"), (9, "exact"))
    ]
    assert told[0] == "a part (how large is not known)" and told[1] == "the whole picture"
    assert told[2:] == ["at most 9 × 9 px", "9 × 9 px"]


@pytest.mark.works(
    "a U-Net, whose sides must be multiples of 4, 8, 16",
    "what is solved beyond the picture's edge is no more than it takes",
)
def test_a_decoder_is_given_no_more_than_it_takes(run: Run) -> None:
    """At 96 pixels two more a side would be solved: 100 is no multiple of 16."""
    network = f"{Path(__file__)}:deep"
    words = ("filter", CAT, "last:1", "--network", network, "--size", 96, "--steps", 3)
    assert run(*words).code == 0
    result = texton.invert_filter(torch.rand(1, 3, 96, 96), Network(deep()), "last", 1, steps=4)
    assert result.image.shape == (3, 96, 96) and result.trace[-1] < result.trace[0]


class Patches(nn.Module):
    """Patches of 4 that do not overlap, each normalised."""

    def __init__(self) -> None:
        super().__init__()
        self.patches, self.norm = nn.Conv2d(3, 8, 4, stride=4), nn.LayerNorm(8)

    def forward(self, image: Tensor) -> Tensor:
        out: Tensor = self.norm(self.patches(image).permute(0, 2, 3, 1))
        return out


def test_patches_are_not_shifted_by_what_is_cut_off() -> None:
    """At this size two pixels a side would be solved more, half a patch."""
    image = texton.read_image(CAT, 128)
    result = texton.invert_filter(image, Network(seeded(Patches)), "norm", 1, steps=20)
    assert abs(result.error - result.trace[-1]) < 0.05 and result.achieved > 0.2
