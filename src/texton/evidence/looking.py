"""Which pictures lie in a folder, and which of them are there already, as good as the same."""

from __future__ import annotations

import hashlib
import os
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from texton.errors import TextonError, first_line
from texton.evidence.pictures import Scanned, content_hash
from texton.images.files import read_image, to_pillow
from texton.images.folder import SUFFIXES
from texton.images.opening import MAX_PIXELS, MIN_SIDE
from texton.images.planes import SUFFIX

MOST_BITS = 6  # of 64 in which near-duplicates may differ
MOST_TONE = 12  # of 255 in which the mean colours of their quarters may
_LOOK, _LARGE = 72, 1 << 20
_SET_BITS = np.array([bin(byte).count("1") for byte in range(256)], np.uint8)


def files_in(root: Path, channels: int, say: Callable[[str], None]) -> Iterator[str]:
    """The picture files of a folder and all folders in it, from ``root`` on, by name.

    What begins with a dot is left out. A folder that cannot be read is told to ``say``.

    Raises:
        OSError: that is ``root`` itself.
    """
    suffixes = SUFFIXES if channels in (1, 3) else SUFFIXES | {SUFFIX}
    seen: set[tuple[int, int]] = set()

    def within(folder: Path) -> Iterator[str]:
        status = folder.stat()
        if (status.st_dev, status.st_ino) in seen:  # a link that leads back
            return
        seen.add((status.st_dev, status.st_ino))
        with os.scandir(folder) as listed:
            entries = sorted((x for x in listed if x.name[:1] != "."), key=lambda x: x.name)
        for entry in entries:
            path = Path(entry.path)
            if entry.is_dir():
                try:
                    yield from within(path)
                except OSError as error:
                    say(f"skipped: '{path}': {error.strerror or error}")
            elif path.suffix.lower() in suffixes and entry.is_file():
                yield str(path.relative_to(root))

    yield from within(root)


def look(
    root: Path, number: int, path: str, size: int, channels: int, needs: Mapping[str, Any]
) -> Scanned:
    """What is known of a picture before it is scanned: whether it can be read, and its look.

    Args:
        size, channels, needs: as `read_image` is going to be told.
    """
    file = root / path
    told: dict[str, Any] = {"path": path, "root": number}
    try:
        status = file.stat()
        told |= {"size": status.st_size, "mtime": status.st_mtime_ns}
        content = content_hash(file)
        look = _look_of(file, size, channels, needs)
        return Scanned(**told, status="ok", content=content, look=look)
    except (TextonError, OSError) as error:
        told = {"size": 0, "mtime": 0, **told}
        reason = (error.strerror if isinstance(error, OSError) else None) or first_line(error)
        return Scanned(**told, status="unreadable", reason=reason)


class Known:
    """The pictures so far, by file and by look; 44 bytes each."""

    def __init__(self, before: Iterable[Scanned]) -> None:
        """
        Args:
            before: the pictures that earlier scans have looked at.
        """
        self._hashes = np.zeros((0, 8), np.uint8)
        self._tones = np.zeros((0, 12), np.uint8)
        self._contents = np.zeros(0, np.uint64)
        self._numbers = np.zeros(0, np.int64)
        self._new: list[tuple[bytes, int, int]] = []
        files = array("Q")
        for number, scanned in enumerate(before):
            files.append(_file_hash(scanned.path, scanned.root, scanned.size, scanned.mtime))
            self.note(number, scanned)
        self._files = np.sort(np.array(files, np.uint64))

    def has(self, path: str, root: int, size: int, mtime: int) -> bool:
        """Whether a file was looked at before, and has not changed since."""
        wanted = np.uint64(_file_hash(path, root, size, mtime))
        at = int(np.searchsorted(self._files, wanted))
        return at < len(self._files) and bool(self._files[at] == wanted)

    def note(self, number: int, scanned: Scanned) -> None:
        """Remember the look of a picture."""
        if scanned.status == "ok":
            look = bytes.fromhex(scanned.look)
            self._new.append((look, int(scanned.content, 16), number))
            if len(self._new) >= 256:
                self._settle()

    def judged(self, scanned: Scanned) -> Scanned:
        """The same, told to be a copy if it is a near-duplicate of what is known."""
        twin = self.twin(scanned) if scanned.status == "ok" else None
        return scanned if twin is None else replace(scanned, status="copy", of=twin)

    def twin(self, scanned: Scanned) -> int | None:
        """The first picture that is a near-duplicate of this one."""
        self._settle()
        look = np.frombuffer(bytes.fromhex(scanned.look), np.uint8)
        differ = _SET_BITS[self._hashes ^ look[:8]].sum(1)
        near = np.flatnonzero(
            (differ <= MOST_BITS) | (self._contents == np.uint64(int(scanned.content, 16)))
        )
        tones = np.abs(self._tones[near].astype(np.int16) - look[8:]).max(1, initial=0)
        found = near[tones <= MOST_TONE]
        return int(self._numbers[found[0]]) if len(found) else None

    def _settle(self) -> None:
        if self._new:
            looks = np.frombuffer(b"".join(x[0] for x in self._new), np.uint8).reshape(-1, 20)
            self._hashes = np.concatenate([self._hashes, looks[:, :8]])
            self._tones = np.concatenate([self._tones, looks[:, 8:]])
            contents = np.array([x[1] for x in self._new], np.uint64)
            self._contents = np.concatenate([self._contents, contents])
            numbers = np.array([x[2] for x in self._new], np.int64)
            self._numbers = np.concatenate([self._numbers, numbers])
            self._new = []


def picture_hash(scanned: Scanned) -> int:
    """The 64 bits that decide what is drawn of a picture."""
    return int(scanned.content, 16)


def _file_hash(path: str, root: int, size: int, mtime: int) -> int:
    told = os.fsencode(path) + f"\0{root}\0{size}\0{mtime}".encode()
    return int.from_bytes(hashlib.blake2b(told, digest_size=8).digest())


def _look_of(file: Path, size: int, channels: int, needs: Mapping[str, Any]) -> str:
    """64 bits, whether brightness falls from one ninth to the next in eight rows (dHash), and
    the mean colours of the quarters; in hexadecimal.

    Raises:
        TextonError: the picture cannot be read at that size.
    """
    picture = _drafted(file, size)
    if picture is None:
        image = read_image(file, size, channels=channels, **needs)
        shown = image if channels == 3 else image.mean(1, keepdim=True).expand(-1, 3, -1, -1)
        picture = to_pillow(shown)
    grey = np.asarray(picture.convert("L").resize((9, 8), Image.Resampling.BOX), np.int16)
    falls = np.packbits(grey[:, 1:] < grey[:, :-1])
    tone = np.asarray(picture.resize((2, 2), Image.Resampling.BOX), np.uint8)
    return (falls.tobytes() + tone.tobytes()).hex()


def _drafted(file: Path, size: int) -> Image.Image | None:
    """A JPEG decoded at an eighth of its size, which takes a tenth of the time; None of all
    that has to be read with more care."""
    try:
        with Image.open(file) as picture:
            long, short = max(picture.size), min(picture.size)
            if picture.format != "JPEG" or picture.mode != "RGB" or long * short < _LARGE:
                return None
            if short * min(1.0, size / long) < MIN_SIDE + 1 or long * short > MAX_PIXELS:
                return None
            picture.draft("RGB", (_LOOK, _LOOK))
            picture.load()
            return picture.convert("RGB")
    except Exception:  # noqa: BLE001 - whatever it is, the careful way says it in a line
        return None
