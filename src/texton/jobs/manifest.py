"""What an atlas is of: ``manifest.json``, read back with care."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

FORMAT = "texton-atlas/1"


@dataclass(frozen=True)
class AtlasLayer:
    """One layer of an atlas and which of its filters are in it.

    ``receptive_field`` is in pixels; None where a unit sees the whole image.
    """

    name: str
    filters: int
    stride: int
    receptive_field: int | None
    channels: tuple[int, ...]


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

    def to_json(self) -> str:
        return json.dumps({"format": FORMAT, **asdict(self)}, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Manifest:
        """Read what `to_json` wrote.

        Raises:
            ValueError: it is anything else, an atlas of another format included.
        """
        try:
            read = json.loads(text)
            if read.pop("format") != FORMAT:
                raise ValueError("another format")
            layers = tuple(
                AtlasLayer(**{**layer, "channels": tuple(layer["channels"])})
                for layer in read.pop("layers")
            )
            photos = tuple(AtlasPhoto(**photo) for photo in read.pop("photos"))
            return cls(**read, layers=layers, photos=photos)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not a manifest: {error}") from None
