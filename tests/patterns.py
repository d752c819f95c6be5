"""Pictures of simple styles, so that what tells them apart is known."""

from __future__ import annotations

import numpy as np
from PIL import Image

GREEN, PURPLE = (0.15, 0.73, 0.22), (0.9, 0.2, 1.0)  # alike in grey


def stripes(seed: int, turned: bool, colour: tuple[float, float, float]) -> Image.Image:
    """A picture of random fine stripes, upright or lying, in black and one colour."""
    rng = np.random.default_rng(seed)
    light = np.repeat(rng.random(32), 3)[None].repeat(96, 0)
    light = light.T if turned else light
    values = light[..., None] * np.array(colour) * 255
    return Image.fromarray(values.astype(np.uint8))
