"""Two atlases of one architecture: how far each filter's texture is from the other's."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from texton.atlas.textures import OnPicture, Texture, measure_textures, read_textures
from texton.errors import TextonError
from texton.jobs.manifest import AtlasLayer
from texton.jobs.store import PICTURED, Store, Unit

Fate = Literal["alive", "died", "woke", "dead", "missing"]
_SAME_SETTINGS = ("preset", "size", "steps", "seed")

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Drift:
    """What became of one filter from the first atlas to the second.

    Attributes:
        fate: ``dead`` is so in both, ``missing`` not made in one.
        far: the distance of its two textures, 1 being the median of two filters of the layer in
            the first atlas; None where one is dead or missing.
        nearest: the filter of the first atlas that its texture in the second is most like.
    """

    layer: str
    channel: int
    fate: Fate
    far: float | None = None
    nearest: int | None = None

    @property
    def kept(self) -> bool:
        """Whether it is still most like itself."""
        return self.nearest == self.channel


@dataclass(frozen=True)
class Drifts:
    """All filters that two atlases have in common, layer by layer, each from the farthest on."""

    first: Store
    second: Store
    photo: str
    differing: tuple[str, ...]
    layers: Mapping[str, Sequence[Drift]]

    def summary(self, layer: str) -> dict[str, Any]:
        """``filters``, ``median`` of how far, ``kept`` (a share), ``died``, ``woke``."""
        found = self.layers[layer]
        known = [one.far for one in found if one.far is not None]
        kept = [one.kept for one in found if one.far is not None]
        return {
            "filters": len(found),
            "median": statistics.median(known) if known else None,
            "kept": sum(kept) / len(kept) if kept else None,
            "died": sum(one.fate == "died" for one in found),
            "woke": sum(one.fate == "woke" for one in found),
        }

    def farthest(self, count: int) -> list[Drift]:
        every = [one for found in self.layers.values() for one in found if one.far is not None]
        return sorted(every, key=lambda one: -(one.far or 0))[:count]


def drifts(first: Store, second: Store, on_picture: OnPicture | None = None) -> Drifts:
    """How far every filter has drifted from one atlas to another.

    Textures are compared by statistics of texton's own VGG-19, averaged over the photographs
    that both atlases have.

    Raises:
        TextonError: another method or architecture, no photograph in common, nothing made.
    """
    photos, common = _in_common(first, second)
    units = [
        Unit(x.name, channel, photo)
        for x, channels in common
        for channel in channels
        for photo in photos
    ]
    states = [{unit: _status(store, unit) for unit in units} for store in (first, second)]
    vectors = [
        _measured(store, [unit for unit in units if state[unit] == "ok"], on_picture)
        for store, state in zip((first, second), states, strict=True)
    ]
    if not all(vectors):
        raise TextonError("nothing is made yet that both atlases have: build them first")
    layers = {
        x.name: _of_layer(x.name, channels, photos, states, vectors) for x, channels in common
    }
    told = [store.manifest.settings for store in (first, second)]
    differing = tuple(key for key in _SAME_SETTINGS if told[0].get(key) != told[1].get(key))
    return Drifts(first, second, photos[0], differing, layers)


def _in_common(first: Store, second: Store) -> tuple[list[str], list[tuple[AtlasLayer, list[int]]]]:
    one, other = first.manifest, second.manifest
    if one.method != other.method:
        raise TextonError(
            f"'{first.root}' shows {one.method} and '{second.root}' {other.method}: "
            "compare atlases of one method"
        )
    layers = {layer.name: layer for layer in other.layers}
    common = [
        (x, [c for c in x.channels if c in layers[x.name].channels])
        for x in one.layers
        if x.name in layers and layers[x.name].filters == x.filters
    ]
    common = [(x, channels) for x, channels in common if channels]
    if not common:
        raise TextonError(
            f"'{first.root}' and '{second.root}' have no layer of one name and size in common: "
            "compare atlases of one architecture"
        )
    there = {photo.name: photo.content_hash for photo in other.photos}
    photos = [x.name for x in one.photos if there.get(x.name) == x.content_hash]
    if not photos:
        raise TextonError(
            f"'{first.root}' and '{second.root}' have no photograph in common: build both with "
            "the same files and --size"
        )
    return photos, common


def _status(store: Store, unit: Unit) -> str | None:
    record = store.record(unit)
    return record["status"] if record is not None and record["status"] in PICTURED else None


def _measured(
    store: Store, units: Sequence[Unit], on_picture: OnPicture | None
) -> dict[Unit, Texture]:
    return measure_textures(store, units, read_textures(store), on_picture)


def _of_layer(
    layer: str,
    channels: Sequence[int],
    photos: Sequence[str],
    states: Sequence[Mapping[Unit, str | None]],
    vectors: Sequence[Mapping[Unit, Texture]],
) -> list[Drift]:
    """A layer's filters, those that died or woke first, then from the farthest on."""
    means = [_means(layer, channels, photos, found) for found in vectors]
    alive = [~np.isnan(found[:, 0]) for found in means]
    both = alive[0] & alive[1]
    far, nearest = _distances(means[0], means[1], alive[0], both)
    found = []
    for at, channel in enumerate(channels):
        fate = _fate(layer, channel, photos, states)
        if both[at]:
            own = channels[nearest[at]]
            found.append(Drift(layer, channel, "alive", float(far[at]), own))
        else:
            found.append(Drift(layer, channel, fate))
    order = ("died", "woke", "alive", "dead", "missing")
    return sorted(found, key=lambda one: (order.index(one.fate), -(one.far or 0), one.channel))


