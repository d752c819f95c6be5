"""Each picture's texture as numbers: what a network sees in it, wherever in the picture.

The instrument is always texton's own VGG-19, whatever network the atlas is of: textures of any
network are measured alike, and neither its code nor its weights need to be here.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from texton.errors import TextonError
from texton.images.files import read_image, write_bytes
from texton.jobs.store import Store, Unit
from texton.network.codes import moments
from texton.network.device import choose_compute
from texton.network.load import load_network
from texton.network.network import Network
from texton.reading import read_json

LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1")
FORMAT = "texton-textures/1"
_BATCH = 32
_LONG_EDGE = 128  # larger pictures are measured at this size

Vector = NDArray[np.float16]
OnPicture = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Texture:
    """A picture's statistics, and the file state that they were measured from."""

    vector: Vector
    stamp: tuple[int, int]


def measure_textures(
    store: Store,
    units: Iterable[Unit],
    known: Mapping[Unit, Texture],
    on_picture: OnPicture | None = None,
) -> dict[Unit, Texture]:
    """The texture of every unit's picture; what is known and unchanged is kept.

    A vector is log(1 + mean) and log(1 + standard deviation) of every filter of `LAYERS`: no
    positions in it. Pictures that cannot be read are left out.
    """
    found: dict[Unit, Texture] = {}
    todo: list[tuple[Unit, tuple[int, int]]] = []
    for unit in units:
        stamp = _stamp(store.picture(unit))
        old = known.get(unit)
        if stamp is not None and old is not None and old.stamp == stamp:
            found[unit] = old
        elif stamp is not None:
            todo.append((unit, stamp))
    network = load_network("vgg19") if todo else None
    for start in range(0, len(todo), _BATCH):
        assert network is not None
        found.update(_measure(store, todo[start : start + _BATCH], network))
        if on_picture:
            on_picture(min(start + _BATCH, len(todo)), len(todo))
    return found


def read_textures(store: Store) -> dict[Unit, Texture]:
    """What an earlier run has measured; nothing where that cannot be read."""
    path = _path(store)
    try:
        with np.load(path, allow_pickle=False) as saved:
            head = read_json(bytes(saved["head"]))
            vectors = saved["vectors"]
        if head["format"] != FORMAT or head["layers"] != list(LAYERS):
            return {}
        if vectors.dtype != np.float16 or vectors.ndim != 2 or not np.isfinite(vectors).all():
            return {}
        return {
            Unit(layer, channel, photo): Texture(vector, (size, date))
            for (layer, channel, photo, size, date), vector in zip(
                head["units"], vectors, strict=True
            )
        }
    except Exception:  # noqa: BLE001 - however it is damaged, it is measured anew
        return {}


def write_textures(store: Store, textures: Mapping[Unit, Texture]) -> None:
    """Keep what was measured for the next run."""
    if not textures:
        return
    units = [
        [unit.layer, unit.channel, unit.photo, *texture.stamp] for unit, texture in textures.items()
    ]
    head = json.dumps({"format": FORMAT, "layers": LAYERS, "units": units}).encode()
    buffer = io.BytesIO()
    np.savez(
        buffer,
        head=np.frombuffer(head, dtype=np.uint8),
        vectors=np.stack([texture.vector for texture in textures.values()]),
    )
    write_bytes(buffer.getvalue(), _path(store))


def _measure(
    store: Store, batch: list[tuple[Unit, tuple[int, int]]], network: Network
) -> dict[Unit, Texture]:
    by_size: dict[torch.Size, list[tuple[Unit, tuple[int, int], torch.Tensor]]] = {}
    for unit, stamp in batch:
        try:
            image = read_image(store.picture(unit), _LONG_EDGE)
        except TextonError:
            continue  # replaced or removed meanwhile: the next run measures it
        by_size.setdefault(image.shape, []).append((unit, stamp, image))
    found = {}
    for alike in by_size.values():
        images = torch.cat([image for *_, image in alike])
        with torch.no_grad():
            codes = network.encode(images, LAYERS, choose_compute("cpu"))
        seen = torch.cat([moments(codes[layer].float()) for layer in LAYERS], 1).log1p()
        for (unit, stamp, _), vector in zip(alike, seen.numpy().astype(np.float16), strict=True):
            found[unit] = Texture(vector, stamp)
    return found


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        state = path.stat()
    except OSError:
        return None
    return state.st_size, state.st_mtime_ns


def _path(store: Store) -> Path:
    return store.root / "index" / "textures.npz"
