"""What an evidence folder is of: ``manifest.json``, read back with care."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from texton.reading import read_json, take, take_all, take_optional, to_json

FORMAT = "texton-evidence/1"


@dataclass(frozen=True)
class EvidenceLayer:
    """One layer: what a unit of its maps sees.

    Attributes:
        stride, field: pixels between neighbours, and the side of what one sees; None where that
            is the whole picture.
        first: (row, column) of the first pixel that unit (0, 0) sees; outside, where negative.
        effective: side in pixels of the square around a unit's centre that 95 % of its gradient
            comes from, where the field is larger than the pictures; else None.
        rectifies: whether its maps are silent where they are 0.
    """

    name: str
    filters: int
    stride: int
    field: int | None
    first: tuple[int, int]
    effective: int | None
    rectifies: bool


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
        settings: ``size``, ``top``, ``seed``, ``device``, ``dtype``, ``memory_format``:
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
        for kind, keys in {int: ("size", "top", "seed"), str: ("device", "dtype")}.items():
            for key in keys:
                take(settings, key, kind)
        state = take(read, "state", str)
        if "/" in state or "\\" in state or state.startswith("."):
            raise ValueError("its 'state' is no folder in it")
        return cls(
            texton=take(read, "texton", str),
            torch=take(read, "torch", str),
            network=take(read, "network", str),
            weights_hash=take(read, "weights_hash", str),
            network_options=take(read, "network_options", dict),
            settings=settings,
            layers=tuple(_layer(layer) for layer in take_all(read, "layers", dict)),
            roots=tuple(take_all(read, "roots", str)),
            extents=tuple(_extent(extent) for extent in take_all(read, "extents", dict)),
            done=tuple(_pair(pair) for pair in take_all(read, "done", list)),
            state=state,
            skipped=tuple(take_all(read, "skipped", int)),
        )


def _layer(read: dict[str, Any]) -> EvidenceLayer:
    layer = EvidenceLayer(
        name=take(read, "name", str),
        filters=take(read, "filters", int),
        stride=take(read, "stride", int),
        field=take_optional(read, "field", int),
        first=_pair(take(read, "first", list)),
        effective=take_optional(read, "effective", int),
        rectifies=take(read, "rectifies", bool),
    )
    if min(layer.filters, layer.stride, layer.field or 1, layer.effective or 1) < 1:
        raise ValueError(f"the sizes of '{layer.name}' are none")
    return layer


def _extent(read: dict[str, Any]) -> Extent:
    extent = Extent(take(read, "start", int), take(read, "end", int), take(read, "block", int))
    if not (0 <= extent.start <= extent.end and extent.block > 0):
        raise ValueError("its 'extents' are none")
    return extent


def _pair(read: list[Any]) -> tuple[int, int]:
    first, second = take_all({"pair": read}, "pair", int)
    return first, second
