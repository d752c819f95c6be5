"""Sheets: every picture whole, whatever the others' sizes."""

from __future__ import annotations

import numpy as np
import torch

from texton.images.sheets import Tile, make_sheet


def test_rows_of_other_sizes_do_not_cover_each_other() -> None:
    colours = [(1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)]
    sizes = [(20, 32), (48, 48), (12, 16)]
    rows = [
        (name, [Tile(torch.tensor(colour)[:, None, None].expand(3, *size), "0")] * 2)
        for name, colour, size in zip("abc", colours, sizes, strict=True)
    ]
    sheet = np.asarray(make_sheet(rows))
    for colour, (height, width) in zip(colours, sizes, strict=True):
        shown = (sheet == (255 * np.array(colour)).astype(int)).all(2)
        assert shown.sum() == 2 * height * width
