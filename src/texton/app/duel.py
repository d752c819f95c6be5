"""Two pictures side by side on one clock: both are solved by turns, each for as long.

Each is made by its own method as it would be alone: the same picture, bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from texton.app.forms import Mistake
from texton.app.turns import Turns
from texton.app.work import About, Told
from texton.methods.result import Result

if TYPE_CHECKING:
    from texton.app.method_run import MethodRun

Side = Literal["left", "right"]
SIDES: tuple[Side, Side] = ("left", "right")
Turn = Callable[[Callable[[], None]], None]


@dataclass(frozen=True)
class Duel:
    """See `Run`; one side alone is a picture of its own."""

    sides: tuple[MethodRun, ...]
    _made: dict[int, int] = field(default_factory=dict)  # results, by id, and whose they are

    @classmethod
    def of(cls, body: Mapping[str, Any], run_of: Callable[[Mapping[str, Any]], MethodRun]) -> Duel:
        """From ``{"sides": [a method's body, another]}``.

        Args:
            run_of: makes a side of its body.

        Raises:
            TextonError: what it says is refused.
        """
        sides = body.get("sides")
        if not isinstance(sides, list) or not 1 <= len(sides) <= len(SIDES):
            raise Mistake("say one side or two")
        if not all(isinstance(side, dict) for side in sides):
            raise Mistake("a side is no JSON object")
        return cls(tuple(map(run_of, sides)))

    def run(self, told: Told) -> Iterator[Result]:
        told.check()
        count = len(self.sides)
        turns = Turns([self._job(at, told.beside(count)) for at in range(count)])
        for at, results in turns.results():
            for result in results:
                mine = replace(result, seconds=turns.spent[at] / len(results))
                self._made[id(mine)] = at
                yield mine

    def _job(self, at: int, told: Told) -> Callable[[Turn], list[Result]]:
        def job(turn: Turn) -> list[Result]:
            with self.sides[at].by_fields():
                return list(self.sides[at].make(told, side=SIDES[at], turn=turn))

        return job

    def about(self, result: Result) -> About:
        at = self._made.get(id(result), 0)
        bodies = [side.request(result.unit) for side in self.sides]
        told = {"duel": {"sides": bodies, "side": SIDES[at]}}
        return replace(self.sides[at].about(result), request=told)
