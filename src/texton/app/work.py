"""What is asked of the solver, and what it tells while it is at it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

from texton.app.frames import SHARE, Pace, data_url

if TYPE_CHECKING:
    from torch import Tensor

    from texton.app.photos import Photo
    from texton.methods.method import Method
    from texton.methods.result import Result

State = Literal["queued", "loading", "solving", "done", "failed", "cancelled", "displaced"]
ENDED = ("done", "failed", "cancelled", "displaced")
Late = Callable[[], Any]  # computed only where a frame is due


class Cancelled(Exception):  # noqa: N818 - no error: somebody turned away
    """Nobody wants this any more; raised inside a running work by `Told.check`."""


class Told:
    """What a run is told, and tells: `check` in every step, `frame` with what it has.

    Args:
        post: takes a frame's JSON.
        check: raises `Cancelled`; answers what was asked in between.
    """

    def __init__(
        self,
        post: Callable[[dict[str, Any]], None],
        check: Callable[[], None],
        clock: Callable[[], float] = time.perf_counter,
        share: float = SHARE,
    ) -> None:
        self._post, self.check, self._clock = post, check, clock
        self._started = clock()
        self._pace = Pace(clock, share)

    def beside(self, count: int) -> Told:
        """For one of so many solved by turns: none takes the other's share of frames."""
        return Told(self._post, self.check, self._clock, SHARE / count)

    def frame(
        self,
        image: Tensor | Late,
        step: int,
        steps: int,
        error: float | Late | None,
        achieved: float | Late | None = None,
        side: Literal["left", "right"] | None = None,
    ) -> None:
        """A picture (C, H, W) of a step, shown where one is due; see `Pace`.

        Whatever is given as a function is called only then.

        Raises:
            Cancelled: as `check`, which it calls first.
        """
        self.check()
        if not self._pace.due(side):
            return
        started = self._clock()
        shown = data_url(image() if callable(image) else image)
        frame = {
            "step": step,
            "steps": steps,
            "error": _number(error),
            "achieved": _number(achieved),
            "seconds": round(started - self._started, 3),
            "image": shown,
            "side": side,
        }
        self._post(frame)
        self._pace.spent(self._clock() - started, side)


def _number(value: Any) -> float | None:
    found = value() if callable(value) else value
    return None if found is None else float(found)


@dataclass(frozen=True)
class About:
    """What a picture is called and how it is made again; `History` keeps it beside the picture.

    Attributes:
        request: the body of POST /api/work that makes it again.
        options: those that are not at their defaults, as a form says them.
        command, python: the same as a command line and as lines of Python.
        method: whose figures it has; None where no one method made it.
    """

    name: str
    title: str
    caption: str
    network: str
    request: Mapping[str, Any]
    photo: Photo | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    command: str = ""
    python: str = ""
    method: Method | None = None


class Run(Protocol):
    """What a body of POST /api/work comes to.

    Made where the request is read: what it refuses, it refuses there, without torch. ``run`` is
    called by the worker, calls ``told.check()`` in every step, and yields its finished pictures.
    """

    def run(self, told: Told) -> Iterator[Result]: ...

    def about(self, result: Result) -> About: ...


@dataclass(eq=False)
class Work:
    """A run in the queue.

    Attributes:
        post: takes ("work" | "frame" | "picture", JSON) for the session whose it is.
        stop: what it becomes at its next step; None as long as somebody wants it.
        position: how many are before it.
    """

    id: str
    slot: str
    run: Run
    post: Callable[[str, dict[str, Any]], None]
    state: State = "queued"
    message: str = ""
    position: int = 0
    stop: State | None = None

    @property
    def ended(self) -> bool:
        return self.state in ENDED

    def as_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "slot": self.slot,
            "state": self.state,
            "position": self.position,
            "message": self.message,
        }

    def become(self, state: State, message: str = "") -> None:
        """Tell whoever watches."""
        self.state, self.message = state, message
        self.position = self.position if state == "queued" else 0
        self.post("work", self.as_json())
