"""An evidence folder read back: which pictures excite each filter where, and how strongly.

``manifest.json`` says what it is of, ``pictures.jsonl`` lists the pictures, and one ``.npz`` a
layer holds the numbers: plain arrays, never pickled.
"""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from urllib.parse import quote

import numpy as np
from torch import Tensor

from texton.errors import TextonError, first_line, near_names
from texton.evidence import exact
from texton.evidence.manifest import EvidenceLayer, EvidenceManifest
from texton.evidence.pictures import PictureList, Scanned, content_hash
from texton.evidence.state import Array, LayerState, edges
from texton.evidence.strongest import NOBODY, band
from texton.images.files import read_image
from texton.network.sizes import told_in

BANDS = {"q99": (0.99, 0.999), "q90": (0.90, 0.99), "q50": (0.50, 0.90)}
_PER_BAND = 3
_ANY_ARRAY = 200_000_000  # bytes: larger ones no scan writes
Text = str | os.PathLike[str]

# What reading a damaged .npz raises: packed otherwise, encrypted, a header that asks for petabytes.
UNREADABLE = (
    *(OSError, ValueError, EOFError, KeyError, RuntimeError, MemoryError, OverflowError),
    *(zipfile.BadZipFile, zlib.error),
)


@dataclass(frozen=True)
class Place:
    """Where in which picture: ``row`` and ``column`` count units of the layer's map."""

    picture: int
    row: int
    column: int
    value: float


class LayerEvidence:
    """The filters of one layer over all pictures; arrays begin with the C filters.

    Attributes:
        layer: its geometry.
        pictures: how many pictures are behind it; ``aside`` of them without the places near the
            border, where padding counts.
        histogram: (C, 257) values at sampled positions; see `state.edges`.
        active_pictures: (C,) share of pictures with any activity.
    """

    def __init__(self, layer: EvidenceLayer, state: LayerState, top: int) -> None:
        self.layer, self._state, self._top = layer, state, top
        self.pictures, self.aside = state.pictures, state.aside
        self.histogram = state.histogram
        self.broken = state.broken
        self._arrays = state.strongest.arrays()

    @property
    def top_value(self) -> Array:
        """(C, k) float32, the strongest places' values, downwards; 0 where there are fewer."""
        return self._arrays["value"][0, :, : self._top]

    @property
    def top_picture(self) -> Array:
        """(C, k) the pictures' numbers, each once; `NOBODY` where there are fewer."""
        return self._arrays["picture"][0, :, : self._top]

    @property
    def top_row(self) -> Array:
        return self._arrays["row"][0, :, : self._top]

    @property
    def top_column(self) -> Array:
        return self._arrays["column"][0, :, : self._top]

    @cached_property
    def active_pictures(self) -> Array:
        share: Array = self._state.active / max(1, self.pictures)
        return share

    @cached_property
    def dead(self) -> Array:
        """(C,) whether no picture excites it at all: of how many, ``pictures`` tells."""
        never: Array = (self._state.active == 0) & (self.pictures > 0)
        return never

    @cached_property
    def mean(self) -> Array:
        """(C,) over all places considered, every picture counting alike."""
        return exact.total(self._state.mean) / max(1, self.pictures)

    @cached_property
    def deviation(self) -> Array:
        """(C,) standard deviation, likewise."""
        square = exact.total(self._state.square) / max(1, self.pictures)
        spread: Array = np.sqrt(np.maximum(square - self.mean**2, 0))
        return spread

    @cached_property
    def silent(self) -> Array:
        """(C,) share of places with nothing above 0 (of those sampled)."""
        share: Array = self.histogram[:, 0] / np.maximum(self.histogram.sum(1), 1)
        return share

    @cached_property
    def selectivity(self) -> Array:
        """(C,) (mean of the strongest hundredth of places − mean) / deviation; 0 if it is dead."""
        counts = self.histogram[:, ::-1].astype(np.float64)
        wanted = 0.01 * counts.sum(1, keepdims=True)
        taken = np.clip(wanted - (np.cumsum(counts, 1) - counts), 0, counts)
        middles = np.append(0.0, (edges()[1:] + edges()[:-1]) / 2)[::-1]
        strong = (taken * middles).sum(1) / np.maximum(wanted[:, 0], 1e-12)
        spread = self.deviation
        excess = strong - self.mean
        divided: Array = np.divide(excess, spread, out=np.zeros_like(spread), where=spread > 0)
        return divided

    def quantile(self, q: float) -> Array:
        """(C,) the value below which a share ``q`` of the places lies, to some percent.

        Read off the histogram, whose bins are 6 to 12 % wide, linearly inside a bin; 0 where it
        falls among what is not above 0.
        """
        counts = self.histogram.astype(np.float64)
        below = np.cumsum(counts, 1)
        wanted = q * below[:, -1:]
        bins = np.minimum((below < wanted).sum(1), counts.shape[1] - 1)
        rows = np.arange(len(counts))
        before, inside = below[rows, bins] - counts[rows, bins], counts[rows, bins]
        share = np.divide(wanted[:, 0] - before, inside, out=np.zeros(len(rows)), where=inside > 0)
        low = np.append(0.0, edges()[:-1])
        return np.where(bins == 0, 0.0, low[bins] + share * (edges()[bins] - low[bins]))

    def places(self, channel: int, which: str = "top") -> list[Place]:
        """A filter's strongest places, one a picture; or three of a band of pictures.

        Args:
            which: ``top``, or ``q99`` (quantiles 0.99 to 0.999 of the pictures, by their
                strongest place), ``q90`` (0.9 to 0.99), ``q50`` (0.5 to 0.9).

        Raises:
            TextonError: there is no such filter.
        """
        if not 0 <= channel < self.layer.filters:
            last = self.layer.filters - 1
            raise TextonError(f"{self.layer.name} has no channel {channel}: it has 0 to {last}")
        arrays = self._arrays
        if which == "top":
            kept = arrays["picture"][0, channel, : self._top] != NOBODY
            chosen = [(0, int(rank)) for rank in np.flatnonzero(kept)]
        else:
            picture, drawn = arrays["picture"][:, channel], arrays["drawn"][:, channel]
            chosen = band(picture, drawn, *BANDS[which], _PER_BAND)
        return [self._place(level, channel, rank) for level, rank in chosen]

    def _place(self, level: int, channel: int, rank: int) -> Place:
        row, column, picture, value = (
            self._arrays[name][level, channel, rank]
            for name in ("row", "column", "picture", "value")
        )
        return Place(int(picture), int(row), int(column), float(value))


