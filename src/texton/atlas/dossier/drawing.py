"""Small drawings of a filter's page, as SVG that takes its colours from the page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from texton.evidence.state import edges
from texton.methods.parts.stimuli import HUES, ORIENTATIONS, PERIODS, hue_step

_SIDE, _MIDDLE = 100, 50
_BARS = 6  # bins of the scan that one bar takes together
_WIDE, _TALL = 240, 64


def histogram(counts: Any) -> str:
    """How often which activation is met, on a logarithmic scale; of what is above 0."""
    above = np.asarray(counts, float)[1:]
    if not above.sum():
        return ""
    there = np.flatnonzero(above)
    low, high = there[0] // _BARS * _BARS, (there[-1] // _BARS + 1) * _BARS
    bars = np.pad(above, (0, _BARS))[low:high].reshape(-1, _BARS).sum(1)
    heights = np.sqrt(bars / bars.max()) * (_TALL - 2)
    step = _WIDE / len(bars)
    drawn = "".join(
        f'<rect x="{at * step:.1f}" y="{_TALL - height:.1f}" width="{max(step - 0.8, 0.5):.1f}" '
        f'height="{height:.1f}"/>'
        for at, height in enumerate(heights)
        if height > 0
    )
    limits = edges()
    first, last = limits[low], limits[min(high, len(limits) - 1)]
    ticks = "".join(
        f'<text x="{_WIDE * _share(value, first, last):.1f}" y="{_TALL + 11}">{value:g}</text>'
        for value in (10.0**power for power in range(-6, 7))
        if 0.02 <= _share(value, first, last) <= 0.98
    )
    return (
        f'<svg class="histogram" viewBox="0 0 {_WIDE} {_TALL + 14}" role="img" '
        f'aria-label="How often which activation is met, on a logarithmic scale">{drawn}'
        f'<path d="M0 {_TALL}H{_WIDE}"/>{ticks}</svg>'
    )


def orientations(shares: Sequence[float]) -> str:
    """The answers to bars of each direction, as far from the middle as they are strong."""
    angles = [*ORIENTATIONS, *(angle + 180 for angle in ORIENTATIONS)]
    points = " ".join(_point(a, 46 * s) for a, s in zip(angles, [*shares, *shares], strict=True))
    return _svg("By orientation of bars", _rings() + f'<polygon points="{points}"/>')


def periods(curves: Sequence[Sequence[float]]) -> str:
    """The answers to gratings of each period: light–dark, red–cyan, blue–yellow."""
    lines = ""
    for kind, curve in zip(("light", "red", "blue"), curves, strict=False):
        places = (
            f"{6 + 88 * at / (len(PERIODS) - 1):.1f},{86 - 78 * share:.1f}"
            for at, share in enumerate(curve)
        )
        lines += f'<polyline class="{kind}" points="{" ".join(places)}"/>'
    ends = "".join(
        f'<text x="{6 + 88 * at / (len(PERIODS) - 1):.1f}" y="97">{period:g}</text>'
        for at, period in enumerate(PERIODS)
    )
    return _svg("By period in pixels", f'<path d="M4 87H96"/>{lines}{ends}')


def hues(shares: Sequence[float]) -> str:
    """The answers to each hue, as petals in its colour."""
    petals = ""
    for hue, share in zip(HUES, shares, strict=True):
        if share > 0.02:
            red, green, blue = (round(255 * float(x)) for x in (0.5 + hue_step(hue)).clamp(0, 1))
            ends = f"M50 50L{_point(hue - 14, 46 * share)}L{_point(hue + 14, 46 * share)}Z"
            petals += f'<path class="petal" fill="rgb({red},{green},{blue})" d="{ends}"/>'
    return _svg("By hue", _rings() + petals)


def kernel(weights: Sequence[Sequence[float]], strongest: float) -> str:
    """A square a weight: orange adds, blue takes away, as much as it is opaque."""
    cells = "".join(
        f'<rect class="{"adds" if weight > 0 else "takes"}" x="{column}" y="{row}" width="1" '
        f'height="1" fill-opacity="{min(1.0, abs(weight) / max(strongest, 1e-12)):.2f}"/>'
        for row, line in enumerate(weights)
        for column, weight in enumerate(line)
    )
    size = f"{len(weights[0])} {len(weights)}"
    return f'<svg class="kernel" viewBox="0 0 {size}" aria-hidden="true">{cells}</svg>'


def _svg(label: str, inside: str) -> str:
    return (
        f'<svg class="tuning" viewBox="0 0 {_SIDE} {_SIDE}" role="img" aria-label="{label}">'
        f"{inside}</svg>"
    )


def _rings() -> str:
    return '<circle cx="50" cy="50" r="46"/><circle cx="50" cy="50" r="23"/>'


def _point(degrees: float, radius: float) -> str:
    angle = math.radians(degrees)
    return f"{_MIDDLE + radius * math.cos(angle):.1f},{_MIDDLE - radius * math.sin(angle):.1f}"


def _share(value: float, low: float, high: float) -> float:
    return math.log(value / low) / math.log(high / low)
