"""A site as files: opened by double-click, or put on any web server."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from texton.errors import TextonError
from texton.images.files import write_bytes
from texton.images.place import check_place
from texton.reading import read_json_file, take_all

MARK = "texton-site.json"  # a folder with it is an export: which files are texton's, and if whole
FORMAT = "texton-site/1"


class Site(Protocol):
    """Addresses, and what is there."""

    def paths(self) -> Iterator[str]: ...

    def content(self, path: str) -> str | bytes | Path | None: ...


@dataclass(frozen=True)
class Exported:
    """What an export has written."""

    path: Path
    files: int
    bytes: int


def check_target(target: Path, atlas: Path, force: bool) -> None:
    """Refuse a place that cannot be exported to, before anything is computed.

    An earlier export is replaced; any other folder only with ``force``, and what is in it stays.

    Raises:
        TextonError: it is a file, not empty, inside the atlas, or cannot be written.
    """
    if target.exists() and not target.is_dir():
        raise TextonError(f"'{target}' is a file: name a folder with --out")
    if target.resolve() == atlas.resolve() or atlas.resolve() in target.resolve().parents:
        raise TextonError(f"'{target}' is inside the atlas: export to a folder outside of it")
    if target.is_dir() and any(target.iterdir()) and not force and not (target / MARK).is_file():
        raise TextonError(
            f"'{target}' is not empty and no export of texton: name another folder, "
            "or add --force to write into it"
        )
    check_place(target / MARK)


def export(site: Site, target: Path, on_file: Callable[[], None] | None = None) -> Exported:
    """Write the whole site.

    What an earlier export wrote and this one does not is removed. The mark stands from the
    beginning, so that an export that was interrupted is simply made again.

    Raises:
        TextonError: the disk does not take it.
    """
    try:
        before = _listed(target)
        target.mkdir(parents=True, exist_ok=True)
        size, written, planned = 0, [], list(site.paths())
        _mark(target, sorted(before.union(planned)), complete=False)
        for path in planned:
            content = _content(site, path)
            if content is None:  # its picture has gone since the sidecars were read
                continue
            (target / path).parent.mkdir(parents=True, exist_ok=True)
            size += (target / path).write_bytes(content)
            written.append(path)
            if on_file:
                on_file()
        (target / ".nojekyll").touch()  # GitHub would hide layers whose names begin with _
        for stale in before - set(written):
            (target / stale).unlink(missing_ok=True)
        _mark(target, written, complete=True)
    except OSError as error:
        raise TextonError(f"cannot write '{target}': {error.strerror or error}") from None
    return Exported(target, len(written), size)


def _mark(target: Path, files: list[str], complete: bool) -> None:
    told = {"format": FORMAT, "complete": complete, "files": files}
    write_bytes(json.dumps(told).encode(), target / MARK)


def _content(site: Site, path: str) -> bytes | None:
    content = site.content(path)
    if isinstance(content, Path):
        try:
            return content.read_bytes()
        except OSError:
            return None
    return content.encode() if isinstance(content, str) else content


def _listed(target: Path) -> set[str]:
    """What an earlier export has written: only such files are ever removed."""
    try:
        files = take_all(read_json_file(target / MARK), "files", str)
    except (OSError, ValueError):
        return set()
    inside = target.resolve()
    return {path for path in files if inside in (target / path).resolve().parents}
