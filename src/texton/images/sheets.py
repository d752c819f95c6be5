"""Pictures on one sheet: tiles in line, like the paper's Figure 3; or rows of any shapes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from texton.images.files import to_pillow

_COLUMNS, _STRIP = 16, 3  # times as wide as high: a strip
_GAP = 4
_SPACE, _CAPTION = 8, 22
_INK, _QUIET, _PAPER = "#1c1c1c", "#b00020", "#ffffff"


@dataclass(frozen=True, eq=False)
class Tile:
    """A picture (C, H, W) in [0, 1] with what stands above it; ``note`` is set in red,
    ``bands`` are the channels shown (see `write_image`)."""

    image: Tensor
    label: str
    note: str = ""
    bands: tuple[int, ...] | None = None


def make_sheet(rows: Sequence[tuple[str, Sequence[Tile]]], title: str = "") -> Image.Image:
    """A sheet of rows ``(name, tiles)``; long rows are wrapped at 16, strips stand one below the
    other; columns are as wide as the widest tile, lines as high as their highest.

    ``title`` stands above them all.
    """
    pictures = [
        (name, [(tile, to_pillow(tile.image, tile.bands)) for tile in tiles])
        for name, tiles in rows
    ]
    every = [picture for _, tiles in pictures for _, picture in tiles]
    width, height = (max(picture.size[axis] for picture in every) for axis in (0, 1))
    size = max(11, min(20, height // 10))
    font = ImageFont.load_default(size)
    margin = max(round(font.getlength(name)) for name, _ in rows) + 3 * _GAP
    caption = size + 2 * _GAP
    most = _COLUMNS if width <= _STRIP * height else 1
    columns = min(most, max(len(tiles) for _, tiles in rows))
    lines = [
        (name if start == 0 else "", tiles[start : start + columns])
        for name, tiles in pictures
        for start in range(0, len(tiles), columns)
    ]
    step_x = width + _GAP
    heights = [max(picture.height for _, picture in tiles) for _, tiles in lines]
    head = caption if title else 0
    wide = max(margin + columns * step_x, round(font.getlength(title)) + 2 * _GAP)
    tall = head + sum(heights) + len(lines) * caption + _GAP
    sheet = Image.new("RGB", (wide, tall), _PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((_GAP, head / 2), title, _INK, font, "lm")
    top = head
    for high, (name, tiles) in zip(heights, lines, strict=True):
        draw.text((_GAP, top + caption + high / 2), name, _INK, font, "lm")
        for column, (tile, picture) in enumerate(tiles):
            left = margin + column * step_x
            baseline = top + caption / 2
            draw.text((left, baseline), tile.label, _INK, font, "lm")
            if tile.note:
                beside = left + font.getlength(tile.label + "  ")
                draw.text((beside, baseline), tile.note, _QUIET, font, "lm")
            sheet.paste(picture, (left, top + caption))
        top += high + caption
    return sheet


def make_rows(
    rows: Sequence[Sequence[tuple[str, Tensor]]], height: int, width: int | None = None
) -> Image.Image:
    """Pictures ``(name, (C, H, W))`` of any shapes in rows, each under its name.

    Args:
        height: of every picture in pixels.
        width: of every column; pictures are made to fit it, and the columns stand in line.
            Without it a picture is as wide as its shape asks.
    """
    shown = [[(name, _fit(image, height, width)) for name, image in row] for row in rows]
    widths = [sum((width or picture.width) + _SPACE for _, picture in row) for row in shown]
    tall = len(shown) * (height + _CAPTION + _SPACE) + _SPACE
    sheet = Image.new("RGB", (max(widths) + _SPACE, tall), _PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    for line, row in enumerate(shown):
        left, top = _SPACE, _SPACE + line * (height + _CAPTION + _SPACE)
        for name, picture in row:
            draw.text((left, top + _CAPTION / 2), name, _INK, font, "lm")
            sheet.paste(picture, (left, top + _CAPTION))
            left += (width or picture.width) + _SPACE
    return sheet


def _fit(image: Tensor, height: int, width: int | None) -> Image.Image:
    picture = to_pillow(image).convert("RGB")
    scale = height / picture.height
    if width is not None:
        scale = min(scale, width / picture.width)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    filtered = Image.Resampling.NEAREST if scale >= 2 else Image.Resampling.LANCZOS
    return picture.resize(size, filtered) if size != picture.size else picture
