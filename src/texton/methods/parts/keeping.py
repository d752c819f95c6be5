"""A solve as far as it has come, in a file beside the picture, for a machine that stops."""

from __future__ import annotations

import hashlib
import json
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from texton.errors import TextonError, TextonWarning
from texton.images.place import write_bytes
from texton.reading import read_json, take, take_all

_FORMAT, _SECONDS = "texton-resume/1", 30.0


@dataclass(frozen=True, eq=False)
class Kept:
    """How far a solve has come.

    Attributes:
        scale: how many of the scales are done.
        step: how many steps of the next.
        picture: (1, C, H, W), of that scale, or of the one before where the step is 0.
        trace: the errors so far.
    """

    scale: int
    step: int
    picture: Tensor
    trace: tuple[float, ...]


class Keeper:
    """Writes the file every half minute and in the end, and reads it back.

    Whoever writes the picture takes it away: a full disk costs no more than the last step.

    Args:
        path: the file; None: nothing is kept.
        made_by: everything that makes the picture; of other settings it is refused.
    """

    def __init__(self, path: Path | None, made_by: Mapping[str, Any]) -> None:
        self._path = path
        told = json.dumps(made_by, sort_keys=True, default=str)
        self._settings = hashlib.sha256(told.encode()).hexdigest()
        self._last = time.monotonic()

    def is_due(self) -> bool:
        return self._path is not None and time.monotonic() - self._last >= _SECONDS

    def keep(self, kept: Kept) -> None:
        """A disk that does not take it is told once; the solve goes on."""
        if self._path is None:
            return
        from safetensors.torch import save

        told = {
            "format": _FORMAT,
            "settings": self._settings,
            "scale": kept.scale,
            "step": kept.step,
            "trace": list(kept.trace),
        }
        picture = kept.picture.detach().cpu().float().contiguous()
        try:
            write_bytes(save({"picture": picture}, {"texton": json.dumps(told)}), self._path)
        except TextonError as error:
            warnings.warn(TextonWarning(f"the solve is not kept: {error}"), stacklevel=2)
            self._path = None
        self._last = time.monotonic()

    def kept(self, scales: int) -> Kept | None:
        """What the file holds, of so many scales; None where there is none.

        Raises:
            TextonError: it is damaged, or of another picture.
        """
        if self._path is None or not self._path.exists():
            return None
        try:
            told, picture = _read(self._path)
            trace = tuple(take_all(told, "trace", float))
            kept = Kept(take(told, "scale", int), take(told, "step", int), picture, trace)
            if take(told, "format", str) != _FORMAT or picture.ndim != 4 or len(picture) != 1:
                raise ValueError("another format")
            if not (0 <= kept.scale < scales and kept.step >= 0) or not picture.isfinite().all():
                raise ValueError("out of range")
        except OSError as error:
            raise TextonError(f"cannot read '{self._path}': {error.strerror or error}") from None
        except Exception:  # noqa: BLE001 - a damaged header makes its reader raise anything
            raise TextonError(
                f"'{self._path}' is damaged: take it away, or leave --resume out"
            ) from None
        if told.get("settings") != self._settings:
            raise TextonError(
                f"'{self._path}' was kept for another picture: give the options that it was begun "
                "with, or leave --resume out"
            )
        return kept


def _read(path: Path) -> tuple[dict[str, Any], Tensor]:
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        header = file.metadata() or {}
        return read_json(header["texton"]), file.get_tensor("picture")
