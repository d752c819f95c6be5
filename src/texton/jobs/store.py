"""An atlas on disk: a picture and a sidecar a unit, resumable after any crash.

The sidecar is written last and is the commit mark: a picture without one was never finished.
Everything is written to a temporary name in the same folder and renamed, so that a name shows a
whole file or none. What is done is judged from the sidecars alone; any index is made from them.
"""

from __future__ import annotations

import errno
import inspect
import io
import json
import os
import shutil
import statistics
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from glob import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

import filelock
import numpy as np
import torch
from torch import Tensor

from texton.errors import TextonError
from texton.images.files import as_saved, read_image, write_bytes, write_image
from texton.jobs.manifest import Manifest
from texton.reading import read_json, take_optional

UNIT_FORMAT = "texton-unit/1"
TEMPORARY = ".*.tmp"  # what `write_bytes` calls a file that is not whole yet
PICTURED = ("ok", "dead")  # the status of units that have a picture
_NUMBERS = ("error", "achieved", "energy_share", "leakage", "steps", "starts", "seconds")
_TEXTS = ("reason", "command")
_RECENT = 200  # finished units that the rate is taken from
_GLANCE = 1.0  # seconds that `is_locked` may hold the lock in another process, at the very most
_PAUSE = 120.0  # seconds without a unit that end a stretch of work, or 4 times what a unit takes
_PICTURE, _PLANES = ".png", ".npy"
# An existence lock, filelock's way out where the kernel has none, would outlive a build that is
# killed. Versions that cannot do without it are left as they are.
_KERNEL_ONLY: dict[str, Any] = (
    {"fallback_to_soft": False}
    if "fallback_to_soft" in inspect.signature(filelock.FileLock.__init__).parameters
    else {}
)


@dataclass(frozen=True, order=True)
class Unit:
    """One picture of an atlas: a filter of a layer on a photograph."""

    layer: str
    channel: int
    photo: str

    def __str__(self) -> str:
        return f"{self.layer}:{self.channel} on {self.photo}"


