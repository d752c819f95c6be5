"""A folder of pictures to try ``texton scan`` on: crops of photographs that are installed.

    python tools/sample_pictures.py OUT [MORE FOLDERS OF PICTURES]...

Takes what scikit-image, scikit-learn and matplotlib bring, and the pictures of further folders,
and cuts each into squares at three scales, 224 pixels a side, which overlap little. Flat ones are
left out. These are a dozen photographs cut up: your own folder of some hundred different ones says
far more.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

from PIL import Image, ImageStat

SIDE = 224
FLAT = 6.0  # standard deviation of brightness, of 255
SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff"}
_TOO_SMALL = 180
_MOST = 8  # crops of one picture, so that a large one does not fill the folder


def main(out: Path, *more: Path) -> int:
    out.mkdir(parents=True, exist_ok=True)
    written = 0
    for path in sources(more):
        try:
            with Image.open(path) as opened:
                picture = on_white(opened)
        except (OSError, ValueError, Image.DecompressionBombError):
            continue
        for number, crop in enumerate(crops(picture)):
            crop.save(out / f"{path.parent.name}-{path.stem}-{number:02}.png")
            written += 1
    print(f"{written} pictures in {out}", file=sys.stderr)
    print(out)
    return 0 if written else 1


def sources(more: tuple[Path, ...]) -> list[Path]:
    """The files to cut: of packages those folders that hold pictures, of the others all."""
    folders = [
        Path(found.origin).parent / inside
        for package, inside in (
            ("skimage", "data"),
            ("sklearn", "datasets/images"),
            ("matplotlib", "mpl-data/sample_data"),
        )
        if (found := find_spec(package)) and found.origin
    ]
    files = (path for folder in (*folders, *more) for path in folder.rglob("*"))
    return sorted(path for path in files if path.suffix.lower() in SUFFIXES)


def on_white(picture: Image.Image) -> Image.Image:
    """Its first frame in colours, what is transparent white."""
    if "A" in picture.getbands() or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, "white")
        return Image.alpha_composite(white, picture).convert("RGB")
    return picture.convert("RGB")


def crops(picture: Image.Image) -> list[Image.Image]:
    """Squares of the whole height or width, of two thirds and of two fifths of it."""
    short = min(picture.size)
    if short < _TOO_SMALL:
        return []
    found = []
    for part in (1.0, 2 / 3, 2 / 5):
        side = round(short * part)
        if side < _TOO_SMALL:
            break
        for top in starts(picture.height, side):
            for left in starts(picture.width, side):
                crop = picture.crop((left, top, left + side, top + side))
                if ImageStat.Stat(crop.convert("L")).stddev[0] >= FLAT:
                    found.append(crop.resize((SIDE, SIDE), Image.Resampling.LANCZOS))
    return found[:: max(1, -(-len(found) // _MOST))]


def starts(extent: int, side: int) -> list[int]:
    """Where squares begin that cover an extent with little overlap."""
    count = max(1, round(extent / side))
    if count == 1:
        return [(extent - side) // 2]
    return [round(number * (extent - side) / (count - 1)) for number in range(count)]


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    sys.exit(main(*map(Path, sys.argv[1:])))
