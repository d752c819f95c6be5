"""An experiment's folder: pictures with sidecars, resumable; settings that may not change."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock
from torch import Tensor

from texton.errors import TextonError
from texton.images.files import read_image, write_bytes, write_image
from texton.images.planes import SUFFIX, hides_something
from texton.reading import read_json_file, take

FORMAT = "texton-experiment/1"


@dataclass(frozen=True, eq=False)
class Made:
    """A picture (C, H, W) of an experiment with its figures."""

    image: Tensor
    figures: dict[str, Any]


class Workbench:
    """Units under a folder: ``units/KEY.png`` and, written last, ``units/KEY.json``.

    A unit with a sidecar is finished; anything else is made again.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keeps a second run of the same folder out, until this one ends or dies.

        A run that fails before it has made a unit leaves nothing behind.
        """
        missing = [path for path in (self.root, *self.root.parents) if not path.exists()]
        try:
            before = set() if missing else {file.name for file in self.root.iterdir()}
            self.root.mkdir(parents=True, exist_ok=True)
            with filelock.FileLock(self.root / "lock", blocking=False):
                try:
                    yield
                except BaseException:
                    self._leave(before, missing)
                    raise
        except filelock.Timeout:
            raise TextonError(f"another run is writing '{self.root}': use another --out") from None
        except OSError as error:
            raise TextonError(f"cannot write '{self.root}': {error.strerror or error}") from None

    def _leave(self, before: set[str], missing: list[Path]) -> None:
        """Take away what this run wrote, unless there are units or it was another run's."""
        if "experiment.json" in before or (self.root / "units").exists():
            return
        for name in {"experiment.json", "lock"} - before:
            (self.root / name).unlink(missing_ok=True)
        for path in missing:
            path.rmdir()

    def settle(self, settings: dict[str, Any], inputs: dict[str, str]) -> None:
        """Note the settings at the first run; refuse to mix in others later.

        Args:
            settings: whatever would make other pictures.
            inputs: name → content hash; new names may join.

        Raises:
            TextonError: the folder is something else's, or holds pictures of other settings.
        """
        settings = json.loads(json.dumps(settings))
        path = self.root / "experiment.json"
        before = self._before(path)
        if before is not None:
            self._compare(before["settings"], settings)
            for name, digest in inputs.items():
                if before["inputs"].get(name, digest) != digest:
                    raise TextonError(f"'{self.root}' has another '{name}': use another --out")
            inputs = before["inputs"] | inputs
        told = {"format": FORMAT, "settings": settings, "inputs": inputs}
        write_bytes(json.dumps(told, indent=1, ensure_ascii=False).encode(), path)

    def find(self, key: str, channels: int = 3) -> Made | None:
        """A finished unit, or None; of more channels than a PNG shows, from its planes."""
        picture, sidecar = self._paths(key)
        if hides_something(channels, None):
            picture = picture.with_suffix(SUFFIX)
        try:
            figures = read_json_file(sidecar)
            return Made(read_image(picture, channels=channels)[0], figures)
        except (OSError, ValueError, TextonError):
            return None

    def keep(self, key: str, made: Made, settings: dict[str, Any]) -> Made:
        """Write a unit, the sidecar last."""
        picture, sidecar = self._paths(key)
        write_image(made.image, picture, {**settings, **made.figures})
        write_bytes(json.dumps(made.figures, ensure_ascii=False).encode(), sidecar)
        return made

    def _paths(self, key: str) -> tuple[Path, Path]:
        folder, _, name = f"units/{key}".rpartition("/")
        return self.root / folder / f"{name}.png", self.root / folder / f"{name}.json"

    def _before(self, path: Path) -> dict[str, Any] | None:
        try:
            found = read_json_file(path)
            if found.get("format") != FORMAT:
                raise ValueError
            return {key: take(found, key, dict) for key in ("settings", "inputs")}
        except FileNotFoundError:
            taken = [file.name for file in self.root.iterdir() if file.name != "lock"]
            if taken:
                raise TextonError(
                    f"'{self.root}' holds other files ({taken[0]}): use another --out"
                ) from None
            return None
        except (OSError, ValueError):
            raise TextonError(f"'{path}' is no experiment's: use another --out") from None

    def _compare(self, before: dict[str, Any], now: dict[str, Any]) -> None:
        for key in before | now:
            if before.get(key) != now.get(key):
                raise TextonError(
                    f"'{self.root}' was made with {key} {before.get(key)}, not {now.get(key)}: "
                    "use another --out"
                )
