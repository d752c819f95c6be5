"""An atlas on disk: every unit's picture and sidecar, the photographs, and how far it is.

What is done is judged from the sidecars alone; any index is made from them.
"""

from __future__ import annotations

import io
import os
import shutil
import statistics
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from functools import cached_property
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from texton.errors import TextonError
from texton.jobs.manifest import Manifest
from texton.jobs.pictures import PICTURED, TEMPORARY, UNIT_FORMAT, Pictures
from texton.lock import held_since, hold, is_held
from texton.methods.catalogue import find_method
from texton.methods.result import Unit

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["PICTURED", "TEMPORARY", "UNIT_FORMAT", "Store", "Unit", "folder_name", "needs_exact"]

_RECENT = 200  # finished units that the rate is taken from
_PAUSE = 120.0  # seconds without a unit that end a stretch of work, or 4 times what a unit takes


class Store(Pictures[Unit]):
    """An atlas in a folder; see ``docs/atlas.md`` for its layout.

    Its units have a layer, a channel and a photograph, whatever its method: one without layers
    is a layer of its own name, one without channels has channel 0, one without photographs
    ``-``.
    """

    def __init__(self, root: str | os.PathLike[str], manifest: Manifest) -> None:
        super().__init__(root)
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
        from texton.images.files import write_bytes

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

    def place(self, key: Unit) -> str:
        """``layer/channel/photo``."""
        return f"{folder_name(str(key.layer))}/{key.channel}/{key.photo}"

    def identity(self, key: Unit) -> dict[str, Any]:
        return {"layer": key.layer, "channel": key.channel, "photo": key.photo}

    def figures(self) -> tuple[str, ...]:
        return self._figures

    @cached_property
    def _figures(self) -> tuple[str, ...]:
        try:
            method = find_method(self.manifest.method)
        except TextonError:  # one that is not installed here
            return ("error", "achieved", "leakage", "energy_share", "steps", "starts", "seconds")
        return tuple(figure.key for figure in method.figures)

    def photo(self, name: str) -> Path:
        """The photograph as the atlas used it, a PNG of the atlas's size."""
        return self.root / "photos" / f"{name}.png"

    def records(self) -> Iterator[dict[str, Any]]:
        """The sidecars of all units that have one, in the order of `units`."""
        return (record for unit in self.units() if (record := self.record(unit)) is not None)

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
        dated = [found for unit in units if (found := self.dated_record(unit))]
        done = [found for found in dated if found[0]["status"] in PICTURED]
        failed = [date for record, date in dated if record["status"] not in PICTURED]
        left = len(units) - len(dated)
        began = held_since(self.root)
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
        import numpy as np

        from texton.images.files import write_bytes, write_image

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
        import numpy as np
        import torch

        from texton.images.files import read_image

        exact = self._exact(name)
        told = next((photo.exact for photo in self.manifest.photos if photo.name == name), None)
        if not (exact.exists() if told is None else told):
            return read_image(self.photo(name), channels=channels)
        try:
            return torch.from_numpy(np.load(exact, allow_pickle=False))
        except Exception:  # noqa: BLE001 - a header is read as Python, and fails as that does
            how = "damaged" if exact.exists() else "missing"
            raise TextonError(f"'{exact}' is {how}: put the old one back") from None

    def lock(self) -> AbstractContextManager[None]:
        """Keep other builds away.

        Raises:
            TextonError: another build is at work, or the folder cannot be written.
        """
        busy = f"another build is at work in '{self.root}': wait for it, or use another --out"
        return hold(self.root, busy)

    def trial_name(self) -> tuple[str, str]:
        """How the folder beside the atlas in which units are tried out begins and ends."""
        return f".{self.root.absolute().name}.", ".tmp"

    def sweep(self, folders: tuple[str, ...] = ("", "photos/", "index/")) -> int:
        """Remove what builds that were killed left; only while holding the lock."""
        swept = super().sweep(folders)
        begins, ends = self.trial_name()
        for trial in self.root.absolute().parent.glob(f"{escape(begins)}*{ends}"):
            if trial.is_dir() and not is_held(trial):
                shutil.rmtree(trial, ignore_errors=True)
                swept += 1
        return swept

    def _exact(self, name: str) -> Path:
        return self.root / "photos" / f"{name}.exact.npy"


def folder_name(layer: str) -> str:
    """A layer's name as a folder's: what file systems or addresses trip over is percent-encoded."""
    return quote(layer, safe="#@+=,")


def needs_exact(image: Tensor) -> bool:
    """Whether a photograph is deeper than 8 bits, or has more channels than a PNG shows."""
    import torch

    from texton.images.files import as_saved

    return image.shape[1] not in (1, 3) or not torch.equal(as_saved(image), image)


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