class Evidence:
    """A folder that ``texton scan`` made.

    Attributes:
        root: the folder.
        manifest: what it is of.
        layers: their geometry by name, in the network's order.
        pictures: the files, by their numbers.
    """

    def __init__(
        self,
        root: Path,
        manifest: EvidenceManifest,
        pictures: Sequence[Scanned],
        found: Mapping[str, LayerEvidence] | None = None,
    ) -> None:
        """
        Args:
            found: layers that are not in files.
        """
        self.root, self.manifest, self.pictures = root, manifest, pictures
        self.layers = {layer.name: layer for layer in manifest.layers}
        self._read = dict(found or {})

    @classmethod
    def open(cls, folder: Text) -> Evidence:
        """The evidence in a folder.

        Raises:
            TextonError: there is none, or it cannot be read.
        """
        root = Path(folder)
        try:
            manifest = read_manifest(root)
            return cls(root, manifest, PictureList(root / "pictures.jsonl"))
        except (FileNotFoundError, NotADirectoryError):
            raise TextonError(
                f"there is no evidence in '{root}': make it with `texton scan FOLDER -o {root}`"
            ) from None
        except OSError as error:
            raise TextonError(f"cannot read '{root}': {error.strerror or error}") from None

    @property
    def size(self) -> int:
        """The long edge that pictures were read at."""
        return int(self.manifest.settings["size"])

    @property
    def channels(self) -> int:
        """Of the pictures."""
        return int(self.manifest.settings["channels"])

    def layer(self, name: str) -> LayerEvidence:
        """The filters of a layer; kept once read.

        Raises:
            TextonError: it was not scanned, nothing is finished yet, or its file is damaged.
        """
        if name in self._read:
            return self._read[name]
        if name not in self.layers:
            near = near_names(name, self.layers)
            raise TextonError(f"'{self.root}' has nothing of a layer '{name}'{near}")
        if not self.manifest.state:
            raise TextonError(f"no pictures are scanned in '{self.root}': run `texton scan` again")
        layer = self.layers[name]
        state = read_layer(layer_file(self.root / self.manifest.state, name))
        if len(state.histogram) != layer.filters:
            raise TextonError(f"the file of {name} in '{self.root}' is another network's")
        self._read[name] = LayerEvidence(layer, state, int(self.manifest.settings["top"]))
        return self._read[name]

    def path(self, picture: int) -> Path:
        """The file of a picture.

        Raises:
            TextonError: there is no such picture.
        """
        try:
            scanned: Scanned = self.pictures[picture]
            return Path(self.manifest.roots[scanned.root]) / scanned.path
        except (IndexError, ValueError, OSError) as error:
            told = first_line(error)
            raise TextonError(f"picture {picture} of '{self.root}' is lost: {told}") from None

    def read(self, picture: int) -> Tensor:
        """A picture (1, C, H, W) as it was scanned.

        Raises:
            TextonError: it is no longer there, has changed since, or cannot be read.
        """
        path = self.path(picture)
        self._check_unchanged(path, self.pictures[picture])
        needs = told_in(self.manifest.settings)
        return read_image(path, self.size, channels=self.channels, **needs)

    def still_there(self, places: Iterable[Place]) -> Iterator[tuple[Place, Tensor]]:
        """Places with their pictures, those left out that have vanished or changed since.

        Raises:
            TextonError: that is all of them.
        """
        found, lost = False, None
        for place in places:
            try:
                image = self.read(place.picture)
            except TextonError as error:
                lost = error
                continue
            found = True
            yield place, image
        if lost is not None and not found:
            raise TextonError(f"what was scanned is no longer there: {lost}")

    def _check_unchanged(self, path: Path, scanned: Scanned) -> None:
        """Its content is looked at only where its size or time is another than it was."""
        try:
            now = path.stat()
            like = (now.st_size, now.st_mtime_ns) == (scanned.size, scanned.mtime)
            if like or content_hash(path) == scanned.content:
                return
        except (OSError, ValueError):
            return  # reading it says why
        raise TextonError(f"'{path}' has changed since it was scanned")


