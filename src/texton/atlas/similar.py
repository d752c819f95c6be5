"""Which filters have similar textures, and a map of every layer by texture."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from texton.errors import optional
from texton.images.files import write_bytes
from texton.jobs.store import Store, Unit
from texton.reading import read_json_file, take

if TYPE_CHECKING:
    from texton.atlas.textures import Texture

FORMAT = "texton-similar/1"
NEIGHBOURS = 8
_COMPONENTS = 48
_ROOM = 1.15  # cells of a map per filter: the gaps show where textures part
_WIDTH_TO_HEIGHT = 1.6

Matrix = NDArray[np.float64]
Filter = tuple[str, int]


@dataclass(frozen=True)
class Map:
    """A layer's filters laid out by texture on a grid: ``cells`` is channel → cell, row by row."""

    columns: int
    rows: int
    cells: dict[int, int] = field(default_factory=dict)

    def walk(self) -> list[int]:
        """The channels along the rows, every second one backwards: neighbours stay together."""

        def place(channel: int) -> tuple[int, int]:
            row, column = divmod(self.cells[channel], self.columns)
            return row, -column if row % 2 else column

        return sorted(self.cells, key=place)


@dataclass(frozen=True)
class Similar:
    """Nearest filters by texture, nearest first, of the same layer and of others; and the maps."""

    same: dict[Filter, list[Filter]] = field(default_factory=dict)
    others: dict[Filter, list[Filter]] = field(default_factory=dict)
    maps: dict[str, Map] = field(default_factory=dict)


def compare_textures(
    textures: Mapping[Unit, Texture],
    layers: Sequence[str],
    kept: Mapping[str, Map] | None = None,
    go_on: Callable[[], object] = lambda: None,
) -> Similar:
    """Neighbours and maps from the textures of the pictures there are.

    What a photograph does to all pictures alike is taken out; then a filter's texture is the
    mean over its photographs.

    Args:
        layers: in the order of the network.
        kept: maps that are good enough and need not be made again.
        go_on: is called before every layer, as a map takes long; what it raises ends this.
    """
    go_on()
    by_layer: dict[str, list[Filter]] = {layer: [] for layer in layers}
    filters, points = _points(textures)
    for found in filters:
        by_layer[found[0]].append(found)
    rows = {found: row for row, found in enumerate(filters)}
    same: dict[Filter, list[Filter]] = {}
    others: dict[Filter, list[Filter]] = {}
    maps = {}
    for layer, members in by_layer.items():
        if not members:
            continue
        go_on()
        inside = np.array([rows[member] for member in members])
        distances = _squared_distances(points[inside], points)
        distances[np.arange(len(inside)), inside] = np.inf
        outside = distances.copy()
        outside[:, inside] = np.inf
        own = np.full_like(distances, np.inf)
        own[:, inside] = distances[:, inside]
        for place, member in enumerate(members):
            same[member] = _nearest(own[place], filters)
            others[member] = _nearest(outside[place], filters)
        channels = [channel for _, channel in members]
        old = (kept or {}).get(layer)
        maps[layer] = old or _layout(channels, points[inside])
    return Similar(same, others, maps)


