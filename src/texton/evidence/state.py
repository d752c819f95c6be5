"""What is known of one layer's filters so far: exact, so that parts merge in any order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from texton.evidence import exact
from texton.evidence.strongest import KEPT, MOST_LEVELS, Strongest

Array = np.ndarray[Any, Any]

BINS = 257
_PER_OCTAVE, _OCTAVES, _LOWEST = 8, 32, -16  # bin 1 begins at 2^-16, bin 256 ends at 2^16
_SHIFT = 23 - 3  # float32 bits, less all but the first three of the mantissa
_FIRST = (127 + _LOWEST) * _PER_OCTAVE


@dataclass(eq=False)
class LayerState:
    """C filters over some pictures.

    Attributes:
        strongest: places, see `Strongest`.
        histogram: (C, 257) values at sampled positions; bin 0 is what is not above 2^-16.
        mean, square: exact sums over pictures of a map's mean, and of its mean square.
        active: (C,) pictures in which anything is above 0.
        broken: (C,) pictures in which something was no number.
        pictures: how many pictures; ``aside`` of them without the places at the border.
    """

    strongest: Strongest
    histogram: Array
    mean: Array
    square: Array
    active: Array
    broken: Array
    pictures: int = 0
    aside: int = 0

    @classmethod
    def none(cls, filters: int, top: int) -> LayerState:
        return cls(
            strongest=Strongest.none(filters, max(top, KEPT)),
            histogram=np.zeros((filters, BINS), np.uint32),
            mean=exact.no_sum(filters),
            square=exact.no_sum(filters),
            active=np.zeros(filters, np.int64),
            broken=np.zeros(filters, np.int64),
        )

    def merge(self, other: LayerState) -> None:
        """Add another part's; in any order the same comes out, bit for bit."""
        self.strongest.merge(other.strongest)
        for mine, others in zip(self._sums(), other._sums(), strict=True):
            mine += others
        self.pictures += other.pictures
        self.aside += other.aside

    def _sums(self) -> tuple[Array, ...]:
        return self.histogram, self.mean, self.square, self.active, self.broken

    def arrays(self) -> dict[str, Array]:
        """As a file has it."""
        return {
            **self.strongest.arrays(),
            "histogram": self.histogram,
            "mean": self.mean,
            "square": self.square,
            "active": self.active,
            "broken": self.broken,
            "pictures": np.array([self.pictures, self.aside], np.int64),
        }

    @classmethod
    def of(cls, arrays: dict[str, Array]) -> LayerState:
        """What `arrays` gave.

        Raises:
            ValueError: arrays of other names, types or shapes.
        """
        _check(arrays)
        pictures, aside = (int(number) for number in arrays["pictures"])
        names = ("histogram", "mean", "square", "active", "broken")
        sums = {name: arrays[name].copy() for name in names}
        return cls(Strongest.of(arrays), pictures=pictures, aside=aside, **sums)


def bins_of(values: Array) -> Array:
    """The bin of each float32 value, eight to the octave; 0 for what is not above 2^-16."""
    bits = np.ascontiguousarray(values, np.float32).view(np.int32)
    found: Array = np.clip((bits >> _SHIFT) - _FIRST + 1, 0, BINS - 1)
    return found


def edges() -> Array:
    """(257,) float64: the lower ends of bins 1 to 256, and the upper end of the last."""
    octaves = 2.0 ** np.arange(_LOWEST, _LOWEST + _OCTAVES)
    steps = 1 + np.arange(_PER_OCTAVE) / _PER_OCTAVE
    return np.append((octaves[:, None] * steps).reshape(-1), 2.0 ** (_LOWEST + _OCTAVES))


_TYPES = {
    "value": (np.float32, 3),
    "picture": (np.uint32, 3),
    "row": (np.uint16, 3),
    "column": (np.uint16, 3),
    "drawn": (np.int64, 2),
    "histogram": (np.uint32, 2),
    "mean": (np.int64, 2),
    "square": (np.int64, 2),
    "active": (np.int64, 1),
    "broken": (np.int64, 1),
    "pictures": (np.int64, 1),
}


def _check(arrays: dict[str, Array]) -> None:
    for name, (kind, axes) in _TYPES.items():
        if name not in arrays:
            raise ValueError(f"there is no '{name}'")
        if arrays[name].dtype != kind or arrays[name].ndim != axes:
            raise ValueError(f"its '{name}' is of another type")
    levels, filters, kept = arrays["value"].shape
    if not (1 <= levels <= MOST_LEVELS and filters and kept):
        raise ValueError("it has no filters")
    shapes: dict[str, tuple[int, ...]] = {}
    shapes |= dict.fromkeys(("picture", "row", "column"), (levels, filters, kept))
    shapes |= {"drawn": (levels, filters), "histogram": (filters, BINS), "pictures": (2,)}
    shapes |= dict.fromkeys(("mean", "square"), (filters, exact.WINDOWS))
    shapes |= dict.fromkeys(("active", "broken"), (filters,))
    for name, shape in shapes.items():
        if arrays[name].shape != shape:
            raise ValueError(f"its '{name}' has another shape")
    pictures, aside = arrays["pictures"]
    if not 0 <= aside <= pictures:
        raise ValueError("its 'pictures' are no numbers of pictures")
    for name in ("active", "broken", "drawn"):
        if arrays[name].min() < 0 or arrays[name].max() > pictures:
            raise ValueError(f"its '{name}' are no numbers of its pictures")
    if not np.isfinite(arrays["value"]).all():
        raise ValueError("its 'value' holds what is no number")
