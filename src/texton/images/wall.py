"""Pictures of any shapes hung in rows, each under its name."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from texton.images.files import to_pillow

_GAP, _CAPTION = 8, 22


def wall(
    rows: Sequence[Sequence[tuple[str, Tensor]]], height: int, width: int | None = None
) -> Image.Image:
    """Rows of ``(name, (C, H, W))``.

    Args:
        height: of every picture in pixels.
        width: of every column; pictures are made to fit it, and the columns stand in line.
            Without it a picture is as wide as its shape asks.
    """
    hung = [[(name, _fit(image, height, width)) for name, image in row] for row in rows]
    wide = max(
        sum((width or picture.width) + _GAP for _, picture in row) + _GAP for row in hung if row
    )
    sheet = Image.new("RGB", (wide, len(hung) * (height + _CAPTION + _GAP) + _GAP), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    for line, row in enumerate(hung):
        left, top = _GAP, _GAP + line * (height + _CAPTION + _GAP)
        for name, picture in row:
            draw.text((left, top + _CAPTION / 2), name, "#1c1c1c", font, "lm")
            sheet.paste(picture, (left, top + _CAPTION))
            left += (width or picture.width) + _GAP
    return sheet


def _fit(image: Tensor, height: int, width: int | None) -> Image.Image:
    picture = to_pillow(image).convert("RGB")
    scale = height / picture.height
    if width is not None:
        scale = min(scale, width / picture.width)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    filtered = Image.Resampling.NEAREST if scale >= 2 else Image.Resampling.LANCZOS
    return picture.resize(size, filtered) if size != picture.size else picture
