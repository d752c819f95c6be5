"""A solve as far as it has come, in a file beside the picture, for a machine that stops."""

from __future__ import annotations

import hashlib
import json
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from texton.errors import TextonError, TextonWarning
from texton.learned.file import read_tensors, write_tensors
from texton.reading import read_json, take, take_all, to_json

if TYPE_CHECKING:
    from texton.solve.solver import Solver

_FORMAT, _SECONDS = "texton-resume/2", 30.0
_SHARE = 20  # times as long as writing took: no more than a twentieth is spent on it
_RULE = "rule/"


@dataclass(frozen=True, eq=False)
class Kept:
    """How far a solve has come, and all that it needs to go on to the same picture.

    Attributes:
        scales: how many are done.
        step: how many steps of the next.
        canvas: (1, C, H, W), its values as they are in the next; where the step is 0, the
            picture of the one before.
        trace: the errors so far.
        rule: what the solver's rule remembers of the steps.
    """

    scales: int
    step: int
    canvas: Tensor
    trace: tuple[float, ...]
    rule: Mapping[str, Tensor] = field(default_factory=dict)


class Keeper:
    """Writes the file every half minute, or less often where that takes long, and in the end, and
    reads it back.

    Whoever writes the picture takes it away: a full disk costs no more than the last step.

    Args:
        path: the file; None: nothing is kept.
        made_by: everything that makes the picture; of other settings it is refused.
    """

    def __init__(self, path: Path | None, made_by: Mapping[str, Any]) -> None:
        self._path = path
        told = json.dumps(made_by, sort_keys=True, default=str)
        self._settings = hashlib.sha256(told.encode()).hexdigest()
        self._due = time.monotonic() + _SECONDS

    def is_due(self) -> bool:
        return self._path is not None and time.monotonic() >= self._due

    def keep(self, kept: Kept) -> None:
        """A disk that does not take it is told once; the solve goes on."""
        if self._path is None:
            return
        told = {
            "format": _FORMAT,
            "settings": self._settings,
            "scales": kept.scales,
            "step": kept.step,
            "trace": list(kept.trace),
        }
        tensors = {"canvas": kept.canvas}
        tensors |= {_RULE + name: tensor for name, tensor in kept.rule.items()}
        begun = time.monotonic()
        try:
            there = {name: tensor.detach().cpu() for name, tensor in tensors.items()}
            write_tensors(there, to_json(told), self._path)
        except TextonError as error:
            warnings.warn(TextonWarning(f"the solve is not kept: {error}"), stacklevel=2)
            self._path = None
        now = time.monotonic()
        self._due = now + max(_SECONDS, _SHARE * (now - begun))

    def kept(self) -> Kept | None:
        """What the file holds; None where there is none.

        Raises:
            TextonError: it is damaged, or of another picture.
        """
        if self._path is None or not self._path.exists():
            return None
        tensors, text = read_tensors(self._path, "a solve that --resume kept", largest=None)
        try:
            told = read_json(text)
            if take(told, "format", str) != _FORMAT:
                raise TextonError(
                    f"'{self._path}' was kept by another version of texton: take it away, or leave "
                    "--resume out"
                )
            settings = take(told, "settings", str)
            kept = _kept(told, tensors)
        except ValueError:
            raise self.damaged() from None
        if settings != self._settings:
            raise TextonError(
                f"'{self._path}' was kept for another picture: give the options that it was begun "
                "with, or leave --resume out"
            )
        return kept

    def go_on(self, solver: Solver, kept: Kept) -> None:
        """Have a solver go on in the middle of a scale.

        Raises:
            TextonError: it is damaged.
        """
        try:
            solver.go_on(kept.step, kept.rule)
        except ValueError:
            raise self.damaged() from None

    def damaged(self) -> TextonError:
        return TextonError(f"'{self._path}' is damaged: take it away, or leave --resume out")


def _kept(told: dict[str, Any], tensors: dict[str, Tensor]) -> Kept:
    """
    Raises:
        ValueError: something is missing, or out of range.
    """
    scales, step = take(told, "scales", int), take(told, "step", int)
    trace = tuple(take_all(told, "trace", float))
    canvas = tensors.get("canvas")
    if min(scales, step) < 0 or canvas is None:
        raise ValueError("out of range")
    if canvas.dtype != torch.float32 or not bool(canvas.isfinite().all()):
        raise ValueError("no picture")
    rule = {x.removeprefix(_RULE): y for x, y in tensors.items() if x.startswith(_RULE)}
    return Kept(scales, step, canvas, trace, rule)
