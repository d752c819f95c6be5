"""Files of more than 8 bits, of many bands, of an iPhone: which value is white, who reads them."""

from __future__ import annotations

import base64
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import texton
from tests.helpers import Run, assert_refused
from texton.atlas.plan import Asked, make_plan
from texton.errors import TextonError, TextonWarning
from texton.jobs.store import Store

RAMP = np.tile(np.linspace(0, 1, 48), (32, 1))
COLOURS = np.stack([RAMP, RAMP[:, ::-1], np.full_like(RAMP, 0.5)], 2)
# COLOURS at 96×64, as pillow-heif writes it.
HEIC = (
    "AAAAHGZ0eXBoZWljAAAAAG1pZjFoZWljbWlhZgAAAVZtZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAA"
    "AAAAAAAAAAAAACJpbG9jAAAAAERAAAEAAQAAAAABegABAAAAAAAAAGwAAAAjaWluZgAAAAAAAQAAABVpbmZlAgAA"
    "AAABAABodmMxAAAAAA5waXRtAAAAAAABAAAA1mlwcnAAAAC3aXBjbwAAAHhodmNDAQNwAAAAkAAAAAAAHvAA/P34"
    "+AAADwNgAAEAGEABDAH//wNwAAADAJAAAAMAAAMAHroCQGEAAQArQgEBA3AAAAMAkAAAAwAAAwAeoDCBBZbqSSmu"
    "bgIaDAgAAAMAyAAAAwAIQGIAAQAHRAHBcrAiQAAAABNjb2xybmNseAABAA0ABoAAAAAUaXNwZQAAAAAAAABgAAAA"
    "QAAAABBwaXhpAAAAAAMICAgAAAAXaXBtYQAAAAAAAAABAAEEgQIDBAAAAHRtZGF0AAAAaCgBrwngRwEQ4oF3yHKc"
    "i/i1yVcDQIwYuD6moO9UOtqPYpzyVfE8UaGAO4GF0fpQ01tNQjLQoy4+tZ8w15nDJa/XLsuNdstL93v6i66vs7kZ"
    "Fr4ST/BtehAsJMUFB2iecorjMeat1/HQ"
)
NET = "from torch import nn\ndef make(): return nn.Sequential(nn.Conv2d({0}, 4, 3, padding=1))\n"


def mean_difference(image: torch.Tensor, seen: np.ndarray) -> float:
    return float(np.abs(image[0].permute(1, 2, 0).numpy() - seen).mean())


def save_tiff(path: Path, values: np.ndarray, **options: object) -> Path:
    tifffile = pytest.importorskip("tifffile", reason="tifffile is not installed")
    tifffile.imwrite(path, values, **options)
    return path


@pytest.mark.works(
    "12-bit values in a 16-bit file (microscopes, X-ray)",
    "nearly black, and a line that says so; `--white 4095` reads them",
)
def test_twelve_bits_in_sixteen(tmp_path: Path, run: Run) -> None:
    path = tmp_path / "x.tif"
    Image.fromarray((RAMP * 4095).astype(np.uint16)).save(path)
    with pytest.warns(TextonWarning, match=r"largest value is 4095 of 65535.*add --white 4095"):
        dark = texton.read_image(path)
    assert dark.max() < 0.07
    assert mean_difference(texton.read_image(path, white=4095), RAMP[..., None]) < 1e-3
    assert (
        mean_difference(texton.read_image(path, white=2047), (2 * RAMP)[..., None].clip(0, 1))
        < 1e-3
    )
    (tmp_path / "own.py").write_text(NET.format(3))
    words = ("invert", path, "0", "--network", "own.py:make", "--steps", 60, "-o", "made.png")
    told = run(*words)
    assert told.code == 0
    assert told.err.count("nearly black") == 1 and "\nx.tif" not in told.err
    lit = run(*words, "--white", 4095)
    assert lit.code == 0 and "nearly black" not in lit.err
    means = np.asarray(Image.open(tmp_path / "made.png"), float).mean()
    assert abs(means - 127) < 20
    assert "--white 4095" in run("info", "made.png").out
    assert_refused(run(*words, "--white", 0), "white is 0")


