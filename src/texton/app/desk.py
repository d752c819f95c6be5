"""The mixing desk: the picture follows the hand; what is let go of is made by its own method.

Two pictures: the one that is seen while a slider moves is solved on from where it is (`board`). The
one that is kept is solved anew, from the seed's noise, by ``texton mix``, ``invert`` or ``filter
--direction``: it is what its command makes, and is shown on the right while it is solved.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from texton.app.forms import Mistake
from texton.app.work import About, Told
from texton.methods.directions import Directed
from texton.methods.result import Result

if TYPE_CHECKING:
    from texton.app.board import Board
    from texton.app.method_run import MethodRun
    from texton.methods.method import Task
    from texton.network.network import Network

_METHODS = ("mix", "invert", "filter")
_HELD = 4  # boards, of all pages together
_LONGEST_NAME = 40


@dataclass(frozen=True)
class _Held:
    """A board with the photograph that was read for it."""

    board: Board
    task: Task


@dataclass(frozen=True)
class DeskRun:
    """See `Run`.

    Attributes:
        made: what makes the picture that is kept.
        board: the page's own name for the picture that it turns.
        keep: solve and keep it, once the preview has settled.
    """

    made: MethodRun
    board: str
    keep: bool

    @classmethod
    def of(cls, body: Mapping[str, Any], made: MethodRun) -> DeskRun:
        """From the body of a request: that of a method, which is made, with ``board`` and ``keep``.

        Raises:
            TextonError: what it says is refused.
        """
        board, keep = body.get("board", ""), body.get("keep", False)
        if not isinstance(board, str) or len(board) > _LONGEST_NAME or not isinstance(keep, bool):
            raise Mistake("the desk's board is no short text, or keep is no true or false")
        if made.method.name not in _METHODS:
            raise Mistake(f"the desk turns {', '.join(_METHODS)}: choose one of them")
        if made.layer is None:
            raise Mistake("choose a layer first")
        if getattr(made.options, "modify", "") == "ranks":
            raise Mistake("the desk has no style to rank by: use none or random", "modify")
        if isinstance(made.options, Directed) and made.options.direction is None:
            raise Mistake("name the filters of the blend and their shares", "direction")
        return cls(made, board, keep)

    def run(self, told: Told) -> Iterator[Result]:
        told.check()
        with self.made.by_fields():
            yield from self._followed(told)

    def _followed(self, told: Told) -> Iterator[Result]:
        network = self.made.house.network(self.made.network)
        held = self._held(network)
        options = self.made.options
        task = replace(held.task, options=options, units=tuple(self.made.units(network)))
        for seen in held.board.follow(task, task.units[0], told.check):
            shown = seen.image[list(network.bands)]
            told.frame(shown, seen.step, seen.steps, seen.error)
        if self.keep:
            yield from self.made.make(told, task, side="right")

    def about(self, result: Result) -> About:
        about = self.made.about(result)
        return replace(about, request={"desk": {**about.request, "board": "", "keep": True}})

    def _held(self, network: Network) -> _Held:
        """The board that the page turns, as it was left; the first time, one of noise."""
        from texton.app.board import Board
        from texton.methods.parts.setup import check_photo, compute_for

        made = self.made
        every = made.house.boards
        blends = isinstance(made.options, Directed)
        photo = made.photo.id if made.photo else None
        key = (self.board, photo, made.network, made.layer, made.size, blends)
        if key not in every:
            while len(every) >= _HELD:  # before there is one more
                every.popitem(last=False)
            task = made.task(network)
            unit = task.units[0]
            image = task.photo(unit)
            check_photo(image, network)
            compute = compute_for(network, task.options, task.device)
            board = Board(image, network, unit.layer or "", compute, blends=blends)
            every[key] = _Held(board, task)
        every.move_to_end(key)
        held: _Held = every[key]
        return held
