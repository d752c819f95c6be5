"""Sums of floats that do not depend on the order in which they were added."""

from __future__ import annotations

from typing import Any

import numpy as np

Bins = np.ndarray[Any, Any]

WINDOWS = 18
_BITS, _MANTISSA, _LOWEST = 16, 24, 176  # float32 reaches from 2**-149 to 2**128


def no_sum(count: int) -> Bins:
    """Nothing yet, for ``count`` sums: (count, windows) of int64."""
    return np.zeros((count, WINDOWS), np.int64)


def add(bins: Bins, values: np.ndarray[Any, Any]) -> None:
    """Add float32 values (B, count), in place.

    Each is a whole number times a power of two, and whole numbers add up alike in any order; a
    window of 16 exponents leaves room for eight million values.
    """
    mantissa, exponent = np.frexp(values.astype(np.float64))
    window, shift = np.divmod(exponent.astype(np.int64) - _MANTISSA + _LOWEST, _BITS)
    whole = (mantissa * 2.0**_MANTISSA).astype(np.int64) << shift
    rows = np.broadcast_to(np.arange(values.shape[1]), values.shape)
    np.add.at(bins, (rows, window), whole)


def total(bins: Bins) -> np.ndarray[Any, Any]:
    """The sums, float64 (count,)."""
    sums = [sum(int(part) << (_BITS * number) for number, part in enumerate(row)) for row in bins]
    return np.array([_halved(whole) for whole in sums])


def _halved(whole: int) -> float:
    """whole · 2^-176 as the nearest float64."""
    return whole / (1 << _LOWEST)
