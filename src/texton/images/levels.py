"""Which value of a file is white: its format's largest, or what somebody says."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from texton.errors import TextonError, TextonWarning

Values = np.ndarray[Any, Any]
_WHITES = {"uint8": 255.0, "bool": 1.0, "uint16": 65535.0, "I": 65535.0}
_DARK = 0.26  # of white: 14 bits in 16 are a quarter of it
_DEPTHS = (8, 10, 12, 14)


def in_unit(values: Values, kind: str, path: Path, white: float | None) -> Values:
    """Values of a file as float32 in [0, 1].

    Where nobody says which value is white and the largest is far below the format's, a
    `TextonWarning` tells so: 12 bits in a 16-bit file are nearly black.

    Args:
        kind: the dtype's name, or Pillow's mode.

    Raises:
        TextonError: values below zero or not finite.
    """
    found = values.astype(np.float32)
    if not found.size or not np.isfinite(found).all() or found.min() < 0:
        huge = ", above 2,147,483,647" if kind == "I" else ""  # Pillow reads them as below zero
        raise TextonError(
            f"'{path}' has values below zero{huge} or not finite: rescale it to [0, 1]"
        )
    top, largest = white or _WHITES.get(kind), float(found.max())
    if top is None:
        top = 1.0 if largest <= 1 else 255.0 if largest <= 255 else 65535.0
    if white is None and top == 65535 and 0 < largest < _DARK * top:
        depth = next((bits for bits in _DEPTHS if largest < 2**bits), 16)
        warnings.warn(
            TextonWarning(
                f"'{path}' is nearly black: its largest value is {largest:g} of {top:g}; where it "
                f"has {depth} bits, add --white {2**depth - 1}"
            ),
            stacklevel=3,
        )
    return (found / np.float32(top)).clip(0, 1)
