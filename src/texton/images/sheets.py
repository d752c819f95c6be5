"""Labelled contact sheets: rows are layers, columns filters, like the paper's Figure 3."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from texton.images.files import to_pillow

_COLUMNS = 16
_GAP = 4
_INK, _QUIET, _PAPER = "#1c1c1c", "#b00020", "#ffffff"


@dataclass(frozen=True)
class Tile:
    """A picture (C, H, W) in [0, 1] with what stands above it; ``note`` is set in red,
    ``bands`` are the channels shown (see `write_image`)."""

    image: Tensor
    label: str
    note: str = ""
    bands: tuple[int, ...] | None = None


def make_sheet(rows: Sequence[tuple[str, Sequence[Tile]]], title: str = "") -> Image.Image:
    """A sheet of rows ``(name, tiles)``; tiles of one size; long rows are wrapped at 16.

    ``title`` stands above them all.
    """
    pictures = [
        (name, [(tile, to_pillow(tile.image, tile.bands)) for tile in tiles])
        for name, tiles in rows
    ]
    width, height = pictures[0][1][0][1].size
    size = max(11, min(20, height // 10))
    font = ImageFont.load_default(size)
    margin = max(round(font.getlength(name)) for name, _ in rows) + 3 * _GAP
    caption = size + 2 * _GAP
    columns = min(_COLUMNS, max(len(tiles) for _, tiles in rows))
    lines = [
        (name if start == 0 else "", tiles[start : start + columns])
        for name, tiles in pictures
        for start in range(0, len(tiles), columns)
    ]
    step_x, step_y = width + _GAP, height + caption
    head = caption if title else 0
    wide = max(margin + columns * step_x, round(font.getlength(title)) + 2 * _GAP)
    sheet = Image.new("RGB", (wide, head + len(lines) * step_y + _GAP), _PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((_GAP, head / 2), title, _INK, font, "lm")
    for line, (name, tiles) in enumerate(lines):
        top = head + line * step_y
        draw.text((_GAP, top + caption + height / 2), name, _INK, font, "lm")
        for column, (tile, picture) in enumerate(tiles):
            left = margin + column * step_x
            baseline = top + caption / 2
            draw.text((left, baseline), tile.label, _INK, font, "lm")
            if tile.note:
                beside = left + font.getlength(tile.label + "  ")
                draw.text((beside, baseline), tile.note, _QUIET, font, "lm")
            sheet.paste(picture, (left, top + caption))
    return sheet
