"""A filter's patches as one strip: texture, strongest patches over projections, weaker ones."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from texton.images.files import to_pillow

PATCH, SMALL, COLUMNS = 84, 56, 9
_GAP, _LINE = 4, 18
_PAPER, _INK, _QUIET, _NOTHING = "#ffffff", "#1c1c1c", "#6a6a64", "#f0efeb"
_SIDE = 2 * PATCH + _LINE  # of the texture
_EXACT = 4  # times as large, from which on pixels are shown as they are

Column = tuple[str, Sequence[Tensor]]


def draw_strip(
    heading: str,
    texture: Tensor | None,
    strongest: Sequence[tuple[str, Tensor, Tensor | None]],
    weaker: Sequence[Column],
    bands: Sequence[int] | None = None,
) -> Image.Image:
    """The strip, in RGB, of one size whatever there is.

    Args:
        texture: (C, H, W); None to leave it out.
        strongest: what stands above it, patch, projection.
        weaker: columns of three patches each.
    """
    left = _GAP + (0 if texture is None else _SIDE + 3 * _GAP)
    right = left + COLUMNS * (PATCH + _GAP) + 2 * _GAP
    size = right + len(weaker) * (SMALL + _GAP), 2 * _LINE + _SIDE + 2 * _GAP
    strip = Image.new("RGB", size, _PAPER)
    draw, font = ImageDraw.Draw(strip), ImageFont.load_default(12)
    small = ImageFont.load_default(10)
    draw.text((_GAP, _LINE / 2), heading, _INK, font, "lm")
    top = 2 * _LINE
    if texture is not None:
        draw.text((_GAP, _LINE + _LINE / 2), "texture", _QUIET, small, "lm")
        strip.paste(_square(texture, _SIDE, bands), (_GAP, top))
    for column, (label, patch, projection) in enumerate(strongest[:COLUMNS]):
        at = left + column * (PATCH + _GAP)
        draw.text((at, _LINE + _LINE / 2), label, _QUIET, small, "lm")
        strip.paste(_square(patch, PATCH, bands), (at, top))
        if projection is not None:
            strip.paste(_square(projection, PATCH, bands), (at, top + PATCH + _GAP))
    for column, (label, patches) in enumerate(weaker):
        at = right + column * (SMALL + _GAP)
        draw.text((at, _LINE + _LINE / 2), label, _QUIET, small, "lm")
        for row, patch in enumerate(patches[:3]):
            strip.paste(_square(patch, SMALL, bands), (at, top + row * (SMALL + _GAP)))
    return strip


def _square(image: Tensor, side: int, bands: Sequence[int] | None) -> Image.Image:
    """A picture in a square, whole, in the middle."""
    picture = to_pillow(image, bands).convert("RGB")
    scale = side / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    how = Image.Resampling.NEAREST if scale >= _EXACT else Image.Resampling.LANCZOS
    square = Image.new("RGB", (side, side), _NOTHING)
    place = ((side - size[0]) // 2, (side - size[1]) // 2)
    square.paste(picture.resize(size, how), place)
    return square
