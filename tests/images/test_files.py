"""Every kind of file that is accepted or refused, through the command line.

Code inversion gives the photograph back, so the picture made tells how it was read: of a network
that gives what it takes, in a tenth of the time that VGG-19's first layer would need.
"""

from __future__ import annotations

import os
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

import texton
from tests.helpers import Run
from texton.errors import TextonError
from texton.images.files import to_bytes, write_bytes
from texton.images.folder import images_in, read_pictures

SIZE = (48, 32)
SAME = """
import torch
from torch import nn

def made():
    same = nn.Conv2d(3, 3, 1)
    nn.init.dirac_(same.weight)
    nn.init.zeros_(same.bias)
    return nn.Sequential(same)
"""


def scene() -> Image.Image:
    """Four coloured fields, so that rotations, channels and tones all show."""
    picture = Image.new("RGB", SIZE, (200, 40, 40))
    picture.paste((40, 170, 60), (24, 0, 48, 16))
    picture.paste((50, 70, 200), (0, 16, 24, 32))
    picture.paste((230, 210, 90), (24, 16, 48, 32))
    return picture


def grey_ramp() -> np.ndarray:
    return np.tile(np.linspace(0, 1, SIZE[0]), (SIZE[1], 1))


def half_transparent() -> Image.Image:
    picture = scene().convert("RGBA")
    picture.putalpha(Image.new("L", SIZE, 128))
    return picture


def on_white() -> Image.Image:
    return Image.blend(Image.new("RGB", SIZE, "white"), scene(), 128 / 255)


def make(kind: str, folder: Path) -> tuple[Path, Image.Image]:
    """A file of that kind, and the picture a person sees in it."""
    picture = scene()
    path = folder / f"photo.{kind.partition('-')[0]}"
    if kind == "png-grey":
        grey = picture.convert("L")
        grey.save(path)
        return path, grey.convert("RGB")
    if kind in ("png-rgba", "tiff-rgba"):
        half_transparent().save(path)
        return path, on_white()
    if kind == "png-grey_alpha":
        half_transparent().convert("LA").save(path)
        return path, ImageOps.grayscale(on_white()).convert("RGB")
    if kind == "png-palette":
        picture.quantize(16).save(path)
        return path, picture
    if kind == "gif-transparent":
        flat = picture.quantize(8)
        flat.save(path, transparency=flat.getpixel((0, 0)))
        seen = picture.copy()
        seen.paste("white", (0, 0, 24, 16))
        return path, seen
    if kind == "png-one_bit":
        picture.convert("1", dither=Image.Dither.NONE).save(path)
        return path, picture.convert("1", dither=Image.Dither.NONE).convert("RGB")
    if kind in ("jpg-cmyk", "tiff-cmyk"):
        picture.convert("CMYK").save(path, quality=100)
        return path, picture
    if kind in ("png-16bit", "tiff-16bit"):
        Image.fromarray((grey_ramp() * 65535).astype(np.uint16)).save(path)
        return path, Image.fromarray((grey_ramp() * 255).astype(np.uint8)).convert("RGB")
    if kind == "tiff-float":
        Image.fromarray(grey_ramp().astype(np.float32)).save(path)
        return path, Image.fromarray((grey_ramp() * 255).astype(np.uint8)).convert("RGB")
    if kind == "jpg-rotated":
        exif = Image.Exif()
        exif[0x0112] = 6  # the camera was held upright: show it turned by a quarter
        picture.save(path, quality=100, subsampling=0, exif=exif)
        return path, picture.rotate(-90, expand=True)
    if kind in ("gif-animated", "webp-animated", "png-animated"):
        frames = [Image.new("RGB", SIZE, c) for c in ("black", "white")]
        options = {"lossless": True} if kind.startswith("webp") else {}
        picture.save(path, save_all=True, append_images=frames, duration=50, **options)
        return path, picture
    picture.save(path, **({"quality": 100, "subsampling": 0} if kind == "jpg" else {}))
    return path, picture


ACCEPTED = [
    "png", "jpg", "bmp", "png-grey", "png-rgba", "tiff-rgba", "png-grey_alpha", "png-palette",
    "gif-transparent", "png-one_bit", "jpg-cmyk", "tiff-cmyk", "png-16bit", "tiff-16bit",
    "tiff-float", "jpg-rotated", "gif-animated", "webp-animated", "png-animated",
]  # fmt: skip


@pytest.mark.parametrize("kind", ACCEPTED)
@pytest.mark.slow
def test_accepted(kind: str, run: Run, tmp_path: Path) -> None:
    photo, seen = make(kind, tmp_path)
    (tmp_path / "same.py").write_text(SAME)
    words = ("--network", "same.py:made", "--steps", 30, "-o", "made.png")
    outcome = run("invert", photo, "0", *words)
    assert outcome.code == 0, outcome.err
    made = Image.open(tmp_path / "made.png").convert("RGB")
    assert made.size == seen.size
    difference = np.abs(np.asarray(made, float) - np.asarray(seen, float)).mean()
    assert difference < 6, f"{difference:.1f} of 255"


def huge_png() -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0)
    data = chunk(b"IDAT", zlib.compress(b"\0" * 100))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + data + chunk(b"IEND", b"")