class Store:
    """An atlas in a folder; see ``docs/atlas.md`` for its layout."""

    def __init__(self, root: Path, manifest: Manifest) -> None:
        self.root = Path(root)
        self.manifest = manifest

    @classmethod
    def open(cls, root: str | os.PathLike[str]) -> Store:
        """The atlas in a folder.

        Raises:
            TextonError: there is none, or its manifest cannot be read.
        """
        root = Path(root)
        try:
            text = (root / "manifest.json").read_text(encoding="utf-8")
        except (FileNotFoundError, NotADirectoryError):
            raise TextonError(
                f"there is no atlas in '{root}': make one with `texton atlas build`"
            ) from None
        except (OSError, UnicodeDecodeError) as error:
            raise TextonError(f"cannot read the atlas in '{root}': {error}") from None
        try:
            return cls(root, Manifest.from_json(text))
        except ValueError as error:
            raise TextonError(f"'{root / 'manifest.json'}' is no atlas's: {error}") from None

    def save(self, manifest: Manifest) -> None:
        """Replace the manifest, atomically; nothing is written where nothing changes."""
        path, text = self.root / "manifest.json", manifest.to_json()
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            write_bytes(text.encode(), path)
        self.manifest = manifest

    def units(self) -> list[Unit]:
        """Every unit that belongs to the atlas, made or not: by layer, filter, photograph."""
        return [
            Unit(layer.name, channel, photo.name)
            for layer in self.manifest.layers
            for channel in layer.channels
            for photo in self.manifest.photos
        ]

    def picture(self, unit: Unit) -> Path:
        return self._folder(unit) / f"{unit.photo}.png"

    def sidecar(self, unit: Unit) -> Path:
        return self._folder(unit) / f"{unit.photo}.json"

    def photo(self, name: str) -> Path:
        """The photograph as the atlas used it, a PNG of the atlas's size."""
        return self.root / "photos" / f"{name}.png"

    def record(self, unit: Unit) -> dict[str, Any] | None:
        """What is known of a unit: its sidecar; None while it is not made.

        A sidecar that cannot be read, or whose picture is lost or cut short, counts as not there.
        ``status`` is ``ok``, ``dead``, or ``failed``: with a ``reason`` and no picture.
        """
        found = self._dated_record(unit)
        return found[0] if found else None

    def records(self) -> Iterator[dict[str, Any]]:
        """The sidecars of all units that have one, in the order of `units`."""
        return (record for unit in self.units() if (record := self.record(unit)) is not None)

    def write(self, unit: Unit, record: Mapping[str, Any]) -> None:
        """Commit a unit. Its picture must have been written before."""
        told = {"format": UNIT_FORMAT, **asdict(unit), **record}
        files = [self.picture(unit).with_suffix(kind) for kind in (_PICTURE, _PLANES)]
        if told["status"] in PICTURED:
            told["bytes"] = {file.suffix: file.stat().st_size for file in files if file.exists()}
        else:
            with suppress(OSError):
                self.picture(unit).unlink()
        write_bytes(json.dumps(told, ensure_ascii=False, indent=1).encode(), self.sidecar(unit))

    def status(self) -> dict[str, Any]:
        """How far the atlas is.

        Returns:
            ``units``: how many belong to it; ``done`` have a picture, ``dead`` of them of a
            silent filter; ``failed`` are tried again by the next build; ``left`` are not made
            yet. ``rate`` is in units per second, of the latest stretch of work, and
            ``seconds_left`` follows from it; both None before two units are done. A build that
            is ``running`` tries again what had failed before: that takes its time too.
        """
        units = self.units()
        dated = [found for unit in units if (found := self._dated_record(unit))]
        done = [found for found in dated if found[0]["status"] in PICTURED]
        failed = [date for record, date in dated if record["status"] not in PICTURED]
        left = len(units) - len(dated)
        began = self._began()
        todo = left + sum(began is not None and date < began for date in failed)
        rate = _rate(done)
        return {
            "units": len(units),
            "done": len(done),
            "dead": sum(record["status"] == "dead" for record, _ in dated),
            "failed": len(failed),
            "left": left,
            "rate": rate,
            "seconds_left": todo / rate if rate else 0.0 if not todo else None,
            "running": began is not None,
        }

    def write_photo(self, name: str, image: Tensor) -> None:
        """Keep a photograph, (1, C, H, W) in [0, 1], so that `read_photo` gives it bit for bit."""
        write_image(image, self.photo(name))
        if needs_exact(image):
            buffer = io.BytesIO()
            np.save(buffer, image.numpy(), allow_pickle=False)
            write_bytes(buffer.getvalue(), self._exact(name))
        else:
            self._exact(name).unlink(missing_ok=True)  # of a build that was killed as it began

    def read_photo(self, name: str, channels: int) -> Tensor:
        """The photograph as (1, C, H, W).

        Raises:
            TextonError: it is missing or damaged.
        """
        exact = self._exact(name)
        told = next((photo.exact for photo in self.manifest.photos if photo.name == name), None)
        if not (exact.exists() if told is None else told):
            return read_image(self.photo(name), channels=channels)
        try:
            return torch.from_numpy(np.load(exact, allow_pickle=False))
        except (OSError, ValueError, EOFError):
            how = "damaged" if exact.exists() else "missing"
            raise TextonError(f"'{exact}' is {how}: put the old one back") from None

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other builds away; the kernel lets go of it when the process ends, however.

        Raises:
            TextonError: another build is at work, or the folder cannot be written.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            held = filelock.FileLock(self.root / "lock", timeout=_GLANCE, **_KERNEL_ONLY)
            held.acquire()
            os.utime(self.root / "lock")  # when this build began
        except filelock.Timeout:
            raise TextonError(
                f"another build is at work in '{self.root}': wait for it, or use another --out"
            ) from None
        except OSError as error:
            if error.errno == errno.ENOSYS:
                raise TextonError(
                    f"'{self.root}' is on a file system without locks: use another --out"
                ) from None
            raise TextonError(f"cannot write '{self.root}': {error.strerror or error}") from None
        try:
            yield
        finally:
            held.release()

    def is_locked(self) -> bool:
        """Whether a build is at work."""
        path = self.root / "lock"
        if not path.exists():
            return False
        with suppress(OSError):
            try:
                with filelock.FileLock(path, timeout=0, **_KERNEL_ONLY):
                    return False
            except filelock.Timeout:
                return True
        return False

    def trial_name(self) -> tuple[str, str]:
        """How the folder beside the atlas in which units are tried out begins and ends."""
        return f".{self.root.absolute().name}.", ".tmp"

    def sweep(self) -> int:
        """Remove temporary files of builds that were killed; only while holding the lock."""
        swept = 0
        for folder in ("", "photos/", "index/", "units/**/"):
            for path in self.root.glob(folder + TEMPORARY):
                with suppress(OSError):
                    path.unlink()
                    swept += 1
        begins, ends = self.trial_name()
        for trial in self.root.absolute().parent.glob(f"{escape(begins)}*{ends}"):
            if trial.is_dir() and not Store(trial, self.manifest).is_locked():
                shutil.rmtree(trial, ignore_errors=True)
                swept += 1
        return swept

    def _began(self) -> float | None:
        """When the build that is at work took the lock."""
        if not self.is_locked():
            return None
        with suppress(OSError):
            return (self.root / "lock").stat().st_mtime
        return None

    def _dated_record(self, unit: Unit) -> tuple[dict[str, Any], float] | None:
        path = self.sidecar(unit)
        try:
            with path.open("rb") as file:
                record = read_json(file.read())
                date = os.fstat(file.fileno()).st_mtime
            _check_figures(record)
        except (OSError, ValueError):
            return None
        if not self._is_of(unit, record):
            return None
        if record["status"] in PICTURED and not self._has_picture(unit, record):
            return None
        return record, date

    def _has_picture(self, unit: Unit, record: Mapping[str, Any]) -> bool:
        """Whether the files are there, in the sizes told; older sidecars tell none."""
        told = record.get("bytes", {_PICTURE: None})
        try:
            return _PICTURE in told and all(
                size in (None, self.picture(unit).with_suffix(kind).stat().st_size)
                for kind, size in told.items()
            )
        except (OSError, ValueError, TypeError, AttributeError):
            return False

    def _is_of(self, unit: Unit, record: Mapping[str, Any]) -> bool:
        return (
            record.get("format") == UNIT_FORMAT
            and record.get("status") in (*PICTURED, "failed")
            and all(record.get(key) == value for key, value in asdict(unit).items())
        )

    def _folder(self, unit: Unit) -> Path:
        return self.root / "units" / folder_name(unit.layer) / str(unit.channel)

    def _exact(self, name: str) -> Path:
        return self.root / "photos" / f"{name}.exact.npy"


