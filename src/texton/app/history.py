"""Every picture that was made, with what makes it again; kept over restarts."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from texton.app.photos import Photos
from texton.images.place import write_bytes
from texton.reading import read_json_file, take, take_all, take_optional, to_json

if TYPE_CHECKING:
    from texton.app.work import About
    from texton.methods.result import Result

ID = re.compile("[0-9a-f]{20}")
BESIDE = {".webp": "image/webp", ".gif": "image/gif", ".npy": "application/octet-stream"}
_TEXTS = ("method", "title", "caption", "network", "status", "command", "python", "when")
_FIGURE = ("key", "label", "text")


class History:
    """A folder with a PNG and a JSON of every picture; others may write such a folder, so that
    what is read is looked at by type."""

    def __init__(self, folder: Path, photos: Photos, log: Callable[[str], None]) -> None:
        self._folder, self._photos, self._log = folder, photos, log
        self._known: dict[str, dict[str, Any] | None] = {}

    def add(self, result: Result, about: About, clean: Callable[[Any], Any]) -> dict[str, Any]:
        """Keep a picture; its JSON, as the page knows it.

        Args:
            clean: takes this machine's folders out of its settings.

        Raises:
            TextonError: the folder takes no file.
        """
        from dataclasses import replace

        number = f"{time.time_ns():016x}{secrets.token_hex(2)}"
        settings = clean({**result.settings, "request": about.request})
        path = self._folder / f"{number}.png"
        replace(result, settings=settings).save(path, about.command or None)
        record = _record(result, about)
        write_bytes(to_json(record).encode(), path.with_suffix(".json"))
        self._known[number] = record
        return self._shown(number, record)

    def listed(self) -> list[dict[str, Any]]:
        """Every picture, the newest first."""
        names = sorted((x.stem for x in self._folder.glob("*.json")), reverse=True)
        found = ((name, self._record(name)) for name in names if ID.fullmatch(name))
        return [self._shown(name, record) for name, record in found if record is not None]

    def file(self, number: str, suffix: str = ".png") -> Path | None:
        """A picture's PNG, or what was written beside it; None where there is none."""
        path = self._folder / f"{number}{suffix}"
        return path if ID.fullmatch(number) and path.is_file() else None

    def beside(self, number: str) -> list[str]:
        """The endings of what was written beside a picture: an animation, all of its channels."""
        return [x for x in BESIDE if self.file(number, x) is not None]

    def remove(self, number: str) -> bool:
        """Forget a picture, and whatever lies beside it; False where there is none."""
        if self.file(number) is None:
            return False
        for path in self._folder.glob(f"{number}.*"):
            path.unlink(missing_ok=True)
        self._known.pop(number, None)
        return True

    def _record(self, number: str) -> dict[str, Any] | None:
        if number not in self._known:
            try:
                record = _checked(read_json_file(self._folder / f"{number}.json"))
                if self.file(number) is None:
                    raise ValueError("its PNG is missing")
            except (OSError, ValueError) as error:
                self._log(f"left out picture {number} of the history: {error}")
                record = None
            self._known[number] = record
        return self._known[number]

    def _shown(self, number: str, record: Mapping[str, Any]) -> dict[str, Any]:
        photo = self._photos.get(record["photo"])
        url = f"/api/pictures/{number}"
        return {
            **record,
            "id": number,
            "photo": photo.as_json() if photo else None,
            "url": f"{url}.png",
            "thumb": f"{url}.webp?size=240",
            "beside": [f"{url}{ending}?whole=1" for ending in self.beside(number)],
        }


def _record(result: Result, about: About) -> dict[str, Any]:
    height, width = result.image.shape[-2:]
    figures = about.method.shown() if about.method else ()
    return {
        "method": about.name,
        "title": about.title,
        "caption": about.caption,
        "unit": {"layer": result.layer, "channel": result.channel},
        "photo": about.photo.id if about.photo else None,
        "network": about.network,
        "options": dict(about.options),
        "figures": [
            {"key": x.key, "label": x.label, "text": x.text(value), "value": value}
            for x in figures
            if (value := result.figures.get(x.key)) is not None
        ],
        "seconds": result.seconds,
        "status": result.status,
        "command": about.command,
        "python": about.python,
        "width": width,
        "height": height,
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "request": dict(about.request),
    }


def _checked(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record of a file, its fields by type, and no others.

    Raises:
        ValueError: one is missing or of another type.
    """
    unit = take(record, "unit", dict)
    figures = [
        {
            **{key: take(one, key, str) for key in _FIGURE},
            "value": take_optional(one, "value", float),
        }
        for one in take_all(record, "figures", dict)
    ]
    return {
        **{key: take(record, key, str) for key in _TEXTS},
        "unit": {
            "layer": take_optional(unit, "layer", str),
            "channel": take_optional(unit, "channel", int),
        },
        "photo": take_optional(record, "photo", str),
        "options": take(record, "options", dict),
        "figures": figures,
        "seconds": take(record, "seconds", float),
        "width": take(record, "width", int),
        "height": take(record, "height", int),
        "request": take(record, "request", dict),
    }
