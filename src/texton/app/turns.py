"""Solves that take turns on one device: each has computed as long as the other."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

T = TypeVar("T")
SLICE = 0.25  # seconds that one computes before the other goes on


class Left(Exception):  # noqa: N818 - no error: whoever reads the results has gone
    """Raised in a solve that nobody reads any more."""


class Turns(Generic[T]):
    """Jobs in threads of their own, of which one computes at a time: whose clock is behind.

    Args:
        jobs: each is called with ``turn``, which it has to call in every step, with what it does
            there beside its computing: it waits there until it may go on.
    """

    def __init__(
        self,
        jobs: Sequence[Callable[[Callable[[Callable[[], None]], None]], T]],
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._jobs, self._clock = jobs, clock
        self.spent = [0.0] * len(jobs)  # seconds of computing, of each
        self._news = threading.Condition()
        self._whose = 0
        self._since = self._used = 0.0  # when its step began; seconds of its slice
        self._open = set(range(len(jobs)))
        self._left = False
        self._told: SimpleQueue[tuple[int, T | None, BaseException | None]] = SimpleQueue()

    def results(self) -> Iterator[tuple[int, T]]:
        """(which job, what it came to), as they are finished; leaving it ends them all.

        Raises:
            whatever one of them raises.
        """
        threads = [
            threading.Thread(target=self._live, args=(at,), daemon=True)
            for at in range(len(self._jobs))
        ]
        for thread in threads:
            thread.start()
        try:
            for _ in threads:
                at, result, error = self._told.get()
                if error is not None:
                    raise error
                yield at, result  # type: ignore[misc]
        finally:
            with self._news:
                self._left = True
                self._news.notify_all()
            for thread in threads:
                thread.join()
            self._drain()

    def _drain(self) -> None:
        """Let go of what the others came to: their errors hold pictures."""
        try:
            while True:
                self._told.get_nowait()
        except Empty:
            return

    def _live(self, at: int) -> None:
        result, error = None, None
        try:
            self._wait(at)
            result = self._jobs[at](lambda aside: self._turn(at, aside))
            self._account(at)
        except BaseException as raised:  # noqa: BLE001 - whoever reads the results gets it
            error = raised
        with self._news:
            self._open.discard(at)
            self._hand_on()
        self._told.put((at, result, error))

    def _turn(self, at: int, aside: Callable[[], None]) -> None:
        """Between two steps: ``aside`` is not on the clock."""
        self._account(at)
        aside()
        if self._used >= SLICE:
            with self._news:
                self._hand_on()
        self._wait(at)

    def _account(self, at: int) -> None:
        ran = self._clock() - self._since
        self.spent[at] += ran
        self._used += ran

    def _hand_on(self) -> None:
        """To the job that has computed least."""
        if self._open:
            self._whose = min(self._open, key=lambda at: self.spent[at])
        self._used = 0.0
        self._news.notify_all()

    def _wait(self, at: int) -> None:
        with self._news:
            self._news.wait_for(lambda: self._left or self._whose == at)
            if self._left:
                raise Left
        self._since = self._clock()
