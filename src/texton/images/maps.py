"""A map of numbers as a picture: in colours that the eye reads in order, with their scale."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from texton.images.files import to_pillow

# matplotlib's inferno, from black to light yellow, and berlin, from blue over black to red: in
# even steps of lightness. In 24 and 16 linear pieces.
_RISING = (
    "000004 050417 110a30 210c4a 320a5e 450a69 57106e 67166e 781c6d 8a226a 9a2865 ab2f5e bc3754"
    " ca404a d84c3e e45a31 ed6925 f57b17 f98e09 fca108 fbb61a f9cb35 f4df53 f2f27d fcffa4"
)
_SIGNED = (
    "9eb0ff 79abed 519fd3 3685ad 286886 1d4b61 14303e 111a20 190c09 2b0e01 411201 5b1d08 7d341e"
    " 9e513f be6f63 df8f89 ffadad"
)
_PAPER, _INK, _MARK = "#ffffff", "#1c1c1c", "#5ef0e6"
_DIM = 0.75
_NARROWEST = 112  # pixels that the words below fit in at the smallest

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def coloured(shares: Tensor, signed: bool = False) -> Tensor:
    """Numbers as colours: (H, W) in [0, 1], or in [−1, 1] where ``signed``, → (3, H, W)."""
    points = [bytes.fromhex(one) for one in (_SIGNED if signed else _RISING).split()]
    places = (shares + 1) / 2 if signed else shares
    at = places.clamp(0, 1).double().cpu().numpy()
    known = np.linspace(0, 1, len(points))
    planes = [np.interp(at, known, [point[i] / 255 for point in points]) for i in range(3)]
    return torch.from_numpy(np.stack(planes)).float()


def overlaid(photo: Tensor, shares: Tensor, signed: bool = False) -> Tensor:
    """Colours over a photograph's grey (C, H, W): the stronger a number, the less is seen of it."""
    weights = (0.299, 0.587, 0.114) if len(photo) == 3 else (1 / len(photo),) * len(photo)
    grey = (photo.cpu() * torch.tensor(weights).reshape(-1, 1, 1)).sum(0)
    strength = shares.abs().clamp(0, 1).sqrt()
    return _DIM * grey * (1 - strength) + coloured(shares, signed) * strength


def between_centres(
    values: Tensor,
    size: tuple[int, int],
    first: tuple[float, float],
    strides: tuple[float, float],
    smooth: bool = True,
) -> Tensor:
    """(M, N) numbers at their places in an image, (H, W): unit i is centred on first + i·stride.

    Linear between the centres, or each pixel that of the nearest; level beyond the outermost.
    """
    rows, columns = (
        _weights(*told, smooth) for told in zip(size, values.shape, first, strides, strict=True)
    )
    return rows @ values.double().cpu() @ columns.T


def _weights(pixels: int, units: int, first: float, stride: float, smooth: bool) -> Tensor:
    """(pixels, units), rows that sum to 1."""
    at = ((torch.arange(pixels, dtype=torch.float64) - first) / stride).clamp(0, units - 1)
    units_at = torch.arange(units, dtype=torch.float64)
    if smooth:
        return (1 - (at[:, None] - units_at).abs()).clamp_min(0)
    nearest = (at + 0.5).floor().clamp_max(units - 1)
    return (nearest[:, None] == units_at).double()


def with_scale(
    picture: Tensor,
    ends: tuple[float, float],
    words: str,
    mark: tuple[float, float] | None = None,
    notch: float | None = None,
) -> Tensor:
    """A map with the scale of its colours below, (3, H, W) → (3, H + strip, W).

    One too narrow for words below it is magnified, each pixel to a square.

    Args:
        ends: what the first and the last colour stand for; signed where the first is below 0.
        words: below the scale.
        mark: the row and column of pixels to put a ring around.
        notch: the number to point at on the scale.
    """
    shown = to_pillow(picture)
    if (times := math.ceil(_NARROWEST / shown.width)) > 1:
        shown = shown.resize((times * shown.width, times * shown.height), Image.Resampling.NEAREST)
        if mark is not None:  # the middle of its square
            mark = times * (mark[0] + 0.5) - 0.5, times * (mark[1] + 0.5) - 0.5
    width, height = shown.size
    if mark is not None:
        _ring(shown, mark)
    low, high = short(ends[0]), short(ends[1])
    font = _font(words, width)
    line = math.ceil(font.getbbox("0,y")[3]) + 2
    strip = Image.new("RGB", (width, 2 * line + 4), _PAPER)
    draw = ImageDraw.Draw(strip)
    gap = 3
    left, right = (round(font.getlength(text)) + gap for text in (low, high))
    draw.text((0, 2 + line / 2), low, _INK, font, "lm")
    draw.text((width, 2 + line / 2), high, _INK, font, "rm")
    inner = max(8, width - left - right)
    signed = ends[0] < 0
    bar = coloured(torch.linspace(-1.0 if signed else 0.0, 1, inner).expand(line - 4, -1), signed)
    strip.paste(to_pillow(bar), (left, 4))
    if notch is not None:
        at = left + (inner - 1) * (notch - ends[0]) / (ends[1] - ends[0])
        draw.polygon([(at - 3, line + 4), (at + 3, line + 4), (at, line)], fill=_INK)
    draw.text((0, 2 + line * 1.5), words, _INK, font, "lm")
    whole = Image.new("RGB", (width, height + strip.height), _PAPER)
    whole.paste(shown, (0, 0))
    whole.paste(strip, (0, height))
    return torch.from_numpy(np.asarray(whole, np.float32).transpose(2, 0, 1) / 255)


def _ring(picture: Image.Image, mark: tuple[float, float]) -> None:
    y, x = mark
    radius = max(3.0, min(picture.size) / 28)
    draw = ImageDraw.Draw(picture)
    for grown, ink in ((1, "#000000"), (0, _MARK)):  # seen on dark and on light
        box = (x - radius - grown, y - radius - grown, x + radius + grown, y + radius + grown)
        draw.ellipse(box, outline=ink, width=1)


def _font(words: str, width: int) -> Font:
    """As large as it fits in, 7 to 14 pixels."""
    sizes = range(min(14, max(7, width // 18)), 7, -1)
    return next((f for f in map(_of_size, sizes) if f.getlength(words) <= width), _of_size(7))


@lru_cache(maxsize=16)
def _of_size(size: int) -> Font:
    return ImageFont.load_default(size)


def short(number: float) -> str:
    """At most six characters and a sign: 5842, 58.4, 0.0584, 5.8e-05, 5.8e+06."""
    size = abs(number)
    if size and not 1e-3 <= size < 1e6:
        return f"{number:.1e}"
    return f"{number:.0f}" if size >= 100 else f"{number:.3g}"
