"""Stylising for real work: tiles, masks, colours, depth, alpha, going on after a kill."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import texton
from tests.helpers import EXAMPLES, Run, assert_refused
from texton import Network, TextonError
from texton.errors import TextonWarning
from texton.images.colours import with_colours_of
from texton.images.deep_png import deep_png
from texton.learned.file import read_tensors, write_tensors
from texton.methods.method import Task
from texton.methods.parts.colours import with_colors_of, without_white
from texton.methods.parts.masks import read_regions
from texton.methods.parts.statistics import from_sums, position_sums, weighted
from texton.methods.parts.stylizing import Painting
from texton.methods.parts.tiling import Tiling
from texton.methods.result import Unit
from texton.methods.style import StyleOptions, stages
from texton.network import codes
from texton.solve.blur import blurred
from texton.solve.objective import Objective

CAT, COFFEE = EXAMPLES / "chelsea.jpg", EXAMPLES / "coffee.jpg"
LAYERS = {"content_layer": "relu2", "style_layers": ("relu1", "relu3")}


class Small(nn.Module):
    """Three convolutions with a pool between, padded as VGG's are."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.conv1, self.relu1 = nn.Conv2d(3, 6, 3, padding=1), nn.ReLU()
        self.conv2, self.relu2 = nn.Conv2d(6, 5, 3, padding=1), nn.ReLU()
        self.pool = nn.AvgPool2d(2)
        self.conv3, self.relu3 = nn.Conv2d(5, 7, 3, padding=1), nn.ReLU()
        for each in self.parameters():
            each.data = torch.randn(each.shape, generator=generator) * 0.3

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.pool(self.relu2(self.conv2(self.relu1(self.conv1(x)))))
        out: torch.Tensor = self.relu3(self.conv3(x))
        return out


@pytest.fixture(scope="module")
def small() -> Network:
    return Network(Small(), name="small")


