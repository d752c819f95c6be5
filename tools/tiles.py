#!/usr/bin/env python3
"""How many pictures of a folder are grey, dead or checkered: ``tools/tiles.py FOLDER...``.

- dead: nothing varies;
- grey: hardly any colour, and little contrast;
- checkered: much of what varies does so from pixel to pixel, along both sides.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from PIL import Image

_FLAT, _COLOURLESS, _FAINT = 0.01, 0.06, 0.06
_FINEST, _MUCH = 0.45, 0.05  # cycles a pixel from which it is the finest; of the energy


def figures(picture: Image.Image) -> dict[str, float]:
    """``varies``, the standard deviation; ``colour``, the mean distance of the largest and the
    smallest of a pixel's channels; ``finest``, the share of energy at the highest frequencies."""
    seen = picture.convert("RGBA")
    flat = Image.alpha_composite(Image.new("RGBA", seen.size, "#808080"), seen).convert("RGB")
    values = np.asarray(flat, float) / 255
    light = values.mean(2) - values.mean()
    energy = np.abs(np.fft.fft2(light)) ** 2
    rows, columns = (np.abs(np.fft.fftfreq(n)) for n in light.shape)
    finest = energy[np.ix_(rows > _FINEST, columns > _FINEST)].sum()
    return {
        "varies": float(values.std((0, 1)).mean()),
        "colour": float((values.max(2) - values.min(2)).mean()),
        "finest": float(finest / max(energy.sum(), 1e-12)),
    }


def faults(picture: Image.Image) -> list[str]:
    """What is wrong with a picture: dead, grey, checkered, or nothing."""
    found = figures(picture)
    named = {
        "dead": found["varies"] < _FLAT and found["colour"] < _COLOURLESS,
        "grey": found["varies"] < _FAINT and found["colour"] < _COLOURLESS,
        "checkered": found["varies"] >= _FLAT and found["finest"] > _MUCH,
    }
    return [name for name, is_so in named.items() if is_so]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path)
    count, bad = 0, 0
    for folder in parser.parse_args().folders:
        for path in sorted(folder.glob("*.png")):
            count += 1
            with Image.open(path) as picture:
                if found := faults(picture):
                    bad += 1
                    print(f"{path}: {', '.join(found)}")
    print(f"{bad} of {count} pictures")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
