"""A session is a browser: its works, and the connections that watch them."""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

from texton.app.work import ENDED, Run, Work
from texton.app.worker import Busy, Worker
from texton.reading import to_json

GRACE = 3.0  # seconds that nobody may be watching
MOST_WORKS = 24  # of a session, that wait or run
_REMEMBERED = 40  # works that have ended, told to a page that comes back
_SESSIONS = 500
_BEAT = 15.0


class Mailbox:
    """What one connection is still to be sent; of a work's frames only the latest."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop, self._news = loop, asyncio.Event()
        self._lock = threading.Lock()
        self._letters: dict[tuple[Any, ...], tuple[str, dict[str, Any]]] = {}
        self._count = 0

    def put(self, event: str, data: dict[str, Any]) -> None:
        """From any thread."""
        with self._lock:
            self._count += 1
            frame = event == "frame"
            key = (event, data["id"], data["side"]) if frame else (event, self._count)
            self._letters.pop(key, None)
            self._letters[key] = event, data
        try:
            self._loop.call_soon_threadsafe(self._news.set)
        except RuntimeError:
            return  # the server is gone, and with it whoever read

    async def letters(self, wait: float) -> list[tuple[str, dict[str, Any]]]:
        """What has come since; nothing after so many seconds."""
        try:
            await asyncio.wait_for(self._news.wait(), wait)
        except TimeoutError:
            return []
        self._news.clear()
        with self._lock:
            found = list(self._letters.values())
            self._letters.clear()
        return found


class Session:
    """One browser's; frames and states go to every connection of it."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._lock = threading.Lock()
        self.works: dict[str, Work] = {}
        self._frames: dict[tuple[str, str | None], dict[str, Any]] = {}
        self._asked: dict[str, float] = {}  # when the last of every slot was
        self.boxes: set[Mailbox] = set()
        self.timer: asyncio.TimerHandle | None = None

    def post(self, event: str, data: dict[str, Any]) -> None:
        """To all that watch, from any thread."""
        with self._lock:
            if event == "frame":
                self._frames[data["id"], data["side"]] = data
            boxes = list(self.boxes)
        for box in boxes:
            box.put(event, data)

    def begin(self, run: Run, slot: str, asked: float | None = None) -> Work:
        """Queue a run; what the slot held before is displaced.

        Args:
            asked: when the page asked for it, by its own clock: of two that crossed on their way,
                the later stays.

        Raises:
            Busy: the session has too much in the queue.
        """
        alive = [x for x in self.works.values() if not x.ended]
        before = [x for x in alive if x.slot == slot]
        if len(alive) - len(before) >= MOST_WORKS:
            raise Busy(f"{MOST_WORKS} pictures wait already: cancel some")
        work = Work(secrets.token_hex(8), slot, run, self.post)
        self.works[work.id] = work
        if asked is not None and asked < self._asked.get(slot, asked):
            work.become("displaced")
            self._forget()
            return work
        if asked is not None:
            self._asked[slot] = asked
            for old in list(self._asked)[:-_REMEMBERED]:
                del self._asked[old]
        for other in before:
            self._worker.cancel(other, "displaced")
        self._worker.submit(work)
        self._forget()
        return work

    def cancel(self, number: str) -> bool:
        work = self.works.get(number)
        if work is not None and not work.ended:
            self._worker.cancel(work)
        return work is not None

    def cancel_all(self) -> None:
        for work in list(self.works.values()):
            if not work.ended:
                self._worker.cancel(work)

    def greet(self, box: Mailbox) -> None:
        """Begin with how everything stands."""
        with self._lock:
            frames = list(self._frames.values())
            self.boxes.add(box)
        for work in list(self.works.values()):
            box.put("work", work.as_json())
        for frame in frames:
            shown = self.works.get(frame["id"])
            if shown is not None and not shown.ended:
                box.put("frame", frame)

    def _forget(self) -> None:
        ended = [x.id for x in self.works.values() if x.state in ENDED]
        for number in ended[:-_REMEMBERED]:
            del self.works[number]
        running = {x.id for x in self.works.values() if not x.ended}
        with self._lock:
            self._frames = {k: v for k, v in self._frames.items() if k[0] in running}


class Sessions:
    """All browsers'; what a session wants is stopped when nobody has watched it for a while.

    For the server's event loop alone, but for what `Session.post` does.
    """

    def __init__(self, worker: Worker, grace: float = GRACE) -> None:
        self._worker, self._grace = worker, grace
        self._sessions: dict[str, Session] = {}

    def of(self, number: str) -> Session:
        """A browser's session, begun where there is none.

        Raises:
            Busy: there are too many browsers.
        """
        if number not in self._sessions:
            if len(self._sessions) >= _SESSIONS:
                raise Busy("too many browsers are here: come back later")
            self._sessions[number] = Session(self._worker)
        return self._sessions[number]

    def get(self, number: str) -> Session | None:
        return self._sessions.get(number)

    def watched(self, number: str) -> None:
        """Count down where nobody watches a session."""
        session = self._sessions.get(number)
        if session is None:
            return
        if session.timer is not None:
            session.timer.cancel()
            session.timer = None
        if not session.boxes:
            loop = asyncio.get_running_loop()
            session.timer = loop.call_later(self._grace, self._leave, number)

    def _leave(self, number: str) -> None:
        session = self._sessions.get(number)
        if session is not None and not session.boxes:
            session.cancel_all()
            del self._sessions[number]

    async def events(self, number: str, closing: Callable[[], bool]) -> AsyncIterator[str]:
        """A connection's server-sent events, as long as it lasts."""
        session, box = self.of(number), Mailbox(asyncio.get_running_loop())
        session.greet(box)
        self.watched(number)
        silent = 0.0
        try:
            yield "retry: 1000\n\n"
            while not closing():
                letters = await box.letters(0.5)
                for event, data in letters:
                    yield f"event: {event}\ndata: {to_json(data)}\n\n"
                silent = 0.0 if letters else silent + 0.5
                if silent >= _BEAT:
                    yield ": still here\n\n"
                    silent = 0.0
        finally:
            session.boxes.discard(box)
            self.watched(number)
