"""What an evidence folder is of: ``manifest.json``, read back with care."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from texton.reading import read_json, take, take_all, take_optional, to_json

FORMAT = "texton-evidence/1"
_MOST = 2**31  # pictures and pixels: more is no scan's
_RANGES = {"size": (1, 10_000), "top": (1, 1000), "channels": (1, 1000), "seed": (0, 2**63 - 1)}


@dataclass(frozen=True)
class EvidenceLayer:
    """One layer: what a unit of its maps sees.

    Attributes:
        stride, field: pixels between neighbours, and the side of what one sees; None where that
            is the whole picture, or not known.
        first: (row, column) of the first pixel that unit (0, 0) sees; outside, where negative.
            Of a field that is longer one way, of the square around it.
        effective: side in pixels of the square around a unit's centre that 95 % of its gradient
            comes from, where the field is larger than the pictures; else None.
        rectifies: whether its maps are silent where they are 0.
        strides: those from row to row and from column to column, where they are not ``stride``.
    """

    name: str
    filters: int
    stride: int
    field: int | None
    first: tuple[int, int]
    effective: int | None
    rectifies: bool
    strides: tuple[float, float] | None = None

    def origin(self, row: int, column: int) -> tuple[int, int]:
        """(row, column) of the first pixel that a unit sees."""
        down, across = self.strides or (self.stride, self.stride)
        return math.floor(self.first[0] + row * down), math.floor(self.first[1] + column * across)


@dataclass(frozen=True)
class Extent:
    """Pictures ``start`` to ``end`` (not included), scanned ``block`` at a time."""

    start: int
    end: int
    block: int


@dataclass(frozen=True)
class EvidenceManifest:
    """Everything that decides what the figures are.

    Attributes:
        network_options: how the command line named the network, to load it again.
        settings: ``size``, ``top``, ``seed``, ``device``, ``dtype``, ``memory_format``, and
            how pictures are read, ``crop``, ``multiple``, ``white``, where that is told:
            figures of other settings are never mixed in.
        roots: the folders that pictures' paths start from.
        extents: which pictures there are to scan.
        done: ranges of those scanned; what is not in it is not in the figures.
        state: the folder of the layers' files.
        skipped: pictures that could no longer be read when their turn came.
    """

    texton: str
    torch: str
    network: str
    weights_hash: str
    network_options: Mapping[str, Any]
    settings: Mapping[str, Any]
    layers: tuple[EvidenceLayer, ...]
    roots: tuple[str, ...]
    extents: tuple[Extent, ...] = ()
    done: tuple[tuple[int, int], ...] = ()
    state: str = ""
    skipped: tuple[int, ...] = ()

    def to_json(self) -> str:
        return to_json({"format": FORMAT, **asdict(self)}, indent=1)

    @classmethod
    def from_json(cls, text: str) -> EvidenceManifest:
        """Read what `to_json` wrote.

        Raises:
            ValueError: it is anything else.
        """
        read = read_json(text)
        if read.get("format") != FORMAT:
            raise ValueError("another format")
        settings = take(read, "settings", dict)
        for key in ("device", "dtype"):
            take(settings, key, str)
        for key, (low, high) in _RANGES.items():
            if not low <= take(settings, key, int) <= high:
                raise ValueError(f"its '{key}' is out of range")
        sides = [take_optional(settings, "multiple", int) or 1]
        if settings.get("crop") not in (None, "square"):
            sides += _pair(take(settings, "crop", list))
        white = settings.get("white")
        if white is not None and not (_is_number(white) and white > 0):
            raise ValueError("its 'white' is no number above 0")
        if not all(1 <= side <= _RANGES["size"][1] for side in sides):
            raise ValueError("its 'crop' or 'multiple' is out of range")
        state = take(read, "state", str)
        if "/" in state or "\\" in state or state.startswith("."):
            raise ValueError("its 'state' is no folder in it")
        layers = tuple(_layer(layer) for layer in take_all(read, "layers", dict))
        if len({layer.name for layer in layers}) < max(1, len(layers)):
            raise ValueError("it has no layers, or one twice")
        return cls(
            texton=take(read, "texton", str),
            torch=take(read, "torch", str),
            network=take(read, "network", str),
            weights_hash=take(read, "weights_hash", str),
            network_options=take(read, "network_options", dict),
            settings=settings,
            layers=layers,
            roots=tuple(take_all(read, "roots", str)),
            extents=_extents(take_all(read, "extents", dict)),
            done=tuple(_range(*_pair(pair)) for pair in take_all(read, "done", list)),
            state=state,
            skipped=tuple(take_all(read, "skipped", int)),
        )


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _layer(read: dict[str, Any]) -> EvidenceLayer:
    layer = EvidenceLayer(
        name=take(read, "name", str),
        filters=take(read, "filters", int),
        stride=take(read, "stride", int),
        field=take_optional(read, "field", int),
        first=_pair(take(read, "first", list)),
        effective=take_optional(read, "effective", int),
        rectifies=take(read, "rectifies", bool),
        strides=_strides(read),
    )
    sizes = (layer.filters, layer.stride, layer.field, layer.effective)
    sizes_in_range = all(size is None or 1 <= size < _MOST for size in sizes)
    if not (sizes_in_range and all(abs(edge) < _MOST for edge in layer.first)):
        raise ValueError(f"the sizes of '{layer.name}' are none")
    return layer


def _strides(read: dict[str, Any]) -> tuple[float, float] | None:
    if read.get("strides") is None:
        return None
    strides = take_all(read, "strides", float)
    if len(strides) != 2 or not all(0 < stride < _MOST for stride in strides):
        raise ValueError("its 'strides' are none")
    return strides[0], strides[1]


def _extents(read: list[dict[str, Any]]) -> tuple[Extent, ...]:
    """One begins where the one before ends."""
    extents: list[Extent] = []
    for told in read:
        start, end = _range(take(told, "start", int), take(told, "end", int))
        block = take(told, "block", int)
        if start != (extents[-1].end if extents else 0) or block < 1:
            raise ValueError("its 'extents' are none")
        extents.append(Extent(start, end, block))
    return tuple(extents)


def _range(start: int, end: int) -> tuple[int, int]:
    if not 0 <= start <= end < _MOST:
        raise ValueError("its 'done' or 'extents' are no ranges of pictures")
    return start, end


def _pair(read: list[Any]) -> tuple[int, int]:
    if len(read) != 2:
        raise ValueError("no two numbers")
    first, second = take_all({"pair": read}, "pair", int)
    return first, second
