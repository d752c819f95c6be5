"""A scan: the pictures of a folder looked at, then seen by a network, block by block.

``manifest.json`` is the commit mark. What a worker has found lies in ``parts/`` until it is merged
into a new folder of layers' files, which the manifest then names; a block that is both merged and
in a part counts once.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import islice
from pathlib import Path

from texton.errors import TextonError
from texton.evidence.format import exists, layer_file, read_layer, read_manifest
from texton.evidence.looking import Known, files_in, look
from texton.evidence.manifest import EvidenceManifest, Extent
from texton.evidence.pictures import PictureList, Scanned
from texton.evidence.state import LayerState
from texton.jobs.engines import Engine
from texton.jobs.engines.local import available_cores
from texton.jobs.making import loaded
from texton.jobs.pictures import TEMPORARY
from texton.jobs.scan_asked import About, ScanAsked, extended, make_manifest
from texton.jobs.scan_work import PARTS, Block, PartFile, Scanning, ScanWork, write_arrays
from texton.lock import hold
from texton.network.sizes import told_in
from texton.reading import whole_number

BLOCK, BLOCK_ON_GPU = 32, 512  # pictures that a worker loses, at most, if it is killed
_TOGETHER = 256  # pictures looked at between two commits
FEWEST = 2


class Scan:
    """An evidence folder that is held for scanning."""

    def __init__(self, root: Path, manifest: EvidenceManifest) -> None:
        self.root, self.manifest = root, manifest
        self.pictures = PictureList(root / "pictures.jsonl")
        listed = max([0, *(x.end for x in manifest.extents), *(end for _, end in manifest.done)])
        if listed > len(self.pictures):
            raise TextonError(
                f"'{self.pictures.file}' lacks pictures that were scanned: use another --out"
            )

    def save(self, manifest: EvidenceManifest) -> None:
        """Commit another manifest."""
        from texton.images.files import write_bytes

        write_bytes(manifest.to_json().encode(), self.root / "manifest.json")
        self.manifest = manifest

    def look(self, folder: Path, tell: Callable[[int, Scanned], None]) -> None:
        """Add the pictures of a folder that are new, near-duplicates told as such.

        Args:
            tell: called with how many are looked at, and each.

        Raises:
            TextonError: the folder cannot be read.
        """
        root = self.manifest.roots.index(str(folder.absolute()))
        settings = self.manifest.settings
        known = Known(self.pictures)
        count = 0

        def look_at(path: str) -> Scanned:
            read = settings["size"], settings["channels"], told_in(settings)
            return look(folder, root, path, *read)

        with ThreadPoolExecutor(available_cores()) as threads:
            new = self._new_files(folder, root, known)
            while chunk := list(islice(new, _TOGETHER)):
                found: list[Scanned] = []
                for scanned in threads.map(look_at, chunk):
                    count += 1
                    one = known.judged(scanned)
                    known.note(len(self.pictures) + len(found), one)
                    found.append(one)
                    tell(count, one)
                self.pictures.append(found)
        before = self.manifest.extents[-1].end if self.manifest.extents else 0
        if len(self.pictures) > before:
            on_gpu = str(settings["device"]).startswith("cuda")
            extent = Extent(before, len(self.pictures), BLOCK_ON_GPU if on_gpu else BLOCK)
            self.save(replace(self.manifest, extents=(*self.manifest.extents, extent)))

    def _new_files(self, folder: Path, root: int, known: Known) -> Iterator[str]:
        for path in files_in(folder, self.manifest.settings["channels"], lambda _: None):
            with suppress(OSError):
                status = (folder / path).stat()
                if known.has(path, root, status.st_size, status.st_mtime_ns):
                    continue
            yield path

    def blocks(self) -> list[Block]:
        """All of them, in order."""
        return [
            Block(start, min(start + extent.block, extent.end))
            for extent in self.manifest.extents
            for start in range(extent.start, extent.end, extent.block)
        ]

    def left(self) -> list[Block]:
        """Those that are not merged yet."""
        return [block for block in self.blocks() if not _within(block, self.manifest.done)]

    def run(self, engine: Engine) -> Generator[Scanning, None, None]:
        """Scan what is left, each block as it is finished. Closing it stops the workers.

        Raises:
            TextonError: the disk is full, or no worker can be started.
        """
        work = ScanWork(self.root.absolute(), self.manifest)
        return engine.run([[block] for block in self.left()], work)

    def merge(self) -> None:
        """Take in what workers have left in ``parts/``, and commit it.

        Raises:
            TextonError: the disk does not take it.
        """
        parts = [part for part in self._parts() if not self._is_merged(part)]
        if parts:
            states = (self._merged(number, parts) for number in range(len(self.manifest.layers)))
            self._commit(states, parts)
        for path in (self.root / PARTS).glob("*.npz"):
            with suppress(IsADirectoryError):
                path.unlink(missing_ok=True)

    def _commit(self, states: Iterable[LayerState], parts: Sequence[PartFile]) -> None:
        before = self.manifest.state
        counted = before.rpartition("-")[2]
        number = whole_number(counted) + 1 if counted.isdigit() else 1
        folder = self.root / f"layers-{number}"
        shutil.rmtree(folder, ignore_errors=True)  # of a merge that was killed
        for layer, state in zip(self.manifest.layers, states, strict=True):
            write_arrays(layer_file(folder, layer.name), state.arrays(), packed=True)
        done = _joined([*self.manifest.done, *(pair for part in parts for pair in part.done)])
        skipped = {*self.manifest.skipped, *(one for part in parts for one in part.skipped)}
        self.save(
            replace(self.manifest, done=done, state=folder.name, skipped=tuple(sorted(skipped)))
        )
        if before:
            shutil.rmtree(self.root / before, ignore_errors=True)

    def _merged(self, number: int, parts: Sequence[PartFile]) -> LayerState:
        layer = self.manifest.layers[number]
        if self.manifest.state:
            state = read_layer(layer_file(self.root / self.manifest.state, layer.name))
        else:
            state = LayerState.none(layer.filters, self.manifest.settings["top"])
        for part in parts:
            state.merge(part.layer(number))
        return state

    def _parts(self) -> list[PartFile]:
        """What can be read of those there are, each block once."""
        blocks = {(block.start, block.end) for block in self.blocks()}
        taken: set[tuple[int, int]] = set()
        kept = []
        files = sorted((self.root / PARTS).glob("*.npz"))
        layers = self.manifest.layers
        read = [part for path in files if (part := PartFile.read(path, layers)) is not None]
        for part in sorted(read, key=lambda part: -len(part.done)):
            if not part.done or not blocks.issuperset(part.done):
                continue
            if taken.isdisjoint(part.done):
                taken |= set(part.done)
                kept.append(part)
        return kept

    def _is_merged(self, part: PartFile) -> bool:
        return any(_within(Block(*pair), self.manifest.done) for pair in part.done)

    def forget(self) -> None:
        """Take away what was begun and came to nothing, as long as nothing is scanned."""
        if not any((self.root / PARTS).glob("*.npz")):
            for name in ("manifest.json", "pictures.jsonl"):
                (self.root / name).unlink(missing_ok=True)

    def sweep(self) -> None:
        """Remove what scans that were killed left behind."""
        for folder in (self.root, self.root / PARTS):
            for path in folder.glob(TEMPORARY):
                path.unlink(missing_ok=True)
        for path in self.root.glob("layers-*"):
            if path.is_dir() and path.name != self.manifest.state:
                shutil.rmtree(path, ignore_errors=True)


@contextmanager
def open_scan(asked: ScanAsked, root: Path, about: About = lambda network: None) -> Iterator[Scan]:
    """Begin or extend an evidence folder, and hold it.

    Args:
        about: shown the network once, before anything is scanned.

    Raises:
        TextonError: another scan is at work; the folder holds something else; other settings.
    """
    if not asked.folder.is_dir():
        what = "is no folder" if asked.folder.exists() else "is not there"
        raise TextonError(f"'{asked.folder}' {what}: name a folder of pictures")
    _check_some(asked.folder)
    new = None if exists(root) else make_manifest(asked, about)
    if new is not None and root.exists() and not root.is_dir():
        raise TextonError(f"'{root}' is a file: name another --out")
    busy = f"another scan is at work in '{root}': wait for it, or use another --out"
    with hold(root, busy):
        manifest = extended(read_manifest(root), asked) if new is None else new
        if new is None:
            about(loaded(manifest.network_options))
        scan = Scan(root, manifest)
        scan.sweep()
        scan.merge()
        try:
            yield scan
        except TextonError:
            if new is not None and not scan.manifest.done:
                scan.forget()
            raise
        finally:
            scan.sweep()


def _check_some(folder: Path) -> None:
    """Refuse a folder without pictures before a network is loaded."""
    try:
        if next(files_in(folder, 0, lambda _: None), None) is None:
            raise TextonError(f"there are no pictures in '{folder}' or the folders in it")
    except OSError as error:
        raise TextonError(f"cannot read '{folder}': {error.strerror or error}") from None


def check_enough(scan: Scan, folder: Path) -> None:
    """Refuse to scan what compares nothing.

    Raises:
        TextonError: there is one picture, or none that can be read.
    """
    readable = list(islice((x for x in scan.pictures if x.status == "ok"), FEWEST))
    if not readable:
        first = next(iter(scan.pictures), None)
        why = f" ({first.path}: {first.reason})" if first else ""
        raise TextonError(
            f"none of the {len(scan.pictures)} pictures in '{folder}' can be read{why}"
        )
    if len(readable) < FEWEST:
        raise TextonError(
            f"there is one picture in '{folder}': a scan compares many, some hundred or more"
        )


def _within(block: Block, done: Sequence[tuple[int, int]]) -> bool:
    return any(start <= block.start and block.end <= end for start, end in done)


def _joined(ranges: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Ranges in order, those that touch made one."""
    joined: list[tuple[int, int]] = []
    for start, end in sorted(ranges):
        if joined and start == joined[-1][1]:
            joined[-1] = joined[-1][0], end
        else:
            joined.append((start, end))
    return tuple(joined)
