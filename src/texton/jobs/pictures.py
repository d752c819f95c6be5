"""Pictures with their sidecars in a folder: an atlas's, an experiment's.

The sidecar is written last and is the commit mark: a picture without one was never finished.
Everything is written to a temporary name in the same folder and renamed, so that a name shows a
whole file or none. What is done is judged from the sidecars alone.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from texton.lock import is_held
from texton.reading import read_json, take_optional, to_json

if TYPE_CHECKING:
    from texton.methods.result import Result

UNIT_FORMAT = "texton-unit/1"
TEMPORARY = ".*.tmp"  # what `write_bytes` calls a file that is not whole yet
PICTURED = ("ok", "dead")  # the status of what has a picture
_PICTURE, _PLANES = ".png", ".npy"
_TEXTS = ("reason", "command")

Key = TypeVar("Key", bound=Hashable)


class Pictures(ABC, Generic[Key]):
    """Pictures by key, ``units/PLACE.png`` and ``units/PLACE.json`` under a folder."""

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Path(root)

    @abstractmethod
    def place(self, key: Key) -> str:
        """Where a key's files are: folders and a name, told apart from all others'."""

    @abstractmethod
    def identity(self, key: Key) -> dict[str, Any]:
        """What a sidecar says that it is of."""

    def figures(self) -> tuple[str, ...]:
        """What is a number beside the seconds, where a sidecar tells it."""
        return ()

    def picture(self, key: Key) -> Path:
        return self.root / "units" / f"{self.place(key)}{_PICTURE}"

    def sidecar(self, key: Key) -> Path:
        return self.root / "units" / f"{self.place(key)}.json"

    def record(self, key: Key) -> dict[str, Any] | None:
        """What is known of a key: its sidecar; None while it is not made.

        A sidecar that cannot be read, or whose picture is lost or cut short, counts as not there.
        ``status`` is ``ok``, ``dead``, or ``failed``: with a ``reason`` and no picture.
        """
        dated = self.dated_record(key)
        return dated[0] if dated else None

    def dated_record(self, key: Key) -> tuple[dict[str, Any], float] | None:
        """The same with the time when it was written."""
        try:
            with self.sidecar(key).open("rb") as file:
                record = read_json(file.read())
                date = os.fstat(file.fileno()).st_mtime
            for name in ("seconds", *self.figures()):
                take_optional(record, name, float)
            for name in _TEXTS:
                take_optional(record, name, str)
        except (OSError, ValueError):
            return None
        whole = self._is_of(key, record) and (
            record["status"] not in PICTURED or self._has_picture(key, record)
        )
        return (record, date) if whole else None

    def keep(
        self, key: Key, result: Result, more: Mapping[str, Any], command: str | None = None
    ) -> None:
        """Write a picture, then commit it with its figures and what ``more`` there is to tell."""
        result.save(self.picture(key), command)
        told = {} if command is None else {"command": command}
        self.write(key, {**result.record(), **more, **told})

    def write(self, key: Key, record: Mapping[str, Any]) -> None:
        """Commit a key. Its picture must have been written before."""
        from texton.images.files import write_bytes

        told = {"format": UNIT_FORMAT, **record, **self.identity(key)}
        files = [self.picture(key).with_suffix(kind) for kind in (_PICTURE, _PLANES)]
        if told["status"] in PICTURED:
            told["bytes"] = {file.suffix: file.stat().st_size for file in files if file.exists()}
        else:
            for file in files:
                with suppress(OSError):
                    file.unlink()
        write_bytes(to_json(told, indent=1).encode(), self.sidecar(key))

    def is_locked(self) -> bool:
        """Whether somebody is at work."""
        return is_held(self.root)

    def sweep(self, folders: tuple[str, ...] = ("",)) -> int:
        """Remove temporary files of runs that were killed; only while holding the lock.

        Args:
            folders: which beside those of the pictures.
        """
        swept = 0
        for folder in (*folders, "units/**/"):
            for path in self.root.glob(folder + TEMPORARY):
                with suppress(OSError):
                    path.unlink()
                    swept += 1
        return swept

    def _has_picture(self, key: Key, record: Mapping[str, Any]) -> bool:
        """Whether the files are there, in the sizes told; older sidecars tell none."""
        told = record.get("bytes", {_PICTURE: None})
        try:
            return _PICTURE in told and all(
                size in (None, self.picture(key).with_suffix(kind).stat().st_size)
                for kind, size in told.items()
            )
        except (OSError, ValueError, TypeError, AttributeError):
            return False

    def _is_of(self, key: Key, record: Mapping[str, Any]) -> bool:
        return (
            record.get("format") == UNIT_FORMAT
            and record.get("status") in (*PICTURED, "failed")
            and all(record.get(name) == value for name, value in self.identity(key).items())
        )