@pytest.mark.parametrize("white", [None, 4095])
def test_an_array_of_twelve_bits(white: float | None, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", (COLOURS * 4095).astype(np.uint16))
    if white is None:
        with pytest.warns(TextonWarning, match="add --white 4095"):
            assert texton.read_image(tmp_path / "x.npy").max() < 0.07
        return
    assert mean_difference(texton.read_image(tmp_path / "x.npy", white=white), COLOURS) < 1e-3
    np.save(tmp_path / "y.npy", (COLOURS * 4095).astype(np.int32))
    assert mean_difference(texton.read_image(tmp_path / "y.npy", white=white), COLOURS) < 1e-3
    with pytest.raises(TextonError, match="say which value is white"):
        texton.read_image(tmp_path / "y.npy")


def test_a_dark_photograph_of_eight_bits_says_nothing(
    tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    Image.fromarray((COLOURS * 40).astype(np.uint8)).save(tmp_path / "x.png")
    Image.fromarray((RAMP * 30000).astype(np.uint16)).save(tmp_path / "y.png")
    for name in ("x.png", "y.png"):
        texton.read_image(tmp_path / name)
    assert not [x for x in recwarn if issubclass(x.category, TextonWarning)]
    assert mean_difference(texton.read_image(tmp_path / "x.png", white=40), COLOURS) < 0.02


@pytest.mark.works(
    "a TIFF of 16-bit colours", "all its bits, through tifffile; without it 8 of them, and a line"
)
def test_sixteen_bits_of_colour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save_tiff(tmp_path / "x.tif", (COLOURS * 65535).astype(np.uint16), photometric="rgb")
    assert mean_difference(texton.read_image(path), COLOURS) < 1e-4
    grey = COLOURS @ np.array([0.299, 0.587, 0.114])
    assert mean_difference(texton.read_image(path, channels=1), grey[..., None]) < 1e-4
    assert texton.read_image(path, 24).shape == (1, 3, 16, 24)
    monkeypatch.setitem(sys.modules, "tifffile", None)
    with pytest.warns(TextonWarning, match=r"8 of its 16 bits: tifffile is not installed"):
        assert mean_difference(texton.read_image(path), COLOURS) < 0.01


def test_twelve_bits_of_colour(tmp_path: Path) -> None:
    path = save_tiff(tmp_path / "x.tif", (COLOURS * 4095).astype(np.uint16), photometric="rgb")
    with pytest.warns(TextonWarning, match="add --white 4095"):
        texton.read_image(path)
    assert mean_difference(texton.read_image(path, white=4095), COLOURS) < 1e-3


def test_sixteen_bit_colours_are_upright_and_on_white(tmp_path: Path) -> None:
    deep = (COLOURS * 65535).astype(np.uint16)
    tag = [(274, 3, 1, 6, True)]
    turned = save_tiff(tmp_path / "x.tif", deep, photometric="rgb", extratags=tag)
    assert mean_difference(texton.read_image(turned), np.rot90(COLOURS, -1)) < 1e-4
    clear = np.concatenate([deep, np.full((32, 48, 1), 32768, np.uint16)], 2)
    told = {"photometric": "rgb", "extrasamples": ["unassalpha"]}
    path = save_tiff(tmp_path / "y.tif", clear, **told)
    assert mean_difference(texton.read_image(path), COLOURS / 2 + 0.5) < 1e-3


@pytest.mark.works(
    "a TIFF of many bands", "its bands are the network's channels; one line where they are not"
)
@pytest.mark.parametrize(("kind", "planar"), [(np.uint8, "contig"), (np.uint16, "separate")])
def test_many_bands(kind: type, planar: str, tmp_path: Path, run: Run) -> None:
    bands = np.stack([RAMP * part for part in (1, 0.8, 0.6, 0.4, 0.2)], 2)
    scaled = (bands * np.iinfo(kind).max).astype(kind)
    laid = scaled.transpose(2, 0, 1) if planar == "separate" else scaled
    path = save_tiff(
        tmp_path / "x.tif",
        np.ascontiguousarray(laid),
        photometric="minisblack",
        planarconfig=planar,
    )
    assert mean_difference(texton.read_image(path, channels=5), bands) < 0.01
    (tmp_path / "own.py").write_text(NET.format(5))
    words = ("filter", path, "0:1", "--steps", 1, "-o", "made.png", "--network", "own.py:make")
    assert run(*words).code == 0
    assert_refused(run("filter", path, "relu1_1:0"), "5 bands, the network takes 3 channels")


def test_many_bands_name_what_reads_them(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save_tiff(tmp_path / "x.tif", np.zeros((32, 48, 5), np.uint8), planarconfig="contig")
    monkeypatch.setitem(sys.modules, "tifffile", None)
    outcome = run("filter", path, "relu1_1:0")
    assert_refused(outcome, "tifffile is not installed: pip install '.[images]'")


def test_a_damaged_tiff_of_sixteen_bit_colours(tmp_path: Path, run: Run) -> None:
    path = save_tiff(tmp_path / "x.tif", (COLOURS * 65535).astype(np.uint16), photometric="rgb")
    path.write_bytes(path.read_bytes()[:2000])
    assert_refused(run("filter", path, "relu1_1:0"), "x.tif' is ")


def test_eight_bit_tiffs_are_read_as_before(tmp_path: Path) -> None:
    eight = (COLOURS * 255).astype(np.uint8)
    for mode in ("RGB", "RGBX", "CMYK", "L"):
        Image.fromarray(eight).convert(mode).save(tmp_path / f"{mode}.tif")
        assert texton.read_image(tmp_path / f"{mode}.tif").shape == (1, 3, 32, 48)


@pytest.mark.works("a photograph in HEIC", "read where pi-heif is installed; named where not")
def test_heic(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    head = b"\x00\x00\x00\x18ftypheic" + b"\0" * 100
    (tmp_path / "x.heic").write_bytes(head)
    with monkeypatch.context() as patched:
        patched.setitem(sys.modules, "pi_heif", None)
        outcome = run("filter", "x.heic", "relu1_1:0")
        assert_refused(outcome, "pi_heif is not installed: pip install '.[images]'")
    pytest.importorskip("pi_heif", reason="pi-heif is not installed")
    (tmp_path / "y.heic").write_bytes(base64.b64decode(HEIC))
    seen = np.asarray(Image.fromarray((COLOURS * 255).astype(np.uint8)).resize((96, 64)), float)
    assert mean_difference(texton.read_image(tmp_path / "y.heic"), seen / 255) < 0.03
    assert_refused(run("filter", "x.heic", "relu1_1:0"), "x.heic' is ")


@pytest.mark.works("a photograph whose EXIF cannot be parsed", "read as it lies")
@pytest.mark.parametrize(
    "exif",
    [b"Exif\0\0" + b"\xff" * 40, b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\x01" * 30, b"Exif\0\0"],
)
def test_exif_that_cannot_be_parsed(exif: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.jpg"
    Image.fromarray((COLOURS * 255).astype(np.uint8)).save(path, quality=95, exif=exif)
    assert mean_difference(texton.read_image(path), COLOURS) < 0.05


def test_an_atlas_remembers_which_value_is_white(tmp_path: Path) -> None:
    Image.fromarray((RAMP * 4095).astype(np.uint16)).save(tmp_path / "x.png")
    (tmp_path / "own.py").write_text(NET.format(3))
    told = {"layers": "0", "network": {"network": f"{tmp_path / 'own.py'}:make"}}
    asked = Asked([tmp_path / "x.png"], reading={"white": 4095}, **told)
    plan = make_plan(asked, tmp_path / "a")
    assert plan.photos["x"].max() == 1 and plan.manifest.settings["white"] == 4095
    store = Store(tmp_path / "a", plan.manifest)
    with store.lock():
        for photo in plan.manifest.photos:
            store.write_photo(photo.name, plan.photos[photo.name])
        store.save(plan.manifest)
    assert make_plan(Asked(**told), tmp_path / "a").manifest.settings["white"] == 4095
    with pytest.raises(TextonError, match="white"):
        make_plan(Asked(reading={"white": 1023}, **told), tmp_path / "a")


def test_a_compression_that_needs_another_package_names_it(tmp_path: Path, run: Run) -> None:
    pytest.importorskip("tifffile", reason="tifffile is not installed")
    path = tmp_path / "x.tif"
    Image.fromarray((COLOURS * 255).astype(np.uint8)).convert("CMYK").save(
        path, compression="tiff_lzw"
    )
    (tmp_path / "own.py").write_text(NET.format(4))
    words = ("filter", path, "0:1", "--steps", 1, "-o", "made.png", "--network", "own.py:make")
    outcome = run(*words)
    if outcome.code:  # where imagecodecs is not installed
        assert_refused(outcome, "pip install imagecodecs")


def test_pages_that_are_not_read_are_told(tmp_path: Path) -> None:
    path = save_tiff(tmp_path / "x.tif", (np.stack([RAMP] * 5) * 255).astype(np.uint8))
    with pytest.warns(TextonWarning, match="has several pages: the first is read"):
        found = texton.read_image(path, channels=5)
    assert mean_difference(found, RAMP[..., None]) < 0.01


def test_numbers_beyond_pillow_s_are_told(tmp_path: Path) -> None:
    path = save_tiff(tmp_path / "x.tif", (RAMP * 4e9).astype(np.uint32))
    with pytest.raises(TextonError, match="above 2,147,483,647 or not finite"):
        texton.read_image(path)
