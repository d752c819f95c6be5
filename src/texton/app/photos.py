"""Photographs that were named at the start or dropped on the page, by a hash of their content."""

from __future__ import annotations

import hashlib
import io
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from texton.errors import TextonError
from texton.reading import read_json_file, take, to_json

if TYPE_CHECKING:
    from PIL import Image

    from texton.app.hidden import Hidden

ID = re.compile("[0-9a-f]{16}")
LONGEST_NAME = 120
KEPT = 4_000_000_000  # bytes of photographs, of all visitors together
_FORBIDDEN = re.compile(r"[/\\\x00-\x1f\x7f]")


@dataclass(frozen=True)
class Photo:
    """A photograph as the page knows it; ``file`` is this machine's alone."""

    id: str
    name: str
    width: int
    height: int
    file: Path

    def as_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "name": self.name,
            "width": self.width,
            "height": self.height,
            "url": f"/api/photos/{self.id}",
        }


class Photos:
    """The photographs of a folder; each is a file and a JSON of its name and size.

    Args:
        hidden: is told by which name a file goes.
    """

    def __init__(self, folder: Path, hidden: Hidden, log: Callable[[str], None]) -> None:
        self._folder, self._hidden = folder, hidden
        self._lock = threading.Lock()
        self._kept: dict[str, Photo] = {}
        self._given: list[str] = []  # named at the start: they are shown first
        for path in sorted(folder.glob("*.json")):
            try:
                self._know(_read(path))
            except (OSError, ValueError) as error:
                log(f"left out a photograph of the history: {error}")

    def __getitem__(self, name: str) -> Photo:
        """The photograph of an id.

        Raises:
            TextonError: there is none.
        """
        if name not in self._kept:
            raise TextonError("there is no such photograph here: drop it on the page again")
        return self._kept[name]

    def get(self, name: str | None) -> Photo | None:
        return self._kept.get(name or "")

    def named(self, name: str) -> Photo | None:
        """The only photograph of that name; None where there are none, or several."""
        found = [photo for photo in self._kept.values() if photo.name == name]
        return found[0] if len(found) == 1 else None

    def listed(self) -> list[Photo]:
        """Those named at the start, then those of before."""
        others = [x for x in self._kept if x not in self._given]
        return [self._kept[x] for x in (*self._given, *reversed(others))]

    def add_file(self, path: Path) -> Photo:
        """One that was named at the start; its size is read, its pixels are not.

        Raises:
            TextonError: it is no picture that can be read, or not within the limits.
        """
        from texton.images.opening import check_size, identify

        try:
            with identify(path) as picture:
                check_size(path, *picture.size)
                width, height = _upright_size(picture)
            photo = Photo(_hash(path.read_bytes()), path.name, width, height, path.absolute())
        except OSError as error:
            raise TextonError(f"cannot read '{path}': {error.strerror or error}") from None
        self._know(photo)
        self._given = [*(x for x in self._given if x != photo.id), photo.id]
        return photo

    def add(self, content: bytes, name: str) -> Photo:
        """One that was dropped on the page; it is decoded as a whole, so that damage is told.

        Raises:
            TextonError: it is no picture that can be read, or not within the limits; its name
                is a path; the folder is full.
        """
        if _FORBIDDEN.search(name) or not name.strip() or name in (".", ".."):
            raise TextonError("its name is a path or no name: rename the file")
        if len(name) > LONGEST_NAME:
            raise TextonError(f"its name has over {LONGEST_NAME} characters: rename the file")
        if not content:
            raise TextonError(f"'{name}' is empty: drop an image file")
        with self._lock:
            return self._added(content, name)

    def _added(self, content: bytes, name: str) -> Photo:
        from texton.images.opening import open_picture
        from texton.images.place import write_bytes

        number = _hash(content)
        if (known := self._kept.get(number)) is not None and known.file.exists():
            return known
        self._folder.mkdir(parents=True, exist_ok=True)
        if sum(x.stat().st_size for x in self._folder.iterdir()) + len(content) > KEPT:
            raise TextonError(f"{KEPT // 10**9} GB of photographs are kept: delete some first")
        file = self._folder / f"{number}.picture"
        self._hidden.know(file, name)
        write_bytes(content, file)
        try:
            width, height = open_picture(file).size
        except TextonError:
            file.unlink()
            raise
        except OSError as error:
            file.unlink()
            raise TextonError(f"cannot read '{name}': {error.strerror or error}") from None
        photo = Photo(number, name, width, height, file)
        told = {"name": name, "width": width, "height": height}
        write_bytes(to_json(told).encode(), self._folder / f"{number}.json")
        self._know(photo)
        return photo

    def keep(self, photo: Photo) -> None:
        """Have a photograph that lies elsewhere here, for when the server comes back."""
        if photo.file.parent != self._folder:
            content = photo.file.read_bytes()
            if _hash(content) == photo.id:
                with self._lock:
                    self._kept.pop(photo.id, None)
                    self._added(content, photo.name)

    def _know(self, photo: Photo) -> None:
        self._hidden.know(photo.file, photo.name)
        self._kept[photo.id] = photo


def preview(file: Path, edge: int) -> bytes:
    """A picture's WebP, its long edge at most so many pixels."""
    return _preview(file, edge, file.stat().st_mtime_ns)


@lru_cache(maxsize=128)
def _preview(file: Path, edge: int, changed: int) -> bytes:
    from texton.images.opening import open_picture

    picture = open_picture(file)
    if picture.mode != "RGB":
        picture = _of_any_depth(picture)
    picture.thumbnail((edge, edge))
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=85)
    return buffer.getvalue()


def _of_any_depth(picture: Image.Image) -> Image.Image:
    """Grey of more than 8 bits, from its darkest to its brightest: for the eye alone."""
    import numpy as np
    from PIL import Image

    values = np.nan_to_num(np.asarray(picture, dtype=np.float32))
    low, high = float(values.min()), float(values.max())
    scaled = (values - low) * (255 / (high - low if high > low else 1))
    return Image.fromarray(scaled.astype(np.uint8)).convert("RGB")


def _upright_size(picture: Image.Image) -> tuple[int, int]:
    """Width and height as it is seen: a camera that was held upright turns it."""
    width, height = picture.size
    try:
        turned = picture.getexif().get(0x0112, 1) >= 5
    except Exception:  # noqa: BLE001 - its parser fails in a dozen ways
        turned = False
    return (height, width) if turned else (width, height)


def _read(path: Path) -> Photo:
    if not ID.fullmatch(path.stem):
        raise ValueError(f"{path.name} is no photograph's")
    told = read_json_file(path)
    file = path.with_suffix(".picture")
    if not file.is_file():
        raise ValueError(f"{file.name} is missing")
    name, width, height = (
        take(told, "name", str),
        take(told, "width", int),
        take(told, "height", int),
    )
    if _FORBIDDEN.search(name):
        raise ValueError(f"{path.name} holds no name")
    return Photo(path.stem, name, width, height, file)


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
