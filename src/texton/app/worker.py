"""One queue and one solver at a time: a thread that waits, loads and solves."""

from __future__ import annotations

import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, TypeVar

from texton.app.work import Cancelled, State, Told, Work
from texton.errors import TextonError, first_line, one_line

if TYPE_CHECKING:
    from texton.methods.result import Result

T = TypeVar("T")
Keep = Callable[[Work, "Result"], dict[str, Any]]
MOST_QUESTIONS = 32
_STOPPING = "stopping at its next step"


class Busy(TextonError):  # noqa: N818 - an answer
    """There is more to do than anybody waits for."""


class Worker:
    """Works in the order they came, and small questions in between: before the next work, or
    between two steps of one that is being solved, so that nothing runs beside the solver.

    Args:
        keep: takes a finished picture, gives its JSON.
        shown: takes this machine's folders out of a message.
        load: is called once, before anything else is done; slow.
        make_room: lets go of what is held for later; called where memory has run out.
    """

    def __init__(
        self,
        keep: Keep,
        shown: Callable[[str], str],
        log: Callable[[str], None],
        load: Callable[[], None] = lambda: None,
        make_room: Callable[[], None] = lambda: None,
    ) -> None:
        self._keep, self._shown, self._log, self._load = keep, shown, log, load
        self._make_room = make_room
        self._news = threading.Condition()
        self._queue: deque[Work] = deque()
        self._questions: deque[tuple[Callable[[], Any], Future[Any]]] = deque()
        self._running: Work | None = None
        self._wakes = self._closed = False
        self._thread = threading.Thread(target=self._live, name="texton solver", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Load what everything needs, before anybody asks."""
        with self._news:
            self._wakes = True
            self._news.notify()

    def submit(self, work: Work) -> None:
        with self._news:
            work.position = len(self._queue) + (self._running is not None)
            self._queue.append(work)
            work.become("queued")
            self._news.notify()

    def cancel(self, work: Work, state: State = "cancelled") -> None:
        """Now if it waits, at its next step if it is being solved."""
        with self._news:
            if work in self._queue:
                self._queue.remove(work)
                work.become(state)
                self._place()
            elif work is self._running and work.stop is None:
                work.stop = state
                work.become(work.state, _STOPPING)

    def ask(self, question: Callable[[], T]) -> Future[T]:
        """Have something computed between two steps.

        Raises:
            Busy: too much is asked already.
        """
        future: Future[T] = Future()
        with self._news:
            if len(self._questions) >= MOST_QUESTIONS:
                raise Busy("the solver is asked too much at once: wait a moment")
            self._questions.append((question, future))
            self._news.notify()
        return future

    def leave(self) -> None:
        """Begin nothing more, and stop at the next step."""
        with self._news:
            self._closed = True
            self._news.notify()
        for work in list(self._queue):
            self.cancel(work)
        running = self._running
        if running is not None:
            self.cancel(running)

    def close(self, wait: float = 60.0) -> None:
        """`leave`, and wait for it: computing as the interpreter ends aborts it."""
        self.leave()
        self._thread.join(wait)

    def _live(self) -> None:
        while True:
            with self._news:
                self._news.wait_for(
                    lambda: self._closed or self._wakes or self._queue or self._questions
                )
                if self._closed:
                    break
                self._wakes = False
            try:
                self._load()
            except Exception as error:  # noqa: BLE001 - whoever asks for a picture is told
                self._log(str(self._told(error)))
            self._answer()
            with self._news:
                work = self._queue.popleft() if self._queue and not self._closed else None
                self._running = work
                self._place()
            if work is not None:
                self._solve(work)
        for _, future in self._questions:
            future.cancel()

    def _place(self) -> None:
        """Tell those that wait how many are before them."""
        for position, work in enumerate(self._queue, self._running is not None):
            if work.position != position:
                work.position = position
                work.become("queued")

    def _answer(self) -> None:
        while True:
            with self._news:
                if not self._questions:
                    return
                question, future = self._questions.popleft()
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(question())
            except Exception as error:  # noqa: BLE001 - whoever asked is told
                future.set_exception(self._told(error))

    def _solve(self, work: Work) -> None:
        def check() -> None:
            if work.stop is not None:
                raise Cancelled
            if self._questions:
                self._answer()
            if work.state == "loading":
                work.become("solving")

        def post(frame: dict[str, Any]) -> None:
            work.post("frame", {"id": work.id, "slot": work.slot, **frame})

        work.become("loading")
        try:
            for result in work.run.run(Told(post, check)):
                if work.stop is not None:
                    raise Cancelled
                picture = self._keep(work, result)
                work.post("picture", {"id": work.id, "slot": work.slot, "picture": picture})
            self._end(work, "done")
        except Cancelled:
            self._end(work, work.stop or "cancelled")
        except Exception as error:  # noqa: BLE001 - the page is told, the next work begins
            told = str(self._told(error))
            self._log(f"work {work.id} failed: {told}")
            self._end(work, "failed", told)

    def _end(self, work: Work, state: State, message: str = "") -> None:
        """Under the lock: nobody cancels what has ended."""
        with self._news:
            self._running = None
            work.become(state, message)
            self._place()

    def _told(self, error: Exception) -> TextonError:
        """An error as a line that says what to do."""
        from texton.network.device import is_out_of_memory

        if isinstance(error, TextonError):
            return TextonError(self._shown(str(error)))
        if is_out_of_memory(error):
            self._make_room()
            _empty_cache()
            said = self._shown(first_line(error))
            return TextonError(f"no memory is left for this ({said}): use a smaller size")
        traceback.print_exception(error, file=sys.stderr)
        return TextonError(
            f"texton failed ({self._shown(one_line(error))}): the terminal that it runs in says "
            "where; try other settings"
        )


def _empty_cache() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()
