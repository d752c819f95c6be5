"""A filter's parts as a picture: what adds and what takes away, as textures with their kernels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from texton.images.files import to_pillow

TILE, KERNEL = 112, 44
_GAP, _LINE = 8, 18
_PAPER, _INK, _QUIET = "#ffffff", "#1c1c1c", "#6a6a64"
_ADDS, _TAKES = np.array([178, 58, 28]), np.array([36, 92, 168])  # orange-red and blue


@dataclass(frozen=True, eq=False)
class Part:
    """One input: its texture (C, H, W), its kernel (kh, kw), its share of all that is added."""

    name: str
    texture: Tensor
    kernel: Tensor
    share: float


def draw_parts(
    whole: Sequence[tuple[str, Tensor]],
    adding: Sequence[Part],
    taking: Sequence[Part],
    columns: int,
    bands: Sequence[int] | None = None,
) -> Image.Image:
    """The filter (its texture, what it saw) beside two rows of parts, in RGB.

    Args:
        whole: pictures with a name above each.
        columns: parts in a row; the sheet is as wide as that many, whatever there are.
    """
    block = _LINE + TILE + 2 + KERNEL + _GAP
    left = TILE + 3 * _GAP
    width = left + columns * (TILE + _GAP)
    height = 2 * (_LINE + block) + _GAP
    sheet = Image.new("RGB", (width, height), _PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    for row, (name, image) in enumerate(whole[:2]):
        top = _GAP + row * (_LINE + block)
        draw.text((_GAP, top + _LINE / 2), name, _INK, font, "lm")
        sheet.paste(_tile(image, TILE, bands), (_GAP, top + _LINE))
    strongest = max((float(p.kernel.abs().max()) for p in (*adding, *taking)), default=1.0)
    for row, (title, parts) in enumerate((("adds", adding), ("takes away", taking))):
        top = _GAP + row * (_LINE + block)
        draw.text(
            (left, top + _LINE / 2), title if parts else f"nothing {title}", _QUIET, font, "lm"
        )
        for column, part in enumerate(parts[:columns]):
            at = left + column * (TILE + _GAP), top + _LINE
            told = f"{part.name}  {'+' if row == 0 else '-'}{100 * abs(part.share):.0f} %"
            draw.text((at[0], at[1] + _LINE / 2), told, _INK, font, "lm")
            sheet.paste(_tile(part.texture, TILE, bands), (at[0], at[1] + _LINE))
            kernel = draw_kernel(part.kernel, strongest).resize((KERNEL, KERNEL), 0)
            sheet.paste(kernel, (at[0], at[1] + _LINE + TILE + 2))
    return sheet


def draw_kernel(kernel: Tensor, strongest: float) -> Image.Image:
    """(kh, kw) as a pixel a weight: orange adds, blue takes away, white is 0."""
    share = (kernel / max(strongest, 1e-12)).clamp(-1, 1).numpy()[..., None]
    ink = np.where(share > 0, _ADDS, _TAKES)
    pixels = 255 + (ink - 255) * np.abs(share)
    return Image.fromarray(pixels.round().astype(np.uint8))


def colour_tile(channel: int, channels: int, side: int = TILE) -> Tensor:
    """(C, side, side): what a channel of the image is, alone and full."""
    tile = torch.zeros(channels, side, side)
    tile[channel] = 1
    return tile


def _tile(image: Tensor, side: int, bands: Sequence[int] | None) -> Image.Image:
    """The middle square."""
    picture = to_pillow(image, bands).convert("RGB")
    short = min(picture.size)
    left, top = (picture.width - short) // 2, (picture.height - short) // 2
    square = picture.crop((left, top, left + short, top + short))
    how = Image.Resampling.LANCZOS if short > side else Image.Resampling.BICUBIC
    return square.resize((side, side), how)
