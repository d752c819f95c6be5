"""Textures from noise: of pictures and filters, at any size, with and without a seam."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import nn

import texton
from tests.helpers import Run, assert_refused
from texton import Network, TextonError, read_settings
from texton.images.colours import with_colours_of
from texton.methods.method import Task
from texton.methods.parts.seams import seam
from texton.methods.parts.texturing import layers_of, stages
from texton.methods.result import Unit
from texton.methods.texture import METHOD, TextureOptions

SMALL = """
import torch
from torch import nn

def make():
    torch.manual_seed(3)
    parts = [nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2)]
    parts += [nn.Conv2d(6, 1, 3, padding=1), nn.ReLU()]
    parts[3].bias.data.fill_(1.0)  # alive, whatever it sees
    return nn.Sequential(*parts), {"mean": 0.5, "std": 1.0, "input_range": 1.0, "channels": 3}
"""


@pytest.fixture(scope="module")
def small() -> Network:
    torch.manual_seed(3)
    parts = [nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2)]
    return Network(
        nn.Sequential(*parts, nn.Conv2d(6, 8, 3, padding=1), nn.ReLU()), name="small", mean=0.5
    )


@pytest.fixture(scope="module")
def stripes() -> torch.Tensor:
    """Diagonal, orange and blue, 8 pixels wide: nothing of it meets at 60 pixels a side."""
    places = torch.arange(60)
    wave = 0.5 + 0.4 * torch.sin((places[:, None] + 2 * places) / 8 * 2 * torch.pi)
    return torch.stack([wave, wave * 0.5 + 0.2, 1 - wave])[None]


@pytest.fixture
def own(tmp_path: Path) -> str:
    (tmp_path / "nets.py").write_text(SMALL)
    return f"{tmp_path / 'nets.py'}:make"


def synthesize(source: torch.Tensor, network: Network, **options: object) -> texton.Result:
    return texton.synthesize(source, network, **{"size": 64, "steps": 12, **options})  # type: ignore[arg-type]


@pytest.mark.parametrize("statistic", ["gram", "means", "moments", "shifted", "sorted"])
def test_every_statistic_comes_nearer_and_colours_are_right(
    small: Network, stripes: torch.Tensor, statistic: str
) -> None:
    made = synthesize(stripes, small, statistic=statistic, tile=True)
    assert made.image.shape == (3, 64, 64) and made.trace[-1] < 0.3 * made.trace[0]
    torch.testing.assert_close(made.image.mean((1, 2)), stripes[0].mean((1, 2)), atol=0.02, rtol=0)
    assert made.settings["layers"] == ["1", "4"] and set(made.settings["terms"]) == {"1", "4"}


def test_a_tile_has_no_seam_and_another_picture_has_one(
    small: Network, stripes: torch.Tensor
) -> None:
    tile = synthesize(stripes, small, tile=True, steps=25)
    plain = synthesize(stripes, small, steps=25)
    assert tile.seam < 1.05 and plain.seam is None
    assert seam(stripes) > 1.2, "the source itself has one"
    assert torch.equal(tile.image, synthesize(stripes, small, tile=True, steps=25).image)
    other = synthesize(stripes, small, tile=True, steps=25, seed=1)
    assert not torch.equal(tile.image, other.image)


def test_grey_sources_stay_grey(small: Network) -> None:
    grey = torch.rand(1, 1, 48, 48, generator=torch.Generator().manual_seed(0)).repeat(1, 3, 1, 1)
    made = synthesize(grey, small, steps=3)
    assert (made.image.amax(0) - made.image.amin(0)).max() <= 1.5 / 255


def test_colours_are_turned_to_a_mean_and_covariance() -> None:
    drawn = torch.Generator().manual_seed(0)
    picture, source = (0.5 + 0.05 * torch.randn(1, 3, 20, 30, generator=drawn) for _ in range(2))
    source[:, 1] = 0.3 * source[:, 0] + 0.1
    turned = with_colours_of(picture, source)
    points, wanted = turned[0].flatten(1), source[0].flatten(1)
    torch.testing.assert_close(points.mean(1), wanted.mean(1), atol=1e-3, rtol=0)
    torch.testing.assert_close(torch.cov(points), torch.cov(wanted), atol=1e-4, rtol=0)
    flat = torch.full((1, 3, 4, 4), 0.25)
    torch.testing.assert_close(
        with_colours_of(picture, flat),
        flat.expand(1, 3, 4, 4)[..., :1, :1].expand_as(picture),
        atol=0.05,
        rtol=0,
    )


def test_scales_are_as_coarse_as_the_smaller_of_source_and_picture() -> None:
    told = TextureOptions()
    net = Network(nn.Sequential(nn.Conv2d(3, 2, 3, padding=1), nn.ReLU()), name="one")

    def scales(source: int, size: int) -> list[float]:
        from texton.methods.parts.texturing import planned

        plan = planned(Task(net, (Unit(),), {}, told, "cpu", size))
        return [scale for scale, _ in stages(torch.rand(1, 3, source, source), told, plan)]

    assert scales(512, 512) == [0.25, 0.5, 1.0]
    assert scales(128, 1024) == [0.5, 1.0]
    assert scales(512, 64) == [1.0]


def test_layers_of_other_networks_are_the_first_of_each_stride(small: Network) -> None:
    assert layers_of(small, []) == ("1", "4")
    assert layers_of(small, ["4", "4"]) == ("4",)
    with pytest.raises(TextonError, match="no layer 'relu9_9'"):
        layers_of(small, ["relu9_9"])


def test_an_atlas_is_of_filters_and_refuses_early(small: Network) -> None:
    assert METHOD.axes == ("layer", "channel") and METHOD.check is not None
    task = Task(small, (Unit("4", 1),), {}, TextureOptions(tile=True), "cpu", 63)
    with pytest.raises(TextonError, match=r"multiples of 2, use --size 62 or 64"):
        METHOD.check(task)


@pytest.mark.slow
def test_filters_and_pictures_stand_beside_each_other(
    run: Run, own: str, stripes: torch.Tensor
) -> None:
    texton.write_image(stripes[0], "red.stripes.png")
    words = ("--network", own, "--size", 64, "--steps", 4, "--tile")
    made = run("texture", "red.stripes.png", "1:0-1", *words, "--each", "each", "--json")
    assert made.code == 0, made.err
    units = json.loads(made.out)["units"]
    assert [(x["layer"], x["channel"]) for x in units] == [(None, None), ("1", 0), ("1", 1)]
    each = sorted(x.name for x in Path("each").iterdir())
    assert each == ["1-0.png", "1-1.png", "red.stripes.png"]
    with Image.open("each/1-0.png") as picture:
        assert picture.size == (64, 64)
    command = read_settings("each/red.stripes.png")["command"]
    assert command.startswith("texton texture red.stripes.png --tile --steps 4")
    again = run(*command.split()[1:-1], "again.png")
    assert again.code == 0, again.err
    one, other = (texton.read_image(x) for x in ("each/red.stripes.png", "again.png"))
    assert torch.equal(one, other)


def test_mistakes_are_told_in_a_line(run: Run, own: str) -> None:
    def refused(says: str, *words: object) -> None:
        assert_refused(run("texture", *words, "--network", own, "--steps", 1), says)

    Image.new("RGB", (64, 20), "red").save("thin.png")
    Image.new("RGBA", (64, 64), (0, 0, 0, 0)).save("clear.png")
    Image.new("L", (64, 64), 128).save("grey.png")
    refused("Missing argument 'SOURCE...'")
    refused("there is no file 'none.png'", "none.png")
    refused("there is no file 'none.png'", "grey.png", "none.png", "--each", "each")
    assert not list(Path("each").glob("*")), "refused before anything is made"
    refused("no layer 'relu9_9'", "relu9_9:4")
    refused("no layer 'nothing'", "nothing")
    refused("4 has no channel 7", "4:7")
    refused("names no channels", "4")
    refused("a texture is seen in 32", "thin.png")
    refused("use --size 62 or 64", "grey.png", "--tile", "--size", 63)
    refused("size is 5", "grey.png", "--size", 5)
    refused("unknown statistic 'grams'", "grey.png", "--statistic", "grams")
    refused("no layer 'conv'", "grey.png", "--texture-layers", "conv")
    assert not list(Path().glob("*-texture.png")), "nothing is half written"
    assert Path("grey.png").stat().st_size, "a source is not written over"
    for statistic in ("shifted", "sorted"):  # of a layer of one channel, grey and clear sources
        for name in ("grey.png", "clear.png"):
            words = ("--network", own, "--size", 64, "--steps", 2, "--statistic", statistic)
            made = run("texture", name, *words, "--force")
            assert made.code == 0, made.err
