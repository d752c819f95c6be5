"""The pictures of a scan: ``pictures.jsonl``, one line each, only ever added to."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from texton.errors import TextonError, first_line
from texton.reading import read_json, take, take_optional, to_json

Status = Literal["ok", "copy", "unreadable"]
_STATUSES: tuple[Status, ...] = ("ok", "copy", "unreadable")
_HASH, _LOOK = re.compile("[0-9a-f]{16}"), re.compile("[0-9a-f]{40}")


@dataclass(frozen=True)
class Scanned:
    """One file.

    Attributes:
        path: from its root; ``root`` is the root's number.
        size, mtime: the file's (bytes and ns), by which a later scan knows it again.
        status: ``copy`` is a near-duplicate of picture ``of``; ``unreadable`` has a ``reason``.
        content: a hash of the file's content.
        look: what near-duplicates share, in hexadecimal; see `texton.evidence.looking`.
    """

    path: str
    root: int
    size: int
    mtime: int
    status: Status
    content: str = ""
    look: str = ""
    of: int | None = None
    reason: str | None = None

    def line(self) -> bytes:
        told: dict[str, Any] = {"path": self.path}
        try:
            self.path.encode()
        except UnicodeEncodeError:  # bytes that are no text: kept, as numbers
            told = {"path_bytes": os.fsencode(self.path).hex()}
        more = {"root": self.root, "bytes": self.size, "mtime": self.mtime, "status": self.status}
        rest = {"content": self.content, "look": self.look, "of": self.of, "reason": self.reason}
        told |= more | {key: value for key, value in rest.items() if value not in (None, "")}
        return to_json(told).encode() + b"\n"

    @classmethod
    def of_line(cls, line: bytes) -> Scanned:
        """Read what `line` wrote.

        Raises:
            ValueError: it is anything else.
        """
        read = read_json(line)
        raw = take_optional(read, "path_bytes", str)
        status = next((x for x in _STATUSES if x == read.get("status")), None)
        if status is None:
            raise ValueError("a picture without a status")
        scanned = cls(
            path=take(read, "path", str) if raw is None else os.fsdecode(bytes.fromhex(raw)),
            root=take(read, "root", int),
            size=take(read, "bytes", int),
            mtime=take(read, "mtime", int),
            status=status,
            content=take_optional(read, "content", str) or "",
            look=take_optional(read, "look", str) or "",
            of=take_optional(read, "of", int),
            reason=take_optional(read, "reason", str),
        )
        if Path(scanned.path).is_absolute() or ".." in Path(scanned.path).parts:
            raise ValueError("a picture outside its folder")
        if not scanned.path or "\0" in scanned.path or min(scanned.root, scanned.size) < 0:
            raise ValueError("no picture's path, root or size")
        if status == "ok" and not (
            _HASH.fullmatch(scanned.content) and _LOOK.fullmatch(scanned.look)
        ):
            raise ValueError("a picture without its hashes")
        return scanned


class PictureList(Sequence[Scanned]):
    """The lines of a file, read one by one as they are asked for: a million take 8 MB.

    What a killed scan left of a last line is no line.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self.starts = _line_starts(file)

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __getitem__(self, index: Any) -> Any:
        """One, or a slice of them.

        Raises:
            IndexError, OSError, ValueError: there is none, or it is damaged.
        """
        if isinstance(index, slice):
            start, stop, step = index.indices(len(self))
            return list(self.read(start, stop))[:: step if step > 0 else 1]
        if not 0 <= index < len(self):
            raise IndexError(f"there is no picture {index}")
        return next(self.read(index, index + 1))

    def __iter__(self) -> Iterator[Scanned]:
        """All of them.

        Raises:
            TextonError: the file is damaged.
        """
        read = 0
        try:
            for scanned in self.read(0, len(self)):
                yield scanned
                read += 1
        except (OSError, ValueError) as error:
            said = f"'{self.file}' is damaged in line {read + 1} ({first_line(error)})"
            raise TextonError(f"{said}: scan into another --out") from None

    def read(self, start: int, stop: int) -> Iterator[Scanned]:
        """Some that follow each other."""
        if start >= stop:
            return
        with self.file.open("rb") as file:
            file.seek(int(self.starts[start]))
            for number in range(start, stop):
                length = int(self.starts[number + 1] - self.starts[number])
                yield Scanned.of_line(file.read(length))

    def append(self, scanned: Iterable[Scanned]) -> None:
        """Add some at the end, and make sure that they are on the disk."""
        content = b"".join(one.line() for one in scanned)
        with self.file.open("ab") as file:
            file.truncate(int(self.starts[-1]))
            file.seek(int(self.starts[-1]))
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        new = np.flatnonzero(np.frombuffer(content, np.uint8) == 10) + 1 + self.starts[-1]
        self.starts = np.concatenate([self.starts, new])


def content_hash(file: Path) -> str:
    """64 bits of a file's content, in hexadecimal.

    Raises:
        OSError: it cannot be read.
    """
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()[:16]


def _line_starts(path: Path) -> np.ndarray[Any, Any]:
    """Where each whole line begins, and where the last one ends."""
    found = [np.zeros(1, np.int64)]
    before = 0
    if path.exists():
        with path.open("rb") as file:
            while chunk := file.read(1 << 24):
                newlines = np.flatnonzero(np.frombuffer(chunk, np.uint8) == 10)
                found.append(newlines.astype(np.int64) + 1 + before)
                before += len(chunk)
    return np.concatenate(found)