@pytest.fixture(scope="module")
def photo() -> torch.Tensor:
    return torch.rand(1, 3, 61, 70, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def paint() -> torch.Tensor:
    return torch.rand(1, 3, 53, 48, generator=torch.Generator().manual_seed(2)) ** 2


def painting(photo: torch.Tensor, small: Network, **options: Any) -> Painting:
    told = StyleOptions(**{**LAYERS, **options})
    return Painting(Task.of(photo, small, told, device="cpu"), Unit(), lambda *_: photo)


def slope(of: Painting, image: torch.Tensor, tiled: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """What is minimised of an image, and its gradient."""
    objective: Objective = of.objective(of.content, 1.0, of.regions)
    image = image.clone().requires_grad_(True)
    seen = {} if tiled else of.network.encode(image, objective.layers)
    value = objective(seen, image)
    (gradient,) = torch.autograd.grad(value.sum(), image)
    return value.detach(), gradient


def halves(height: int, width: int, split: int) -> torch.Tensor:
    mask = torch.zeros(1, 1, height, width)
    mask[..., split:] = 1
    return mask


@pytest.mark.parametrize("statistic", ["pmci", "gatys", "moments"])
@pytest.mark.parametrize("masked", [False, True])
def test_the_gradient_of_tiles_is_the_whole_pictures(
    small: Network, photo: torch.Tensor, paint: torch.Tensor, statistic: str, masked: bool
) -> None:
    masks = (halves(61, 70, 31), halves(53, 48, 20)) if masked else ()
    told = {"statistic": statistic, "styles": (paint,), "mask": masks}
    image = torch.rand(photo.shape, generator=torch.Generator().manual_seed(3))
    value, gradient = slope(painting(photo, small, **told), image, tiled=False)
    of_tiles = painting(photo, small, tile_size=32, **told)
    assert len(list(of_tiles._tiles.tiles((61, 70)))) == 6  # type: ignore[union-attr]
    tiled, exact = slope(of_tiles, image, tiled=True)
    torch.testing.assert_close(tiled, value, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(exact, gradient, rtol=1e-4, atol=2e-7 + 1e-4 * gradient.std().item())


@pytest.mark.slow
def test_the_gradient_of_tiles_is_vgg19s_too(net: Network) -> None:
    content, style = texton.read_image(CAT, 160), texton.read_image(COFFEE, 64)
    layers = ("relu1_1", "relu2_1", "relu3_1", "relu4_1")
    told = StyleOptions(styles=(style,), statistic="gatys", style_layers=layers)
    task = Task.of(content, net, told, device="cpu")
    whole = Painting(task, Unit(), lambda *_: style)
    cut = replace(task, options=replace(told, tile_size=64))
    tiled = Painting(cut, Unit(), lambda *_: style)
    image = (content + 0.1 * torch.rand_like(content)).clamp(0, 1)
    (value, gradient), (same, exact) = slope(whole, image, False), slope(tiled, image, True)
    assert len(list(tiled._tiles.tiles(image.shape[2:]))) > 4  # type: ignore[union-attr]
    torch.testing.assert_close(same, value, rtol=1e-4, atol=0)
    assert (exact - gradient).norm() < 1e-3 * gradient.norm()


def test_tiles_measure_what_the_whole_measures(
    small: Network, photo: torch.Tensor, paint: torch.Tensor
) -> None:
    told: dict[str, Any] = {"steps": 2, "statistic": "gatys", "device": "cpu", **LAYERS}
    whole = texton.stylize(photo, [paint], small, **told)
    tiled = texton.stylize(photo, [paint], small, tile_size=32, **told)
    for when in ("before", "after"):
        one, other = whole.settings["terms"][when], tiled.settings["terms"][when]
        assert one["total"] == pytest.approx(other["total"], rel=1e-3)
        assert one["style"] == pytest.approx(other["style"], rel=1e-2, abs=1e-6)
    assert (whole.image - tiled.image).abs().mean() < 0.01


def test_only_large_pictures_are_cut_and_begun_smaller(
    small: Network, photo: torch.Tensor, paint: torch.Tensor
) -> None:
    of = painting(photo, small, styles=(paint,), preset="fast")
    assert of._tiling(1_200_000) is None and of._tiling(1_200_001) is not None
    usual, large = (
        stages(torch.zeros(1, 1, 1000, columns), of.told, of.intake) for columns in (1200, 1201)
    )
    assert [count for _, count in usual] == [30, 20]
    assert len(large) == 6 and large[0][1] == 30 and large[-1] == (1.0, 4)
    assert large[0][0] == pytest.approx(2**-2.5)


def test_what_sees_the_whole_picture_has_no_tiles() -> None:
    class Normed(Small):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x - x.mean((2, 3), keepdim=True))

    with pytest.raises(TextonError, match="cannot be solved for in tiles"):
        Tiling(Network(Normed(), name="normed"), ["relu3"], 32)


def test_weights_of_one_change_no_statistic() -> None:
    code = torch.rand(2, 4, 5, 6)
    for name in ("means", "moments", "gram"):
        expected = getattr(codes, name)(code)
        torch.testing.assert_close(weighted(name, torch.ones(5, 6))(code), expected)
        parts = [position_sums(name, code[..., x]) for x in (slice(2), slice(2, None))]
        torch.testing.assert_close(from_sums(name, parts[0] + parts[1]), expected)


def test_each_region_has_its_own_style(small: Network) -> None:
    photo = torch.full((1, 3, 48, 64), 0.5)
    dark, light = torch.full((1, 3, 32, 32), 0.1), torch.full((1, 3, 32, 32), 0.9)
    told = {**LAYERS, "steps": 12, "device": "cpu", "mask": (halves(48, 64, 32),)}
    made = texton.stylize(photo, [dark, light], small, content_weight=0.01, **told)
    assert made.image[..., 28:36].mean() == pytest.approx(0.5, abs=0.25)
    assert made.image[..., :24].mean() < 0.35 and made.image[..., 40:].mean() > 0.65
    # one style, whose own halves say which goes where
    both = torch.cat([light, dark], 3)
    masks = (halves(48, 64, 32), 1 - halves(32, 64, 32))
    told["mask"] = masks
    turned = texton.stylize(photo, [both], small, content_weight=0.01, **told)
    assert turned.image[..., :24].mean() < 0.35 and turned.image[..., 40:].mean() > 0.65


def grey(path: Path, *levels: int, size: tuple[int, int] = (48, 32)) -> Path:
    """A mask of upright stripes."""
    values = np.repeat(np.array(levels, np.uint8), -(-size[0] // len(levels)))[: size[0]]
    Image.fromarray(np.tile(values, (size[1], 1))).save(path)
    return path


@pytest.mark.parametrize(
    ("masks", "says"),
    [
        (("none.png",), "no file"),
        (("wide.png",), "of another shape"),
        (("two.png", "flat.png"), "one grey"),
        (("two.png", "three.png"), "grey 128 that 'two.png' lacks"),
        (("three.png", "two.png"), "grey 128 that no style's mask has"),
        (("three.png",), "3 regions and there are 1 styles"),
        (("two.png", "two.png", "two.png"), "2 masks for 1 styles"),
        (("text.png",), "not an image"),
    ],
)
def test_bad_masks(masks: tuple[str, ...], says: str, run: Run, tmp_path: Path) -> None:
    grey(tmp_path / "two.png", 0, 255)
    grey(tmp_path / "three.png", 0, 128, 255)
    grey(tmp_path / "flat.png", 7)
    grey(tmp_path / "wide.png", 0, 255, size=(96, 32))
    (tmp_path / "text.png").write_text("no")
    before = sorted(tmp_path.iterdir())
    made = run("stylize", CAT, COFFEE, "--mask", *masks, "--size", 48, "--steps", 1)
    assert_refused(made, says)
    assert sorted(tmp_path.iterdir()) == before


def test_a_mask_of_another_size_is_brought_to_the_pictures(tmp_path: Path) -> None:
    mask = grey(tmp_path / "m.png", 3, 250, size=(24, 16))
    regions = read_regions([mask, mask], torch.zeros(1, 3, 32, 48), [torch.zeros(1, 3, 64, 96)])
    assert regions.content.shape == (2, 32, 48) and regions.areas() == [0.5, 0.5]
    assert regions.styles[0] is not None and regions.styles[0].shape == (2, 64, 96)


def test_a_paintings_own_grain_is_no_style(small: Network, photo: torch.Tensor) -> None:
    grain = 0.5 + 0.4 * (torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(5)) - 0.5)
    sharp, soft = (painting(photo, small, styles=(grain,), style_blur=x) for x in (0.0, 1.0))
    assert sharp.styles[0] is grain
    (style,) = soft.styles
    assert isinstance(style, torch.Tensor) and style.shape == grain.shape
    assert style.std() < 0.4 * grain.std()
    torch.testing.assert_close(style.mean(), grain.mean(), rtol=0.02, atol=0)
    flat = torch.full((1, 2, 20, 30), 0.3)
    torch.testing.assert_close(blurred(flat, 2.0), flat)


def test_small_styles_are_blurred_less(small: Network, photo: torch.Tensor) -> None:
    grain = torch.rand(1, 3, 128, 96, generator=torch.Generator().manual_seed(5))
    (usual,) = painting(photo, small, styles=(grain,)).styles
    assert torch.equal(usual, blurred(grain, 0.5))
    told = StyleOptions()
    assert [told.blur_of(edge) for edge in (128, 512, 3000)] == [0.5, 1.0, 1.0]
    assert StyleOptions(style_blur=0.7).blur_of(100) == 0.7
    (as_it_is,) = painting(photo, small, styles=(grain,), style_blur=0.0).styles
    assert as_it_is is grain


def test_colours_by_statistics_and_by_luma() -> None:
    generator = torch.Generator().manual_seed(0)
    style = 0.3 + 0.2 * torch.rand(1, 3, 40, 40, generator=generator)
    mixing = torch.tensor([[0.3, 0.1, 0.0], [0.1, 0.2, 0.0], [0.0, 0.1, 0.3]])
    content = 0.3 + torch.einsum("ij,bjhw->bihw", mixing, torch.rand(1, 3, 30, 50))
    moved, wanted = (x[0].flatten(1) for x in (with_colours_of(style, content), content))
    torch.testing.assert_close(moved.mean(1), wanted.mean(1), rtol=1e-2, atol=1e-3)
    torch.testing.assert_close(torch.cov(moved), torch.cov(wanted), rtol=0.05, atol=2e-4)
    grey_style = torch.rand(1, 3, 30, 50).mean(1, keepdim=True).expand(-1, 3, -1, -1)
    kept = with_colors_of(content, grey_style)
    luma = torch.tensor([0.299, 0.587, 0.114]).reshape(3, 1, 1)
    inside = ((kept > 0) & (kept < 1)).all(1)[0]
    torch.testing.assert_close((kept[0] * luma).sum(0)[inside], grey_style[0, 0][inside])


def test_deep_files_are_read_back_with_all_their_bits(tmp_path: Path) -> None:
    image, path = torch.rand(4, 9, 7), tmp_path / "x.png"
    expected = (image.double() * 65535).round().permute(1, 2, 0).numpy()
    path.write_bytes(deep_png(image[:1], {"texton": "ä"}))
    with Image.open(path) as seen:  # Pillow reads all of a grey one
        assert seen.mode == "I;16" and seen.info["texton"] == "ä"
        assert np.array_equal(np.asarray(seen), expected[..., 0])
    path.write_bytes(deep_png(image, {}))
    with Image.open(path) as seen:  # and the upper half of colours
        assert seen.size == (7, 9) and seen.mode == "RGBA"
        assert np.array_equal(np.asarray(seen), expected.astype(np.uint16) >> 8)


def test_depth_and_alpha_reach_the_file(small: Network, tmp_path: Path) -> None:
    photo = torch.rand(1, 3, 32, 40)  # of more than 8 bits
    alpha = torch.linspace(0, 1, 40).expand(32, 40)
    made = texton.stylize(photo, [1 - photo], small, steps=1, alpha=alpha, device="cpu", **LAYERS)
    assert made.bits == 16
    with Image.open(made.save(tmp_path / "deep.png")) as seen:
        assert seen.mode == "RGBA" and seen.size == (40, 32)
        assert np.abs(np.asarray(seen)[0, :, 3] - np.linspace(0, 255, 40)).max() <= 1
    flat = texton.stylize(photo, [1 - photo], small, steps=1, depth=8, device="cpu", **LAYERS)
    assert flat.bits == 8 and flat.alpha is None
    with pytest.raises(TextonError, match="use 8 or 16"):
        texton.stylize(photo, [1 - photo], small, depth=12, **LAYERS)


def test_colours_are_taken_off_the_white_that_they_were_laid_on() -> None:
    half, colours = torch.full((20, 30), 0.5), torch.rand(1, 3, 20, 30)
    torch.testing.assert_close(without_white(colours * half + (1 - half), half), colours)


class Stopped(KeyboardInterrupt):
    """Somebody's Ctrl-C."""


def stopped_after(steps: int) -> Any:
    """An ``on_step`` that lets so many pass."""
    seen: list[int] = []

    def stop(step: Any) -> None:
        seen.append(step.index)
        if len(seen) == steps:
            raise Stopped

    return stop


@pytest.fixture
def resuming(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The options of a solve that is kept after every step."""
    monkeypatch.setattr("texton.methods.parts.keeping._SECONDS", 0.0)
    monkeypatch.setattr("texton.methods.parts.keeping._SHARE", 0)
    monkeypatch.setattr("texton.methods.style._COUNTS", {"fast": (5, 4)})
    monkeypatch.setattr("texton.solve.scales._SMALLEST", 32)
    return {**LAYERS, "device": "cpu", "resume": True, "kept": tmp_path / "x.resume"}


@pytest.mark.parametrize(
    "options",
    [
        {"preset": "fast"},
        {"preset": "fast", "tile_size": 32, "statistic": "gatys", "init": "noise"},
        {"preset": "paper", "steps": 9},
    ],
)
@pytest.mark.parametrize("steps", [(1, 3), (5,), (6, 2)])
@pytest.mark.slow
def test_a_solve_that_was_stopped_makes_the_same_picture(
    small: Network,
    photo: torch.Tensor,
    paint: torch.Tensor,
    resuming: Any,
    options: Any,
    steps: Any,
) -> None:
    """In the middle of the first scale, at its end, in the middle of the last, and twice."""
    told = {**resuming, **options}
    whole = texton.stylize(photo, [paint], small, **{**told, "resume": False})
    at, most = 0, len(whole.trace)
    for count in steps:
        if at + count < most:
            with pytest.raises(Stopped):
                texton.stylize(photo, [paint], small, on_step=stopped_after(count), **told)
            at += count
    assert at and resuming["kept"].exists()
    seen: list[int] = []
    made = texton.stylize(photo, [paint], small, on_step=lambda x: seen.append(x.index), **told)
    assert len(seen) - (most - at) in (0, 1)  # a scale's last step is kept after it
    assert made.trace == whole.trace
    assert torch.equal(made.image, whole.image)
    again = texton.stylize(photo, [paint], small, on_step=stopped_after(1), **told)
    assert torch.equal(again.image, whole.image)  # as after a disk that was full


def test_a_solve_that_was_kept_for_another_picture_or_is_damaged(
    small: Network, photo: torch.Tensor, paint: torch.Tensor, resuming: Any
) -> None:
    told, kept = {**resuming, "steps": 6}, resuming["kept"]
    with pytest.raises(Stopped):
        texton.stylize(photo, [paint], small, on_step=stopped_after(4), **told)
    with pytest.raises(TextonError, match="another picture"):
        texton.stylize(photo, [paint], small, seed=5, **told)
    tensors, text = read_tensors(kept, "")
    record = json.loads(text)
    assert {"canvas", "rule/image", "rule/0/moved", "rule/2/curvature"} <= tensors.keys()
    bad = [
        (tensors, {**record, "step": 6}),
        (tensors, {**record, "step": True}),
        (tensors, {**record, "scales": 1}),
        (tensors, {**record, "step": 0}),
        (tensors, {**record, "trace": ["x"]}),
        ({**tensors, "canvas": tensors["canvas"][..., 1:]}, record),
        ({**tensors, "canvas": tensors["canvas"].double()}, record),
        ({**tensors, "rule/image": tensors["rule/image"] * torch.nan}, record),
        ({**tensors, "rule/9/moved": tensors["rule/0/moved"].clone()}, record),
        ({x: y for x, y in tensors.items() if x != "rule/slope"}, record),
        ({x: y for x, y in tensors.items() if x not in ("rule/slope", "rule/image")}, record),
        ({x: y for x, y in tensors.items() if x != "rule/ends"}, record),
        ({x: y for x, y in tensors.items() if x != "canvas"}, record),
    ]
    for values, header in bad:
        write_tensors(values, json.dumps(header), kept)
        with pytest.raises(TextonError, match="damaged"):
            texton.stylize(photo, [paint], small, **told)
    write_tensors(tensors, json.dumps({**record, "format": "texton-resume/1"}), kept)
    with pytest.raises(TextonError, match="by another version of texton: take it away"):
        texton.stylize(photo, [paint], small, **told)
    kept.write_bytes(b"broken")
    with pytest.raises(TextonError, match="is not a solve that --resume kept"):
        texton.stylize(photo, [paint], small, **told)


def test_a_disk_that_takes_no_solve_is_told_once(
    small: Network, photo: torch.Tensor, paint: torch.Tensor, resuming: Any, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    told = {**resuming, "steps": 3, "kept": tmp_path / "file/x.resume"}
    with pytest.warns(TextonWarning, match="the solve is not kept: cannot write") as warned:
        made = texton.stylize(photo, [paint], small, **told)
    assert made.steps == 3
    assert len([x for x in warned if "not kept" in str(x.message)]) == 1


def test_what_was_kept_is_gone_when_the_picture_is_there(run: Run, tmp_path: Path) -> None:
    words = ("stylize", CAT, COFFEE, "--size", 32, "--steps", 1, "--resume", "-o", "x.png")
    with patch("texton.methods.result.Result.save", side_effect=TextonError("a full disk")):
        failed = run(*words)
    assert failed.code == 2 and failed.err.endswith("error: a full disk\n")
    assert (tmp_path / "x.resume").exists()
    assert run(*words).code == 0
    assert [path.name for path in tmp_path.iterdir()] == ["x.png"]
    assert "--resume" not in run("info", "x.png").out.strip().splitlines()[-1]


@pytest.mark.slow
def test_frames_begin_from_the_one_before_and_are_told(run: Run, tmp_path: Path) -> None:
    clip = tmp_path / "clip"
    clip.mkdir()
    for number in range(3):
        Image.open(CAT).crop((number * 4, 0, 200 + number * 4, 150)).save(clip / f"{number}.png")
    words = ("stylize", COFFEE, "--frames", clip, "--size", 32, "--steps", 2, "--preset", "fast")
    made = run(*words, "-o", "out", "--animation", "gif", "--json")
    assert made.code == 0, made.err
    told = json.loads(made.out)
    assert [Path(x).name for x in told["frames"]] == ["0.png", "1.png", "2.png"]
    with Image.open(told["animation"]) as moving:
        assert getattr(moving, "n_frames", 1) == 3
    pictures = [Image.open(tmp_path / x).tobytes() for x in told["frames"]]
    again = shlex.split(run("info", "out/1.png").out.strip().splitlines()[-1])
    assert again[again.index("--start") + 1] == "out/0.png"
    again[again.index("-o") + 1] = "again.png"
    assert run(*again[1:]).code == 0
    assert Image.open(tmp_path / "again.png").tobytes() == pictures[1]
    Path("out/2.png").unlink()
    went_on = run(*words, "-o", "out", "--resume")
    assert went_on.code == 0 and went_on.err.count("is there") == 2
    assert Image.open(tmp_path / "out/2.png").tobytes() == pictures[2]


def test_frames_are_refused_before_the_first_what_the_second_would_be(
    run: Run, tmp_path: Path
) -> None:
    words = ("stylize", COFFEE, "--frames", tmp_path, "--size", 32, "-o", "out")
    assert_refused(run(*words, "--preset", "paper"), "has no masks, tiles or start")
    assert_refused(run(*words, "--model", "x.safetensors"), "one by one with --model")


def test_frames_keep_their_alpha_and_begin_where_they_are_told(run: Run, tmp_path: Path) -> None:
    (tmp_path / "clip").mkdir()
    for number in range(2):
        frame = Image.open(CAT).resize((48, 32)).convert("RGBA")
        frame.putalpha(Image.linear_gradient("L").resize((48, 32)))
        frame.save(tmp_path / f"clip/{number}.png")
    words = ("stylize", COFFEE, "--frames", "clip", "--size", 48, "--steps", 1, "--start", CAT)
    assert (made := run(*words, "-o", "out")).code == 0, made.err
    assert Image.open(tmp_path / "out/0.png").mode == "RGBA"
    for number, start in enumerate((CAT, "out/0.png")):
        again = shlex.split(run("info", f"out/{number}.png").out.strip().splitlines()[-1])
        assert again[again.index("--start") + 1] == str(start)


def test_a_moving_pictures_frames_are_unpacked_and_ctrl_c_keeps_them(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = [Image.open(CAT).crop((n, 0, 48 + n, 48)) for n in range(3)]
    frames[0].save(tmp_path / "m.gif", save_all=True, append_images=frames[1:])
    from texton.methods.parts import stylizing

    painted, count = stylizing.Painting.painted, []

    def until(self: Painting, *rest: Any) -> Any:
        count.append(0)
        if len(count) == 3:
            raise KeyboardInterrupt
        return painted(self, *rest)

    monkeypatch.setattr(stylizing.Painting, "painted", until)
    words = ("stylize", COFFEE, "--frames", "m.gif", "--size", 32, "--steps", 1, "-o", "out")
    made = run(*words)
    assert made.code == 130 and "2 of 3 frames are kept" in made.err
    assert sorted(x.name for x in (tmp_path / "out").glob("*.png")) == [
        "m-0001.png",
        "m-0002.png",
    ]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--frames", "one"), "two are needed"),
        (("--frames", "sizes"), "all of one size"),
        (("--frames", CAT), "neither a folder"),
        (("--frames", "one", "--animation", "avi"), "use webp or gif"),
        (("--frames", "sizes", "-o", "sizes/a.png"), "no folder"),
        (("--animation", "gif"), "--animation is of --frames"),
    ],
)
def test_bad_frames(words: tuple[object, ...], says: str, run: Run, tmp_path: Path) -> None:
    for name, sizes in {"one": (32,), "sizes": (32, 40)}.items():
        (tmp_path / name).mkdir()
        for number, side in enumerate(sizes):
            Image.new("RGB", (side, 32)).save(tmp_path / name / f"{'ab'[number]}.png")
    assert_refused(run("stylize", COFFEE, *words), says)