def read_manifest(root: Path) -> EvidenceManifest:
    """The manifest of an evidence folder.

    Raises:
        OSError: there is none. TextonError: it is something else.
    """
    path = root / "manifest.json"
    text = path.read_bytes()
    try:
        return EvidenceManifest.from_json(text.decode())
    except ValueError as error:
        raise TextonError(f"'{path}' is no evidence's: {error}") from None


def layer_file(folder: Path, name: str) -> Path:
    """Where a layer's numbers are: what file systems trip over is percent-encoded."""
    return folder / f"{quote(name, safe='#@+=,')}.npz"


def read_layer(path: Path) -> LayerState:
    """The numbers of one layer.

    Raises:
        TextonError: the file is missing or damaged.
    """
    try:
        return LayerState.of(read_arrays(path))
    except UNREADABLE as error:
        raise TextonError(
            f"'{path}' cannot be read ({first_line(error)}): scan the folder anew"
        ) from None


def read_arrays(path: Path) -> dict[str, Array]:
    """The arrays of an ``.npz``; none that is pickled.

    Raises:
        `UNREADABLE`: it is damaged.
    """
    with zipfile.ZipFile(path) as archive:
        if sum(info.file_size for info in archive.infolist()) > _ANY_ARRAY:
            raise ValueError("too long")
    with np.load(path, allow_pickle=False) as read:
        return {name: np.asarray(read[name]) for name in read.files}


def exists(root: Path) -> bool:
    return (root / "manifest.json").exists()
