"""Photographs that were named at the start or dropped on the page, by a hash of their content."""

from __future__ import annotations

import hashlib
import io
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from texton.errors import TextonError
from texton.reading import read_json_file, take, to_json

if TYPE_CHECKING:
    from PIL import Image

    from texton.app.hidden import Hidden

ID = re.compile("[0-9a-f]{16}")
LONGEST_NAME = 120
KEPT = 4_000_000_000  # bytes of photographs, of all visitors together
_SUFFIX = re.compile(r"\.(?!json|npy)[a-z][a-z0-9]{1,4}")
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
        self._ids: dict[Path, str] = {}  # of every file that one ever was
        for path in sorted(folder.glob("*.json"), key=lambda path: path.stat().st_mtime):
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

    def of_file(self, file: Path) -> Photo | None:
        """The photograph that a file is."""
        return self.get(self._ids.get(file))

    def named(self, name: str) -> Photo | None:
        """The only photograph of that name; None where there are none, or several."""
        found = [photo for photo in list(self._kept.values()) if photo.name == name]
        return found[0] if len(found) == 1 else None

    def listed(self) -> list[Photo]:
        """Those named at the start, then those of before."""
        others = [x for x in list(self._kept) if x not in self._given]
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
        self._given = list(dict.fromkeys([*self._given, photo.id]))
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
        file = self._folder / f"{number}{_suffix(name)}"
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
        return self._noted(Photo(number, name, width, height, file))

    def kept(self, number: str) -> Photo:
        """As by its id; where its file lies elsewhere it is copied here, for when the server
        comes back.

        Raises:
            TextonError: there is none, or its file is another by now.
        """
        from texton.images.place import write_bytes

        photo = self[number]
        if photo.file.parent == self._folder:
            return photo
        try:
            content = photo.file.read_bytes()
        except OSError:
            content = b""
        if _hash(content) != number:
            raise TextonError(f"'{photo.name}' has changed: drop it on the page again")
        with self._lock:
            file = self._folder / f"{number}{_suffix(photo.name)}"
            write_bytes(content, file)
            return self._noted(replace(photo, file=file))

    def _noted(self, photo: Photo) -> Photo:
        from texton.images.place import write_bytes

        told = {"name": photo.name, "width": photo.width, "height": photo.height}
        write_bytes(to_json(told).encode(), self._folder / f"{photo.id}.json")
        self._know(photo)
        return photo

    def _know(self, photo: Photo) -> None:
        self._hidden.know(photo.file, photo.name)
        self._ids[photo.file] = photo.id
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
    name, width, height = (
        take(told, "name", str),
        take(told, "width", int),
        take(told, "height", int),
    )
    if _FORBIDDEN.search(name):
        raise ValueError(f"{path.name} holds no name")
    file = path.with_name(f"{path.stem}{_suffix(name)}")
    if not file.is_file():
        raise ValueError(f"{file.name} is missing")
    return Photo(path.stem, name, width, height, file)


def _suffix(name: str) -> str:
    """Its ending, where some kinds of files are known by it; else one that says nothing."""
    found = PurePath(name).suffix.lower()
    return found if _SUFFIX.fullmatch(found) else ".picture"


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
