"""The strongest places of every filter: one a picture, of all pictures and of random ones.

Level 0 keeps the strongest of all pictures. Level j keeps the strongest of those that fall to a
filter's draw once in 8^j times: a random sample, so that what lies far below the maximum, the
middle of a million pictures, is found with the same few entries. Which picture is drawn depends
on its content, the filter and the seed alone: parts of a scan merge in any order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

KEPT = 32  # entries a level: enough for a band of a tenth of the ranks, see `band`
NOBODY = 2**32 - 1  # where there are fewer pictures than entries
_EMPTY = np.iinfo(np.int64).min
_THIN = 3  # bits of the draw that a level asks to be 0
MOST_LEVELS = 12


@dataclass(eq=False)
class Strongest:
    """``keys`` (L, C, T) order values, then pictures; ``places`` (L, C, T, 2) row and column;
    ``drawn`` (L, C) how many pictures a level has seen."""

    keys: Array
    places: Array
    drawn: Array

    @classmethod
    def none(cls, filters: int, kept: int) -> Strongest:
        keys = np.full((1, filters, kept), _EMPTY, np.int64)
        places = np.zeros((1, filters, kept, 2), np.uint16)
        return cls(keys, places, np.zeros((1, filters), np.int64))

    def add(self, values: Array, pictures: Array, places: Array, draws: Array) -> None:
        """Pictures that are new.

        Args:
            values: (B, C) float32, each filter's maximum; 0 where it is silent.
            pictures: (B,) their numbers.
            places: (B, C, 2) where.
            draws: (B, C) uint64, see `draws_of`.
        """
        keys = np.where(values != 0, _keys(values, pictures[:, None]), _EMPTY)
        level = 0
        while level < MOST_LEVELS:
            drawn = (draws >> np.uint64(64 - _THIN * level)) == 0 if level else None
            if drawn is not None and not drawn.any():
                break
            self._reach(level)
            there = keys if drawn is None else np.where(drawn, keys, _EMPTY)
            self.drawn[level] += len(values) if drawn is None else drawn.sum(0)
            self._merge(level, there.T, places.transpose(1, 0, 2))
            level += 1

    def merge(self, other: Strongest) -> None:
        """Add what another part of the scan has found."""
        for level in range(len(other.keys)):
            self._reach(level)
            self.drawn[level] += other.drawn[level]
            self._merge(level, other.keys[level], other.places[level])

    def _merge(self, level: int, keys: Array, places: Array) -> None:
        every = np.concatenate([self.keys[level], keys], 1)
        where = np.concatenate([self.places[level], places], 1)
        kept = self.keys.shape[2]
        best = np.argsort(every, axis=1, kind="stable")[:, ::-1][:, :kept]
        self.keys[level] = np.take_along_axis(every, best, 1)
        found = np.take_along_axis(where, best[..., None], 1)
        found[self.keys[level] == _EMPTY] = 0
        self.places[level] = found

    def _reach(self, level: int) -> None:
        if level == len(self.keys):
            more = Strongest.none(*self.keys.shape[1:])
            self.keys = np.concatenate([self.keys, more.keys])
            self.places = np.concatenate([self.places, more.places])
            self.drawn = np.concatenate([self.drawn, more.drawn])

    def arrays(self) -> dict[str, Array]:
        """As a file has it."""
        value, picture = _parted(self.keys)
        return {
            "value": value,
            "picture": picture,
            "row": self.places[..., 0],
            "column": self.places[..., 1],
            "drawn": self.drawn,
        }

    @classmethod
    def of(cls, arrays: dict[str, Array]) -> Strongest:
        """What `arrays` gave."""
        picture = arrays["picture"]
        keys = np.where(picture == NOBODY, _EMPTY, _keys(arrays["value"], picture))
        return cls(keys, np.stack([arrays["row"], arrays["column"]], -1), arrays["drawn"].copy())


def band(
    picture: Array, drawn: Array, low: float, high: float, count: int
) -> list[tuple[int, int]]:
    """Entries (level, rank) of one filter whose values lie between two quantiles.

    Args:
        picture: (L, T), by value downwards; `NOBODY` where there is none.
        drawn: (L,) how many pictures each level has seen.
        low, high: quantiles of the pictures, each by its strongest place.
        count: so many, spread evenly, from the first level that reaches down to ``low`` and has
            them; else from that which has most.
    """
    best: list[tuple[int, int]] = []
    for level, total in enumerate(drawn):
        inside = [
            (level, rank)
            for rank in range(picture.shape[1])
            if picture[level, rank] != NOBODY and low <= 1 - (rank + 0.5) / total < high
        ]
        best = max(best, inside, key=len)
        if len(inside) >= count and total * (1 - low) <= picture.shape[1]:
            best = inside
            break
    spread = {(2 * part + 1) * len(best) // (2 * count) for part in range(count)} if best else ()
    return [best[index] for index in sorted(spread)]


def draws_of(hashes: Array, filters: int, salt: int) -> Array:
    """(B, C) uint64, even over their range, from pictures' hashes (B,) of uint64."""
    with np.errstate(over="ignore"):
        channel = (np.arange(filters, dtype=np.uint64) + np.uint64(salt)) * np.uint64(
            0x9E3779B97F4A7C15
        )
        mixed = hashes[:, None] ^ channel[None]
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):  # splitmix64
            mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
        even: Array = mixed ^ (mixed >> np.uint64(31))
        return even


def _keys(values: Array, pictures: Array) -> Array:
    """Of a larger value the larger key; of equal ones, of the earlier picture."""
    bits = values.astype(np.float32).view(np.int32).astype(np.int64)
    ordered = np.where(bits < 0, bits ^ 0x7FFFFFFF, bits)
    keys: Array = (ordered << 32) + (NOBODY - pictures.astype(np.int64))
    return keys


def _parted(keys: Array) -> tuple[Array, Array]:
    """Values and pictures of keys."""
    empty = keys == _EMPTY
    ordered = keys >> 32
    bits = np.where(ordered < 0, ordered ^ 0x7FFFFFFF, ordered).astype(np.int32)
    value = np.where(empty, np.float32(0), bits.view(np.float32))
    picture = np.where(empty, NOBODY, NOBODY - (keys & NOBODY))
    return value.astype(np.float32), picture.astype(np.uint32)