def read_similar(store: Store, textures: Mapping[Unit, Texture]) -> Similar | None:
    """What an earlier run found, if it was for exactly these textures."""
    try:
        saved = read_json_file(_path(store))
        if saved["format"] != FORMAT or saved["of"] != _identity(textures):
            return None
        return Similar(
            _unpacked(saved["same"]),
            _unpacked(saved["others"]),
            {layer: _map(take(saved["maps"], layer, dict)) for layer in saved["maps"]},
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def write_similar(store: Store, textures: Mapping[Unit, Texture], similar: Similar) -> None:
    """Keep it for the next run."""
    content = {
        "format": FORMAT,
        "of": _identity(textures),
        "same": _packed(similar.same),
        "others": _packed(similar.others),
        "maps": {layer: asdict(found) for layer, found in similar.maps.items()},
    }
    write_bytes(json.dumps(content, separators=(",", ":")).encode(), _path(store))


def _points(textures: Mapping[Unit, Texture]) -> tuple[list[Filter], Matrix]:
    """Filters and their places in a space of few dimensions, (filters, components)."""
    with optional("atlas"):  # slow to import, and few commands need it
        from sklearn.decomposition import PCA

    if not textures:
        return [], np.zeros((0, 1))
    units = list(textures)
    seen = np.stack([textures[unit].vector for unit in units]).astype(np.float64)
    for photo in {unit.photo for unit in units}:
        of_photo = [row for row, unit in enumerate(units) if unit.photo == photo]
        seen[of_photo] -= seen[of_photo].mean(0)
    rows: dict[Filter, list[int]] = {}
    for row, unit in enumerate(units):
        rows.setdefault((str(unit.layer), unit.channel or 0), []).append(row)
    filters = list(rows)
    means = np.stack([seen[rows[found]].mean(0) for found in filters])
    means /= np.sqrt(means.var(0) + 1e-3)  # a filter that never fires must not be blown up
    count = min(_COMPONENTS, *means.shape)
    solver = "covariance_eigh" if len(means) > means.shape[1] else "full"
    return filters, PCA(count, svd_solver=solver).fit_transform(means)


def _layout(channels: list[int], points: Matrix) -> Map:
    """Similar filters in neighbouring cells: t-SNE, then the cheapest way onto a grid."""
    with optional("atlas"):
        from scipy.optimize import linear_sum_assignment
    columns = max(1, math.ceil(math.sqrt(len(channels) * _ROOM * _WIDTH_TO_HEIGHT)))
    rows = max(1, math.ceil(len(channels) * _ROOM / columns))
    cells = np.array([(x, y) for y in range(rows) for x in range(columns)], dtype=np.float64)
    plane = _plane(points)
    low, high = plane.min(0), plane.max(0)
    plane = (plane - low) / np.maximum(high - low, 1e-12) * (columns - 1, rows - 1)
    _, chosen = linear_sum_assignment(_squared_distances(plane, cells))
    return Map(columns, rows, dict(zip(channels, map(int, chosen), strict=True)))


def _plane(points: Matrix) -> Matrix:
    with optional("atlas"):
        from sklearn.manifold import TSNE

    if len(points) < 8 or points.shape[1] < 2:
        return np.pad(points, ((0, 0), (0, 2)))[:, :2]
    found: Matrix = TSNE(
        perplexity=min(15.0, len(points) / 4),
        init="pca",
        random_state=0,
        max_iter=600,
        method="barnes_hut" if len(points) > 300 else "exact",
    ).fit_transform(points)
    return found.astype(np.float64)


def _squared_distances(a: Matrix, b: Matrix) -> Matrix:
    """‖a_i − b_j‖², (len(a), len(b))."""
    found: Matrix = (a * a).sum(1)[:, None] + (b * b).sum(1)[None] - 2 * a @ b.T
    return np.maximum(found, 0)


def _nearest(distances: NDArray[np.float64], filters: list[Filter]) -> list[Filter]:
    order = np.argsort(distances, kind="stable")[:NEIGHBOURS]
    return [filters[row] for row in order if np.isfinite(distances[row])]


def _identity(textures: Mapping[Unit, Texture]) -> str:
    digest = hashlib.sha256()
    for unit in sorted(textures):
        digest.update(f"{unit}{textures[unit].stamp}".encode())
    return digest.hexdigest()[:16]


def _packed(found: Mapping[Filter, Iterable[Filter]]) -> list[Any]:
    return [[list(of), [list(near) for near in nearest]] for of, nearest in found.items()]


def _unpacked(saved: list[Any]) -> dict[Filter, list[Filter]]:
    return {
        (str(of[0]), int(of[1])): [(str(layer), int(channel)) for layer, channel in nearest]
        for of, nearest in saved
    }


def _map(saved: dict[str, Any]) -> Map:
    columns, rows, cells = (
        take(saved, "columns", int),
        take(saved, "rows", int),
        take(saved, "cells", dict),
    )
    if columns < 1:
        raise ValueError("a map without columns")
    return Map(columns, rows, {int(channel): take(cells, channel, int) for channel in cells})


def _path(store: Store) -> Path:
    return store.root / "index" / "similar.json"