def _means(
    layer: str, channels: Sequence[int], photos: Sequence[str], found: Mapping[Unit, Texture]
) -> Matrix:
    """(F, D): a filter's texture over the photographs; NaN where there is none."""
    size = len(next(iter(found.values())).vector)
    rows = np.full((len(channels), size), np.nan)
    for at, channel in enumerate(channels):
        known = [found[u].vector for p in photos if (u := Unit(layer, channel, p)) in found]
        if known:
            rows[at] = np.mean(np.stack(known).astype(np.float64), 0)
    return rows


def _distances(
    first: Matrix, second: Matrix, alive: NDArray[np.bool_], both: NDArray[np.bool_]
) -> tuple[Matrix, NDArray[np.int64]]:
    """Each filter's distance in units of the first atlas's own, and whom it is nearest to."""
    count = len(first)
    far, nearest = np.full(count, np.nan), np.zeros(count, np.int64)
    if not both.any():
        return far, nearest
    together = np.concatenate([first[both], second[both]])
    spread = np.sqrt(together.var(0) + 1e-3)  # as neighbours are found: see `similar`
    one, other = first / spread, second / spread
    rows = np.flatnonzero(alive)
    among = [np.linalg.norm(one[rows[at + 1 :]] - one[row], axis=1) for at, row in enumerate(rows)]
    apart = np.concatenate(among)  # a row at a time: all at once 512 filters take gigabytes
    unit = float(np.median(apart)) if len(apart) else 1.0
    for at in np.flatnonzero(both):
        away = np.linalg.norm(one[rows] - other[at], axis=1)
        far[at] = np.linalg.norm(one[at] - other[at]) / max(unit, 1e-12)
        nearest[at] = rows[int(away.argmin())]
    return far, nearest


def _fate(
    layer: str,
    channel: int,
    photos: Sequence[str],
    states: Sequence[Mapping[Unit, str | None]],
) -> Fate:
    """Of a filter that is not alive in both."""
    before, after = (
        {state[Unit(layer, channel, photo)] for photo in photos} - {None} for state in states
    )
    if not before or not after:
        return "missing"
    if "ok" in before:
        return "died"
    return "woke" if "ok" in after else "dead"