def refused_file(kind: str, folder: Path) -> Path:
    path = folder / "photo.png"
    if kind == "folder":
        path.mkdir()
    elif kind == "empty":
        path.touch()
    elif kind == "text":
        path.write_text("no picture at all\n" * 50)
    elif kind == "huge":
        path.write_bytes(huge_png())
    elif kind in ("truncated png", "truncated jpg"):
        noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
        path = path.with_suffix(".jpg") if "jpg" in kind else path
        Image.fromarray(noise).save(path)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif kind == "tiny":
        Image.new("RGB", (15, 60)).save(path)
    elif kind == "thin":
        Image.new("RGB", (4000, 20)).save(path)
    elif kind == "postscript":
        path = path.with_suffix(".eps")
        scene().save(path)
    return path


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("missing", "there is no file"),
        ("folder", "is a folder"),
        ("empty", "is empty"),
        ("text", "not an image"),
        ("huge", "over 100 megapixels"),
        ("truncated png", "damaged or truncated"),
        ("truncated jpg", "damaged or truncated"),
        ("tiny", "needs 16 a side"),
        ("thin", "use a size of"),
        ("postscript", "convert it"),
    ],
)
def test_refused(kind: str, says: str, run: Run, tmp_path: Path) -> None:
    photo = refused_file(kind, tmp_path)
    before = sorted(tmp_path.iterdir())
    outcome = run("filter", photo, "relu1_1:0")
    assert outcome.code == 2
    assert outcome.out == ""
    assert outcome.err.startswith("error: ") and outcome.err.count("\n") == 1, outcome.err
    assert says in outcome.err
    assert sorted(tmp_path.iterdir()) == before


def test_long_edge_and_enlarging(tmp_path: Path) -> None:
    scene().save(tmp_path / "photo.png")
    read = texton.read_image
    assert read(tmp_path / "photo.png", 24).shape == (1, 3, 16, 24)
    assert read(tmp_path / "photo.png", 96).shape == (1, 3, 32, 48)
    assert read(tmp_path / "photo.png", 96, enlarge=True).shape == (1, 3, 64, 96)
    assert read(tmp_path / "photo.png", channels=1).shape == (1, 1, 32, 48)


def test_a_saved_image_reads_back_as_it_was(tmp_path: Path) -> None:
    image = torch.rand(1, 3, 20, 30, generator=torch.Generator().manual_seed(0))
    path = texton.write_image(image, tmp_path / "sub" / "x.png", {"seed": 3, "name": "ψ"})
    assert torch.equal(to_bytes(texton.read_image(path)), to_bytes(image))
    assert texton.read_settings(path) == {"seed": 3, "name": "ψ"}
    assert [p.name for p in path.parent.iterdir()] == ["x.png"]


def test_settings_are_found_beside_text_that_another_program_added(tmp_path: Path) -> None:
    path = texton.write_image(torch.rand(1, 3, 20, 30), tmp_path / "x.png", {"seed": 3})
    pixels = texton.read_image(path)
    body = b"zTXtComment\0\0" + zlib.compress(b"x" * 2_000_000)
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    content = path.read_bytes()
    path.write_bytes(content[:33] + chunk + content[33:])  # behind the header
    assert texton.read_settings(path) == {"seed": 3}
    assert torch.equal(texton.read_image(path), pixels)


def test_an_embedded_profile_is_honoured(tmp_path: Path) -> None:
    from PIL import ImageCms

    lab = ImageCms.createProfile("LAB")
    to_lab = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), lab, "RGB", "LAB")
    picture = ImageCms.applyTransform(scene(), to_lab)
    assert picture is not None
    picture.save(tmp_path / "x.tiff", icc_profile=ImageCms.ImageCmsProfile(lab).tobytes())
    read = to_bytes(texton.read_image(tmp_path / "x.tiff"))[0].permute(1, 2, 0).numpy()
    assert np.abs(read.astype(float) - np.asarray(scene(), float)).mean() < 4


@pytest.mark.parametrize("umask", [0o027, 0o077, 0o022])
def test_a_file_has_the_mode_that_the_umask_leaves(
    umask: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = os.umask(umask)
    try:
        with monkeypatch.context() as patched:
            patched.setattr(os, "umask", _process_wide)
            write_bytes(b"x", tmp_path / "x")
    finally:
        os.umask(before)
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o666 & ~umask


def _process_wide(mask: int) -> int:
    raise AssertionError("other threads create files meanwhile")


def test_writers_of_one_name_leave_one_whole_file_and_nothing_else(tmp_path: Path) -> None:
    contents = [bytes([i]) * 100_000 for i in range(8)]
    path = tmp_path / ("ü" * 120 + ".json")  # a temporary name that were longer would not fit
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda content: write_bytes(content, path), contents * 4))
    assert path.read_bytes() in contents
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_gives_the_pictures_in_it(tmp_path: Path) -> None:
    for name in ("b.PNG", "a.png", ".hidden"):
        scene().save(tmp_path / name, "PNG")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "notes.txt").write_text("no picture")
    assert [file.name for file in images_in(tmp_path)] == ["a.png", "b.PNG"]
    with pytest.raises(TextonError, match="are the same picture"):
        read_pictures([tmp_path], 48)
    with pytest.raises(TextonError, match="there are no images"):
        read_pictures([tmp_path / "folder.png"], 48)
    with pytest.raises(TextonError, match="cannot read"):
        images_in(tmp_path / "nothing")
