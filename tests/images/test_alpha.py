"""Transparency of every kind that files have: the colours on white, and how opaque they are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import texton
from tests.helpers import EXAMPLES, Run
from texton.errors import TextonError, TextonWarning
from texton.images.alpha import read_alpha
from texton.images.deep_png import deep_png
from texton.methods.parts.colours import without_white

RAMP = np.tile(np.linspace(0, 1, 48), (32, 1))
COLOURS = np.stack([RAMP, RAMP[:, ::-1], np.full_like(RAMP, 0.5)], 2)
GREY = np.stack([RAMP] * 3, 2)
CLEAR = np.tile(np.linspace(0.2, 1, 32)[:, None], (1, 48))  # down, as colours vary across
HOLE = (np.indices((32, 48)).sum(0) % 32 < 16).astype(float)

Write = Callable[[Path], tuple[np.ndarray, np.ndarray]]  # gives what it wrote: colours, alpha


def tiff(
    colours: np.ndarray, kind: type, extra: str, planar: str = "contig", byteorder: str = "<"
) -> Write:
    def write(path: Path) -> tuple[np.ndarray, np.ndarray]:
        tifffile = pytest.importorskip("tifffile", reason="tifffile is not installed")
        found = colours * CLEAR[..., None] if extra == "assocalpha" else colours
        bands = found[..., :1] if colours is GREY else found
        values = np.concatenate([bands, CLEAR[..., None]], 2)
        if not issubclass(kind, np.floating):
            values = values * np.iinfo(kind).max
        laid = values.astype(kind)
        laid = np.ascontiguousarray(laid.transpose(2, 0, 1)) if planar == "separate" else laid
        kinds = {"photometric": "minisblack" if colours is GREY else "rgb"}
        told = {**kinds, "planarconfig": planar, "extrasamples": [extra], "byteorder": byteorder}
        tifffile.imwrite(path.with_suffix(".tif"), laid, **told)
        return colours, CLEAR

    return write


def png16(colours: np.ndarray) -> Write:
    def write(path: Path) -> tuple[np.ndarray, np.ndarray]:
        bands = colours[..., :1] if colours is GREY else colours
        values = np.concatenate([bands, CLEAR[..., None]], 2)
        path.with_suffix(".png").write_bytes(
            deep_png(torch.from_numpy(values.transpose(2, 0, 1).copy()), {})
        )
        return colours, CLEAR

    return write


def eight(suffix: str, mode: str = "RGBA") -> Write:
    def write(path: Path) -> tuple[np.ndarray, np.ndarray]:
        colours = GREY if mode == "LA" else COLOURS
        values = (np.concatenate([colours, CLEAR[..., None]], 2) * 255).round()
        picture = Image.fromarray(values.astype(np.uint8))
        picture = picture.convert(mode) if mode != "RGBA" else picture
        picture.save(path.with_suffix(suffix), **({"lossless": True} if suffix == ".webp" else {}))
        return colours, CLEAR

    return write


def palette(suffix: str, half: bool) -> Write:
    """Two colours, one of them clear, or half so."""

    def write(path: Path) -> tuple[np.ndarray, np.ndarray]:
        picture = Image.fromarray(HOLE.astype(np.uint8), mode="P")
        picture.putpalette([255, 0, 0, 0, 0, 255])
        told = bytes([127, 255]) if half else 0
        picture.save(path.with_suffix(suffix), transparency=told)
        colours = np.stack([1 - HOLE, np.zeros_like(HOLE), HOLE], 2)
        return colours, np.where(HOLE == 1, 1, 127 / 255 if half else 0)

    return write


def keyed(mode: str) -> Write:
    """A PNG in which one colour means nothing."""

    def write(path: Path) -> tuple[np.ndarray, np.ndarray]:
        grey = (HOLE * 200).astype(np.uint8)
        picture = Image.fromarray(grey).convert(mode)
        picture.save(path.with_suffix(".png"), transparency=0 if mode == "L" else (0, 0, 0))
        return np.stack([grey / 255] * 3, 2), HOLE

    return write


KINDS = {
    "TIFF, 16 bits": tiff(COLOURS, np.uint16, "unassalpha"),
    "TIFF, 16 bits, plane by plane": tiff(COLOURS, np.uint16, "unassalpha", "separate"),
    "TIFF, 16 bits, big-endian": tiff(COLOURS, np.uint16, "unassalpha", byteorder=">"),
    "TIFF, 16 bits, multiplied": tiff(COLOURS, np.uint16, "assocalpha"),
    "TIFF, floats": tiff(COLOURS, np.float32, "unassalpha"),
    "TIFF, floats, multiplied": tiff(COLOURS, np.float32, "assocalpha"),
    "TIFF, 16 bits of grey": tiff(GREY, np.uint16, "unassalpha"),
    "TIFF, floats of grey": tiff(GREY, np.float32, "unassalpha"),
    "TIFF, 8 bits": tiff(COLOURS, np.uint8, "unassalpha"),
    "PNG, 16 bits": png16(COLOURS),
    "PNG, 16 bits of grey": png16(GREY),
    "PNG": eight(".png"),
    "PNG of grey": eight(".png", "LA"),
    "WebP": eight(".webp"),
    "PNG, palette, one clear": palette(".png", half=False),
    "PNG, palette, one half clear": palette(".png", half=True),
    "GIF": palette(".gif", half=False),
    "PNG, one colour clear": keyed("RGB"),
    "PNG, one grey clear": keyed("L"),
}


@pytest.mark.works("a transparent picture of any kind", "laid on white; what is solved keeps it")
@pytest.mark.parametrize("name", list(KINDS))
def test_colours_are_on_white_and_alpha_is_kept(name: str, tmp_path: Path) -> None:
    colours, alpha = KINDS[name](tmp_path / "x")
    (path,) = tmp_path.iterdir()
    image = texton.read_image(path)
    found = read_alpha(path, image)
    assert found is not None and found.dtype == torch.float32
    assert np.abs(found.numpy() - alpha).max() < 0.006
    white = colours * alpha[..., None] + 1 - alpha[..., None]
    assert np.abs(image[0].permute(1, 2, 0).numpy() - white).max() < 0.012
    if ("16 bits" in name and "TIFF" in name) or "floats" in name:
        assert np.abs(found.numpy() - alpha).max() < 1e-4
        assert np.abs(image[0].permute(1, 2, 0).numpy() - white).max() < 1e-4


@pytest.mark.parametrize("extra", ["unassalpha", "assocalpha"])
def test_sixteen_bits_keep_their_alpha_where_pillow_reads_eight(
    extra: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.tif"
    colours, clear = tiff(COLOURS, np.uint16, extra)(path)

    def missing() -> None:
        raise TextonError("tifffile is not installed")

    monkeypatch.setattr("texton.images.deep._reader", missing)
    with pytest.warns(TextonWarning, match="8 of its 16 bits"):
        image = texton.read_image(path)
    on_white = colours * clear[..., None] + 1 - clear[..., None]
    assert np.abs(image[0].numpy().transpose(1, 2, 0) - on_white).max() < 0.02
    alpha = read_alpha(path, image)
    assert alpha is not None
    assert np.abs(alpha.numpy() - clear).max() < 0.005


@pytest.mark.parametrize("name", ["TIFF, 16 bits", "PNG"])
@pytest.mark.parametrize(
    "told", [{"long_edge": 24}, {"crop": "square"}, {"crop": (16, 20)}, {"multiple": 7}]
)
def test_alpha_lies_as_its_colours_do(name: str, told: dict[str, object], tmp_path: Path) -> None:
    KINDS[name](tmp_path / "x")
    (path,) = tmp_path.iterdir()
    image = texton.read_image(path, **told)  # type: ignore[arg-type]
    alpha = read_alpha(path, image, **told)  # type: ignore[arg-type]
    assert alpha is not None and alpha.shape == image.shape[2:]
    own = without_white(image, alpha)  # the third channel is an even grey
    assert (own[0, 2] - 0.5).abs().max() < 0.02


def test_what_is_not_transparent_has_no_alpha(tmp_path: Path) -> None:
    for name in ("chelsea.jpg", "coffee.jpg"):
        assert read_alpha(EXAMPLES / name, texton.read_image(EXAMPLES / name)) is None
    solid = Image.new("RGBA", (32, 32), (10, 20, 30, 255))
    solid.save(tmp_path / "x.png")
    assert read_alpha(tmp_path / "x.png", texton.read_image(tmp_path / "x.png")) is None
    assert read_alpha(tmp_path / "none.png", torch.zeros(1, 3, 32, 32)) is None


def test_a_deep_transparent_photograph_makes_a_deep_transparent_picture(
    run: Run, tmp_path: Path
) -> None:
    KINDS["TIFF, 16 bits"](tmp_path / "x")
    (tmp_path / "own.py").write_text(
        "from torch import nn\ndef make(): return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1))\n"
    )
    words = ("--network", "own.py:make", "--content-layer", "0", "--style-layers", "0")
    made = run("stylize", "x.tif", EXAMPLES / "coffee.jpg", *words, "--steps", 1, "-o", "made.png")
    assert made.code == 0, made.err
    assert (tmp_path / "made.png").read_bytes()[24] == 16  # bits, in the header
    picture = Image.open(tmp_path / "made.png")
    assert picture.mode == "RGBA"
    assert np.abs(np.asarray(picture)[..., 3] / 255 - CLEAR).max() < 0.006
