"""A filter's tuning as a picture: best stimulus, orientations, periods, hues."""

from __future__ import annotations

import math

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from texton.images.files import to_pillow
from texton.methods.parts.stimuli import HUES, ORIENTATIONS, PERIODS, hue_step
from texton.methods.parts.tuned import Tuning

_PANEL, _GAP, _CAPTION = 132, 12, 16
SIDE = 2 * _PANEL + 3 * _GAP
HEIGHT = SIDE + 2 * _CAPTION
_FINE = 3  # drawn so many times as large, then averaged
_PAPER, _LINE, _INK = "#ffffff", "#d4d3ce", "#1c1c1c"
_AXIS_INKS = ("#1c1c1c", "#c8382d", "#2f62c9")

Point = tuple[float, float]


def draw_tuning(tuning: Tuning, channel: int, stimulus: Tensor) -> Image.Image:
    """Four panels in RGB.

    Args:
        stimulus: (C, S, S), the one that the filter answers most.
    """
    size = (SIDE * _FINE, HEIGHT * _FINE)
    picture = Image.new("RGB", size, _PAPER)
    draw = ImageDraw.Draw(picture)
    panels = [_corner(row, column) for row in range(2) for column in range(2)]
    seen = (
        to_pillow(stimulus).convert("RGB").resize((_PANEL * _FINE,) * 2, Image.Resampling.NEAREST)
    )
    picture.paste(seen, (int(panels[0][0]), int(panels[0][1])))
    _orientations(draw, panels[1], tuning.orientation_curve[:, channel])
    _periods(draw, panels[2], tuning.period_curves[..., channel])
    _hues(draw, panels[3], tuning.colours[:, channel])
    picture = picture.resize((SIDE, HEIGHT), Image.Resampling.BOX)
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(11)
    names = ("strongest stimulus", "orientation of bars", "period in pixels", "hue")
    for (left, top), name in zip(panels, names, strict=True):
        place = left / _FINE, top / _FINE - _CAPTION / 2
        draw.text(place, name, "#55554f", font, "lm")
    small, (left, top) = ImageFont.load_default(9), panels[2]
    for at, period in enumerate(PERIODS):
        x, y = _place(left, top, at / (len(PERIODS) - 1), 0)
        draw.text((x / _FINE, y / _FINE + 2), f"{period:g}", "#55554f", small, "mt")
    return picture


def as_image(picture: Image.Image) -> Tensor:
    """(3, H, W) in [0, 1], whatever images the network takes: colours say what adds and takes."""
    return torch.from_numpy(np.asarray(picture).copy()).permute(2, 0, 1).float() / 255


def _corner(row: int, column: int) -> Point:
    step = _PANEL + _GAP
    left, top = _GAP + column * step, _GAP / 2 + _CAPTION + row * (step + _CAPTION)
    return left * _FINE, top * _FINE


def _place(left: float, top: float, right: float, up: float) -> Point:
    """A point of a panel's inner square, from its lower left corner, in shares."""
    side = _PANEL * _FINE
    return left + side * (0.06 + 0.88 * right), top + side * (0.9 - 0.84 * up)


def _orientations(draw: ImageDraw.ImageDraw, corner: Point, curve: Tensor) -> None:
    """How much bars of each direction do: the reach of the outline along the bars, both ways."""
    centre, radius = _circle(draw, corner)
    shares = [*_shares(curve)] * 2
    angles = [*ORIENTATIONS, *(x + 180 for x in ORIENTATIONS)]
    points = [_around(centre, radius * s, a) for s, a in zip(shares, angles, strict=True)]
    if any(shares):
        draw.polygon(points, fill="#b9cfe6", outline="#0a5ba8", width=2 * _FINE)


def _periods(draw: ImageDraw.ImageDraw, corner: Point, curves: Tensor) -> None:
    left, top = corner
    draw.line([_place(left, top, 0, 0), _place(left, top, 1, 0)], fill=_LINE, width=_FINE)
    most = float(curves.max())
    for curve, ink in zip(curves, _AXIS_INKS, strict=False):
        across = [at / (len(PERIODS) - 1) for at in range(len(PERIODS))]
        heights = [float(x) / most if most > 0 else 0.0 for x in curve]
        points = [_place(left, top, x, y) for x, y in zip(across, heights, strict=True)]
        draw.line(points, fill=ink, width=2 * _FINE, joint="curve")


def _hues(draw: ImageDraw.ImageDraw, corner: Point, colours: Tensor) -> None:
    """A petal a hue, as long as its answer; the ring is what the strongest colour does."""
    centre, radius = _circle(draw, corner)
    if len(colours) <= 2:
        return
    shares = _shares(colours)
    for hue, share in zip(HUES, shares, strict=False):
        inner = radius * share
        box = [centre[0] - inner, centre[1] - inner, centre[0] + inner, centre[1] + inner]
        red, green, blue = (round(255 * float(x)) for x in (0.5 + hue_step(hue)).clamp(0, 1))
        if inner >= 1:
            draw.pieslice(box, -hue - 15, -hue + 15, fill=(red, green, blue))


def _circle(draw: ImageDraw.ImageDraw, corner: Point) -> tuple[Point, float]:
    radius = 0.46 * _PANEL * _FINE
    centre = corner[0] + _PANEL * _FINE / 2, corner[1] + _PANEL * _FINE / 2
    for reach in (0.5, 1.0):
        inner = radius * reach
        box = [centre[0] - inner, centre[1] - inner, centre[0] + inner, centre[1] + inner]
        draw.ellipse(box, outline=_LINE, width=_FINE)
    return centre, radius


def _around(centre: Point, radius: float, degrees: float) -> Point:
    angle = math.radians(degrees)
    return centre[0] + radius * math.cos(angle), centre[1] - radius * math.sin(angle)


def _shares(values: Tensor) -> list[float]:
    most = float(values.max())
    return [float(x) / most if most > 0 else 0.0 for x in values]
