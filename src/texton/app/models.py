"""Trained models of a folder: which there are, and of what kind; torch waits."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from texton.errors import TextonError
from texton.reading import read_json, take

ANY = ""  # a kind that its file does not tell
_SUFFIXES = (".safetensors", ".pth", ".pt")
_HEADER = 50_000_000  # bytes of a safetensors file's, at most


@dataclass(frozen=True)
class Model:
    """A file, and what it was trained for: what an option's ``holds`` says."""

    file: Path
    kind: str

    def is_for(self, holds: str) -> bool:
        return self.kind in (holds, ANY)


def models_in(folder: Path | None) -> dict[str, Model]:
    """The models of a folder, by their files' names.

    Raises:
        TextonError: there is no such folder.
    """
    if folder is None:
        return {}
    if not folder.is_dir():
        raise TextonError(f"'{folder}' is no folder: name one with trained models for --models")
    files = (path for path in sorted(folder.iterdir()) if path.suffix.lower() in _SUFFIXES)
    return {path.name: Model(path.absolute(), _kind(path)) for path in files if path.is_file()}


def _kind(path: Path) -> str:
    """What the header of a file that texton trained says."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if length > _HEADER:
                return ANY
            header = read_json(file.read(length))
        return take(read_json(take(take(header, "__metadata__", dict), "texton", str)), "kind", str)
    except (OSError, ValueError):
        return ANY
