"""The work of a scan: blocks of pictures, each worker keeping what it has found in one file."""

from __future__ import annotations

import io
import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from texton.errors import TextonError
from texton.evidence.format import read_arrays, read_manifest
from texton.evidence.manifest import EvidenceLayer, EvidenceManifest
from texton.evidence.pictures import PictureList, Scanned
from texton.evidence.state import Array, LayerState
from texton.jobs.allocator import settle_allocator
from texton.jobs.making import check_alike, check_seen, loaded
from texton.network.sizes import told_in

if TYPE_CHECKING:
    from torch import Tensor

    from texton.evidence.sweep import States, Sweep

PARTS = "parts"


@dataclass(frozen=True)
class Block:
    """Pictures ``start`` to ``end`` (not included) of the list: scanned whole, or not at all."""

    start: int
    end: int


@dataclass(frozen=True)
class Scanning:
    """A block that is finished, or was given up for a ``reason``; ``skipped`` are pictures that
    could no longer be read."""

    block: Block
    skipped: tuple[str, ...] = ()
    reason: str | None = None


@dataclass(frozen=True, eq=False)
class ScanWork:
    """What a worker does with a block. What it has found is on the disk before it says so."""

    root: Path
    manifest: EvidenceManifest

    @property
    def together(self) -> bool:
        """Its pictures are one item: there is nothing to divide."""
        return False

    def prepare(self) -> None:
        """Load the network, once it is certain that its figures will be this evidence's.

        Raises:
            TextonError: this machine does not see the folder, or would find other figures.
        """
        try:
            there = read_manifest(self.root)
            seen = (there.settings, there.weights_hash) == (
                self.manifest.settings,
                self.manifest.weights_hash,
            )
        except (TextonError, OSError):
            seen = False
        check_seen(seen, "this evidence", self.root)
        settle_allocator(int(self.manifest.settings["size"]) ** 2)
        _ = self._part

    def __call__(self, blocks: Sequence[Block]) -> Iterator[Scanning]:
        for block in blocks:
            yield Scanning(block, self._part.scan(block))

    def give_up(self, block: Block, reason: str) -> Scanning:
        """A block that keeps killing its worker: the next scan tries it again."""
        return Scanning(block, reason=reason)

    @cached_property
    def _part(self) -> Part:
        return Part(self.root, self.manifest, self._sweep())

    def _sweep(self) -> Sweep:
        from texton.evidence.sweep import Sweep
        from texton.network.device import choose_compute

        ours, settings = self.manifest, self.manifest.settings
        network = loaded(ours.network_options)
        compute = network.suited(choose_compute(settings["device"]))
        check_alike(network, ours.weights_hash, compute.describe(), settings, "the evidence")
        return Sweep(network, ours.layers, compute, settings["top"], settings["seed"])

    def __getstate__(self) -> dict[str, Any]:
        """Without what a process has found: a worker begins with nothing."""
        return {"root": self.root, "manifest": self.manifest}


class Part:
    """What one worker has found since it was hired, in a file of its own."""

    def __init__(self, root: Path, manifest: EvidenceManifest, sweep: Sweep) -> None:
        self._pictures = PictureList(root / "pictures.jsonl")
        self._roots = [Path(folder) for folder in manifest.roots]
        self._size = int(manifest.settings["size"])
        self._channels = int(manifest.settings["channels"])
        self._needs = told_in(manifest.settings)
        self._sweep, self._states = sweep, sweep.nothing()
        self._layers = [layer.name for layer in manifest.layers]
        self._done: list[tuple[int, int]] = []
        self._skipped: list[int] = []
        self._file = root / PARTS / f"{os.getpid()}-{secrets.token_hex(4)}.npz"
        on_gpu = sweep.compute.device.type == "cuda"
        self._readers = ThreadPoolExecutor(os.cpu_count() if on_gpu else 1)

    def scan(self, block: Block) -> tuple[str, ...]:
        """Add a block and commit it.

        Returns:
            the pictures that could not be read, each with its reason.
        """
        numbered = enumerate(self._pictures.read(block.start, block.end), block.start)
        wanted = [(number, one) for number, one in numbered if one.status == "ok"]
        read = list(self._readers.map(self._read, (one for _, one in wanted)))
        found = [
            (number, one, image)
            for (number, one), image in zip(wanted, read, strict=True)
            if not isinstance(image, TextonError)
        ]
        lost = {
            number: f"{one.path}: {why}"
            for (number, one), why in zip(wanted, read, strict=True)
            if isinstance(why, TextonError)
        }
        if found:
            numbers = np.array([number for number, _, _ in found])
            hashes = np.array([int(one.content, 16) for _, one, _ in found], np.uint64)
            images: list[Tensor] = [image for _, _, image in found]
            self._sweep.run(self._states, images, numbers, hashes)
        self._done.append((block.start, block.end))
        self._skipped += lost
        write_arrays(self._file, part_arrays(self._states, self._layers, self._done, self._skipped))
        return tuple(lost.values())

    def _read(self, scanned: Scanned) -> Tensor | TextonError:
        from texton.images.files import read_image

        try:
            path = self._roots[scanned.root] / scanned.path
            return read_image(path, self._size, channels=self._channels, **self._needs)
        except TextonError as error:
            return error


def part_arrays(
    states: States,
    layers: Sequence[str],
    done: Sequence[tuple[int, int]],
    skipped: Sequence[int],
) -> dict[str, Array]:
    """A part as a file has it: ``3.value`` is the fourth layer's."""
    arrays = {
        f"{number}.{name}": array
        for number, layer in enumerate(layers)
        for name, array in states[layer].arrays().items()
    }
    arrays["done"] = np.array(done, np.int64).reshape(-1, 2)
    arrays["skipped"] = np.array(skipped, np.int64)
    return arrays


@dataclass(frozen=True, eq=False)
class PartFile:
    """A worker's file, read back."""

    path: Path
    done: tuple[tuple[int, int], ...]
    skipped: tuple[int, ...]
    arrays: Mapping[str, Array]

    @classmethod
    def read(cls, path: Path, layers: Sequence[EvidenceLayer]) -> PartFile | None:
        """None of a file that is damaged, or of other layers: its blocks are done again."""
        try:
            arrays = read_arrays(path)
            done, skipped = arrays["done"], arrays["skipped"]
            if done.dtype != np.int64 or done.ndim != 2 or done.shape[1] != 2:
                return None
            if skipped.dtype != np.int64 or skipped.ndim != 1:
                return None
            ranges = tuple((int(start), int(end)) for start, end in done)
            part = cls(path, ranges, tuple(int(number) for number in skipped), arrays)
            if any(len(part.layer(n).active) != x.filters for n, x in enumerate(layers)):
                return None
        except Exception:  # noqa: BLE001 - whatever is wrong with it
            return None
        return part

    def layer(self, number: int) -> LayerState:
        """What it knows of a layer.

        Raises:
            ValueError: it is another scan's.
        """
        names = [key.partition(".") for key in self.arrays if key.startswith(f"{number}.")]
        return LayerState.of({name: self.arrays[f"{number}.{name}"] for _, _, name in names})


def write_arrays(path: Path, arrays: Mapping[str, Array], *, packed: bool = False) -> None:
    """Write an ``.npz`` whole or not at all; the same arrays give the same bytes.

    Raises:
        TextonError: the disk does not take it.
    """
    from texton.images.files import write_bytes

    buffer = io.BytesIO()
    (np.savez_compressed if packed else np.savez)(buffer, allow_pickle=False, **arrays)
    write_bytes(buffer.getvalue(), path)
