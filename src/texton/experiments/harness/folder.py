"""An experiment's folder: its pictures, and the settings that may not change."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from texton.errors import TextonError
from texton.images.files import read_image, write_bytes
from texton.images.planes import SUFFIX, hides_something
from texton.jobs.pictures import Pictures
from texton.lock import hold
from texton.methods.catalogue import methods
from texton.reading import read_json_file, take, to_json

FORMAT = "texton-experiment/1"


@dataclass(frozen=True, eq=False)
class Made:
    """A picture (C, H, W) of an experiment with its figures."""

    image: Tensor
    figures: dict[str, Any]


class Folder(Pictures[str]):
    """Pictures by keys like ``filter/relu4_2/17/chelsea-0``, resumable; see `Pictures`."""

    def place(self, key: str) -> str:
        return key

    def identity(self, key: str) -> dict[str, Any]:
        return {"unit": key}

    def figures(self) -> tuple[str, ...]:
        return tuple({figure.key for method in methods().values() for figure in method.figures})

    def find(self, key: str, channels: int = 3) -> Made | None:
        """A finished picture, or None; of more channels than a PNG shows, from its planes."""
        record = self.record(key)
        if record is None:
            return None
        picture = self.picture(key)
        if hides_something(channels, None):
            picture = picture.with_suffix(SUFFIX)
        try:
            return Made(read_image(picture, channels=channels)[0], record)
        except TextonError:
            return None

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keeps a second run of the same folder out, until this one ends or dies.

        A run that fails before it has made a picture leaves nothing behind.
        """
        missing = [path for path in (self.root, *self.root.parents) if not path.exists()]
        before = self._files()
        with hold(self.root, f"another run is writing '{self.root}': use another --out"):
            self.sweep()
            try:
                yield
            except BaseException:
                self._leave(before, missing)
                raise

    def settle(self, settings: dict[str, Any], inputs: dict[str, str]) -> None:
        """Note the settings at the first run; refuse to mix in others later.

        Args:
            settings: whatever would make other pictures.
            inputs: name → content hash; new names may join.

        Raises:
            TextonError: the folder is something else's, or holds pictures of other settings.
        """
        settings = json.loads(json.dumps(settings))
        before = self.settled()
        if before is not None:
            self._compare(before["settings"], settings)
            for name, digest in inputs.items():
                if before["inputs"].get(name, digest) != digest:
                    raise TextonError(f"'{self.root}' has another '{name}': use another --out")
            inputs = before["inputs"] | inputs
        told = {"format": FORMAT, "settings": settings, "inputs": inputs}
        write_bytes(to_json(told, indent=1).encode(), self._settings)

    def settled(self) -> dict[str, Any] | None:
        """The ``settings`` and ``inputs`` of the runs before; None where there was none.

        Raises:
            TextonError: the folder is something else's.
        """
        try:
            found = read_json_file(self._settings)
            if found.get("format") != FORMAT:
                raise ValueError
            return {key: take(found, key, dict) for key in ("settings", "inputs")}
        except FileNotFoundError:
            if taken := sorted(self._files() - {"lock"}):
                raise TextonError(
                    f"'{self.root}' holds other files ({taken[0]}): use another --out"
                ) from None
            return None
        except (OSError, ValueError):
            raise TextonError(f"'{self._settings}' is no experiment's: use another --out") from None

    @property
    def _settings(self) -> Path:
        return self.root / "experiment.json"

    def _files(self) -> set[str]:
        try:
            return {file.name for file in self.root.iterdir()} if self.root.is_dir() else set()
        except OSError as error:
            raise TextonError(f"cannot read '{self.root}': {error.strerror or error}") from None

    def _leave(self, before: set[str], missing: list[Path]) -> None:
        """Take away what this run wrote, unless there are pictures or it was another run's."""
        if "experiment.json" in before or (self.root / "units").exists():
            return
        with suppress(OSError):  # what stays must not hide why the run failed
            for name in {"experiment.json", "lock"} - before:
                (self.root / name).unlink(missing_ok=True)
            for path in missing:
                path.rmdir()

    def _compare(self, before: dict[str, Any], now: dict[str, Any]) -> None:
        for key in before | now:
            if before.get(key) != now.get(key):
                raise TextonError(
                    f"'{self.root}' was made with {key} {before.get(key)}, not {now.get(key)}: "
                    "use another --out"
                )
