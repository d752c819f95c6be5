"""What an atlas is of: ``manifest.json``, read back with care."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from texton.reading import read_json, take, take_all, take_optional, to_json

FORMAT = "texton-atlas/1"
_SETTINGS: dict[type[Any], tuple[str, ...]] = {
    str: ("preset", "device", "dtype", "memory_format"),
    int: ("steps", "seed", "size"),
    bool: ("enlarge",),
    dict: ("solver", "preprocessing", "network_details"),
}


@dataclass(frozen=True)
class AtlasLayer:
    """One layer of an atlas and which of its filters are in it.

    ``receptive_field`` is in pixels; None where a unit sees the whole image, unless its
    ``field_status`` is ``not known``; that may also be ``at most``.
    """

    name: str
    filters: int
    stride: int
    receptive_field: int | None
    channels: tuple[int, ...]
    field_status: str = "exact"


@dataclass(frozen=True)
class AtlasPhoto:
    """One photograph of an atlas: ``file`` inside it, ``source`` the file name it came from.

    ``exact``: whether an array is kept beside it; None in atlases that do not tell.
    """

    name: str
    file: str
    content_hash: str
    source: str
    width: int
    height: int
    exact: bool | None = None


@dataclass(frozen=True)
class Manifest:
    """Everything that decides what the pictures of an atlas show.

    Attributes:
        texton, torch: the versions it was begun with.
        network: the network's name; ``weights_hash`` and ``pooling`` tell which one.
        network_options: how the command line named it, to load it again.
        settings: preset, steps, seed, size, device, dtype, …: pictures of other settings are
            never mixed in.
        layers: in the network's order.
        photos: in the order given.
        channels: what was said of them for the whole atlas: a layer that is new gets the same.
        method: by its name.
        options: the method's own, as JSON has them.
    """

    texton: str
    torch: str
    network: str
    weights_hash: str
    pooling: str | None
    network_options: Mapping[str, Any]
    settings: Mapping[str, Any]
    layers: tuple[AtlasLayer, ...]
    photos: tuple[AtlasPhoto, ...]
    channels: str = "all"
    method: str = "filter"
    options: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> str:
        return to_json({"format": FORMAT, **asdict(self)})

    @classmethod
    def from_json(cls, text: str) -> Manifest:
        """Read what `to_json` wrote.

        Raises:
            ValueError: it is anything else, an atlas of another format included.
        """
        read = read_json(text)
        if read.get("format") != FORMAT:
            raise ValueError("another format")
        if not (take(read, "layers", list) and take(read, "photos", list)):
            raise ValueError("it has no layers or no photographs")
        settings = take(read, "settings", dict)
        for kind, keys in _SETTINGS.items():
            for key in keys:
                take_optional(settings, key, kind)
        return cls(
            texton=take(read, "texton", str),
            torch=take(read, "torch", str),
            network=take(read, "network", str),
            weights_hash=take(read, "weights_hash", str),
            pooling=take_optional(read, "pooling", str),
            network_options=take(read, "network_options", dict),
            settings=settings,
            layers=tuple(_layer(layer) for layer in take_all(read, "layers", dict)),
            photos=tuple(_photo(photo) for photo in take_all(read, "photos", dict)),
            channels=take_optional(read, "channels", str) or "all",
            method=take_optional(read, "method", str) or "filter",
            options=take_optional(read, "options", dict) or {},
        )


def _layer(read: dict[str, Any]) -> AtlasLayer:
    return AtlasLayer(
        name=take(read, "name", str),
        filters=take(read, "filters", int),
        stride=take(read, "stride", int),
        receptive_field=take_optional(read, "receptive_field", int),
        channels=tuple(take_all(read, "channels", int)),
        field_status=take_optional(read, "field_status", str) or "exact",
    )


def _photo(read: dict[str, Any]) -> AtlasPhoto:
    name = take(read, "name", str)
    if not re.fullmatch(r"[^./\\\0][^/\\\0]*", name):  # it names files
        raise ValueError(f"a photograph is called {name!r}")
    return AtlasPhoto(
        name=name,
        file=take(read, "file", str),
        content_hash=take(read, "content_hash", str),
        source=take(read, "source", str),
        width=take(read, "width", int),
        height=take(read, "height", int),
        exact=take_optional(read, "exact", bool),
    )