def folder_name(layer: str) -> str:
    """A layer's name as a folder's: what file systems or addresses trip over is percent-encoded."""
    return quote(layer, safe="#@+=,")


def needs_exact(image: Tensor) -> bool:
    """Whether a photograph is deeper than 8 bits, or has more channels than a PNG shows."""
    return image.shape[1] not in (1, 3) or not torch.equal(as_saved(image), image)


def _check_figures(record: Mapping[str, Any]) -> None:
    """Raise ValueError where what is shown and counted with has another type."""
    for key in _NUMBERS:
        take_optional(record, key, float)
    for key in _TEXTS:
        take_optional(record, key, str)


def _rate(done: Iterable[tuple[Mapping[str, Any], float]]) -> float | None:
    """Units per second of the latest stretch of work, from when each was finished."""
    latest = sorted(done, key=lambda found: found[1], reverse=True)[:_RECENT]
    seconds = [taken for record, _ in latest if isinstance(taken := record.get("seconds"), float)]
    pause = max(_PAUSE, 4 * statistics.median(seconds or [0.0]))
    stretch = [date for _, date in latest[:1]]
    for _, date in latest[1:]:
        if stretch[-1] - date > pause:
            break
        stretch.append(date)
    if len(stretch) < 2:
        return None
    return (len(stretch) - 1) / max(
        stretch[0] - stretch[-1], time.get_clock_info("time").resolution
    )
