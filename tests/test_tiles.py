"""The tool that counts pictures with faults finds each of them, and none in a photograph."""

from __future__ import annotations

import numpy as np
from PIL import Image
from tools.tiles import faults

from tests.helpers import EXAMPLES


def picture(values: np.ndarray) -> Image.Image:
    return Image.fromarray((255 * np.clip(values, 0, 1)).round().astype(np.uint8))


def test_faults_are_told_apart() -> None:
    rows, columns = np.mgrid[:48, :48]
    noise = np.random.default_rng(0).standard_normal((48, 48, 1))
    assert faults(picture(np.full((48, 48, 3), 0.5))) == ["dead", "grey"]
    assert faults(picture(0.5 + 0.03 * noise.repeat(3, 2))) == ["grey"]
    checks = 0.5 + 0.3 * ((rows + columns) % 2 - 0.5)[..., None] * np.ones(3)
    assert faults(picture(checks)) == ["checkered"]
    blue = np.full((48, 48, 3), (0.1, 0.1, 0.9))
    assert faults(picture(blue)) == [], "a filter of a colour"
    with Image.open(EXAMPLES / "chelsea.jpg") as cat:
        assert faults(cat) == []
        assert faults(cat.convert("L")) == [], "grey, and full of contrast"
