"""What may be asked of the solver, by the name that a request's body has for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from texton.app.desk import DeskRun
from texton.app.duel import Duel
from texton.app.forms import Mistake
from texton.app.house import House
from texton.app.method_run import MethodRun
from texton.app.work import Run

KINDS: dict[str, Callable[[Mapping[str, Any], House], Run]] = {
    "desk": lambda body, house: DeskRun.of(body, MethodRun.of(body, house)),
    "duel": lambda body, house: Duel.of(body, lambda side: MethodRun.of(side, house)),
}


def run_of(body: Mapping[str, Any], house: House) -> Run:
    """What a body asks for: ``{"desk": {...}}`` by its kind, else a method's picture.

    Raises:
        TextonError: what it says is refused.
    """
    for kind, made in KINDS.items():
        if kind in body:
            told = body[kind]
            if not isinstance(told, dict):
                raise Mistake(f"{kind} is no JSON object")
            return made(told, house)
    return MethodRun.of(body, house)
