"""DeepDream: octaves, tiles, guides, and a flight into the picture."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import nn

from tests.helpers import EXAMPLES, Run, assert_refused
from texton import Network, TextonError
from texton.methods.dream import dream
from texton.methods.parts.dreaming import closer, octave_sizes
from texton.solve.canvas import PixelCanvas
from texton.solve.maximise import Energy, Guided
from texton.solve.presets import SolverSettings
from texton.solve.rules import Ascent
from texton.solve.views import Tiles

CAT = EXAMPLES / "chelsea.jpg"


@pytest.fixture(scope="module")
def edges() -> Network:
    """Filter 0 answers steps along rows, filter 1 along columns."""
    conv = nn.Conv2d(3, 2, 3, padding=1, bias=False)
    with torch.no_grad():
        conv.weight.zero_()
        conv.weight[0, :, :, 0], conv.weight[0, :, :, 2] = -0.2, 0.2
        conv.weight[1, :, 0], conv.weight[1, :, 2] = -0.2, 0.2
    return Network(nn.Sequential(conv, nn.ReLU()), name="edges", mean=0.5)


@pytest.fixture(scope="module")
def grey() -> torch.Tensor:
    noise = torch.rand(1, 3, 24, 24, generator=torch.Generator().manual_seed(0))
    soft = torch.nn.functional.interpolate(noise, (96, 120), mode="bilinear")
    return 0.4 + 0.2 * soft


def slopes(image: torch.Tensor) -> tuple[float, float]:
    return (
        float(image.diff(dim=-1).square().mean()),
        float(image.diff(dim=-2).square().mean()),
    )


def test_what_a_layer_sees_becomes_stronger(edges: Network, grey: torch.Tensor) -> None:
    made = dream(grey, edges, "1", [0], octaves=1, iterations=6)
    along, across = slopes(made.image)
    before = slopes(grey)
    assert along / before[0] > 2 * across / before[1]
    assert made.rise > 1.5 and 0.005 < made.moved < 0.05
    assert len(made.trace) == made.steps == 6 and made.trace[-1] < made.trace[0] < 0
    again = dream(grey, edges, "1", [0], octaves=1, iterations=6)
    assert torch.equal(made.image, again.image)
    assert not torch.equal(made.image, dream(grey, edges, "1", octaves=1, iterations=6).image)


def test_octaves_carry_what_is_drawn_and_keep_the_photograph_sharp(edges: Network) -> None:
    photo = torch.zeros(1, 3, 150, 150)
    photo[..., ::2] = 0.5  # finer than any smaller octave has
    made = dream(photo, edges, "1", [1], octaves=2, iterations=1, strength=1e-6)
    assert float((made.image - photo[0]).abs().mean()) < 0.01
    assert octave_sizes((150, 300), 4, 1.4) == [(107, 214), (150, 300)]
    assert octave_sizes((40, 40), 4, 1.4) == [(40, 40)]


def test_a_step_has_its_length_whatever_the_slope() -> None:
    canvas = PixelCanvas(torch.full((2, 3, 8, 8), 0.5))
    rule = Ascent(canvas, SolverSettings(learning_rate=0.01))
    gradient = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    gradient[1] *= 1000
    rule.move(gradient, torch.tensor([1.0, 0.5], dtype=torch.float64))
    moved = (canvas.values - 0.5).detach()
    assert moved.abs().mean((1, 2, 3)).tolist() == pytest.approx([0.01, 0.005], rel=1e-4)
    assert bool((moved.sign() == -gradient.sign()).all())


def test_a_soft_slope_leaves_out_what_is_finest() -> None:
    rows, columns = torch.meshgrid(torch.arange(16.0), torch.arange(16.0), indexing="ij")
    coarse, checks = (columns / 2.5).sin(), 1 - 2 * ((rows + columns) % 2)
    for blur, least, most in ((0.0, 0.9, 1.1), (1.5, 3.0, 1e6)):
        canvas = PixelCanvas(torch.zeros(1, 1, 16, 16))
        rule = Ascent(canvas, SolverSettings(learning_rate=0.01, steps=1), blur)
        rule.move((coarse + checks)[None, None], torch.ones(1, dtype=torch.float64))
        moved = -canvas.values.detach()[0, 0]
        shares = [float((moved * x).sum() / x.square().sum()) for x in (coarse, checks)]
        assert least < shares[0] / shares[1] < most
        assert float(moved.abs().mean()) == pytest.approx(0.01, rel=1e-3)


def test_a_network_of_either_pooling_dreams_by_its_maxima(grey: torch.Tensor) -> None:
    def network(pool: nn.Module, **details: str) -> Network:
        conv = nn.Conv2d(3, 2, 3, padding=1, bias=False)
        torch.manual_seed(0)
        nn.init.normal_(conv.weight)
        module = nn.Sequential(conv, nn.ReLU(), pool, nn.Conv2d(2, 1, 1), nn.ReLU())
        nn.init.constant_(module[3].weight, 0.5)
        return Network(module, name="pools", details=details)

    either = network(nn.AvgPool2d(2), pooling="avg")
    told = {"octaves": 1, "iterations": 2}
    most, own = (dream(grey, either, "4", pools=x, **told).image for x in ("max", "own"))
    assert not torch.equal(most, own)
    assert torch.equal(most, dream(grey, network(nn.MaxPool2d(2)), "4", **told).image)
    assert torch.equal(own, dream(grey, network(nn.AvgPool2d(2)), "4", **told).image)


def test_a_layer_that_sees_things_dreams_longer(grey: torch.Tensor) -> None:
    wide = Network(nn.Sequential(nn.Conv2d(3, 1, 1), nn.AvgPool2d(80, 16), nn.ReLU()))
    assert dream(grey, wide, "0", octaves=1).steps == 10
    assert dream(grey, wide, "2", octaves=1).steps == 20
    assert dream(grey, wide, "2", octaves=1, iterations=3).steps == 3


def test_tiles_cover_an_image_whatever_it_is_shifted_by() -> None:
    image = torch.arange(70.0 * 45).reshape(1, 1, 70, 45)
    tiles = Tiles([torch.Generator().manual_seed(0)], (70, 45), 32, 5)
    for index in range(3):
        views = [view(image) for view in tiles.at(index)]
        assert len(views) == 6 and {tuple(x.shape) for x in views} == {(1, 1, 34, 39)}
        assert len(torch.cat([x.flatten() for x in views]).unique()) == image.numel()
    (alone,) = Tiles([torch.Generator().manual_seed(0)], (30, 30), 32, 5).at(0)
    assert alone(image[..., :30, :30]).shape == (1, 1, 62, 62)


def test_tiles_are_of_the_sides_that_a_network_takes() -> None:
    """Multiples of 8 here: with a rim, or 36 pixels a tile, it would refuse them."""
    image = torch.arange(72.0 * 48).reshape(1, 1, 72, 48)
    views = Tiles([torch.Generator().manual_seed(0)], (72, 48), 40, 5, multiple=8).at(0)
    seen = [view(image) for view in views]
    assert {tuple(x.shape) for x in seen} == {(1, 1, 40, 24)}
    assert len(torch.cat([x.flatten() for x in seen]).unique()) == image.numel()


def test_where_opposite_edges_meet_nothing_is_strengthened() -> None:
    """Or every dream would have a frame."""
    image = torch.linspace(0, 1, 40).expand(1, 1, 50, 40).clone().requires_grad_()
    (view,) = Tiles([torch.Generator().manual_seed(1)], (50, 40), 512, 32).at(0)
    seen = view(image)
    (slope,) = torch.autograd.grad(seen.sum(), image, retain_graph=True)
    assert torch.equal(slope, torch.ones_like(image))  # each pixel once, the rim not at all
    leaps = (seen.roll(1, 3) - seen).abs() > 0.1
    assert leaps.any()
    (slope,) = torch.autograd.grad(seen[leaps | leaps.roll(-1, 3)].sum(), image)
    assert not slope.any()


def test_a_large_picture_dreams_the_same_in_tiles(
    edges: Network, grey: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = {"octaves": 1, "iterations": 8}
    whole = dream(grey, edges, "1", [0], **told)
    monkeypatch.setattr("texton.methods.parts.dreaming._TILE", 40)
    tiled = dream(grey, edges, "1", [0], **told)
    assert tiled.rise == pytest.approx(whole.rise, rel=0.25)  # seams answer too
    assert not torch.equal(tiled.image, whole.image)


def test_a_guide_is_looked_for() -> None:
    code = torch.rand(1, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    guide = torch.rand(1, 3, 2, 2, generator=torch.Generator().manual_seed(1))
    vectors, known = code[0].flatten(1).T, guide[0].flatten(1)
    expected = -(vectors @ known).amax(1).mean()
    assert torch.allclose(Guided("x", guide)({"x": code}, code)[0], expected)
    energy = Energy("x", [2])({"x": code}, code)[0]
    assert torch.allclose(energy, -code[0, 2].square().mean())


def test_a_guides_features_are_what_is_drawn(edges: Network, grey: torch.Tensor) -> None:
    lying = torch.zeros(1, 3, 32, 32)
    lying[..., ::8, :] = lying[..., 1::8, :] = lying[..., 2::8, :] = 1
    made = dream(grey, edges, "1", guide=lying, octaves=1, iterations=6)
    along, across = slopes(made.image)
    before = slopes(grey)
    assert across / before[1] > 1.5 * along / before[0]


def test_a_flight_ends_where_it_is_asked_to(edges: Network, grey: torch.Tensor) -> None:
    made = dream(grey, edges, "1", octaves=1, iterations=1, zoom=3)
    assert len(made.frames) == 3 and torch.equal(made.frames[0], made.image)
    ramp = torch.linspace(0.2, 0.8, 41).expand(1, 3, 41, 41)
    seen = closer(ramp)
    assert float(seen[0, 0, 20, 20]) == pytest.approx(0.5, abs=1e-3)
    assert float(seen[0, 0, 20, 8:32].diff().mean()) == pytest.approx(0.95 * 0.015, rel=1e-2)


def test_the_command_writes_an_animation(run: Run, tmp_path: Path) -> None:
    words = ("dream", CAT, "relu1_2:3,5", "--size", 48, "--iterations", 1, "--octaves", 1)
    made = run(*words, "--zoom", 3, "--animation", "gif", "--json")
    assert made.code == 0, made.err
    found = json.loads(made.out)
    picture = tmp_path / found["image"]
    assert picture.name == "chelsea-relu1_2-3+5-octaves1-iterations1-zoom3-dream.png"
    moving = Image.open(picture.with_suffix(".gif"))
    assert moving.n_frames == 3 and moving.size == Image.open(picture).size
    assert run(*words, "--zoom", 2, "--animation", "gif", "-o", picture).code == 0  # its own
    (tmp_path / "other.gif").write_text("mine")
    told = ("--zoom", 2, "--animation", "gif", "-o", "other.png")
    assert_refused(run(*words, *told), "'other.gif' exists and texton did not make it")
    assert (tmp_path / "other.gif").read_text() == "mine"


def test_mistakes_of_a_dream_are_one_line(run: Run, edges: Network, grey: torch.Tensor) -> None:
    assert_refused(run("dream", CAT, "relu1_2:64"), "has 0 to 63")
    assert_refused(run("dream", CAT), "name a layer")
    several = ("relu1_1", "relu1_2", "--zoom", 2)
    assert_refused(run("dream", CAT, *several), "one picture moves at a time")
    with pytest.raises(TextonError, match="octaves is 0"):
        dream(grey, edges, "1", octaves=0)
