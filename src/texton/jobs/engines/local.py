"""Processes on this machine: threads divided between them, a killed one replaced."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import traceback
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Generic

from texton.errors import TextonError
from texton.jobs.engines.base import MOST_DEATHS, Item, Ledger, Made, Work

_START = "spawn"  # never a fork of a process that has threads, or a GPU
_MOST_FALSE_STARTS = 3
_PATIENCE = 15.0  # seconds that a worker has to end by itself
_READY, _MADE, _RAISED = "ready", "made", "raised"


def available_cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class LocalEngine:
    """Processes of their own, so that one that is killed takes no other with it.

    Args:
        workers: how many; one per core by default.
        threads: for each; the cores divided between the workers by default.
    """

    def __init__(self, workers: int | None = None, threads: int | None = None) -> None:
        cores = available_cores()
        self.workers = workers or cores
        self.threads = threads or max(1, cores // self.workers)

    def close(self) -> None:
        """Nothing outlives `run`."""

    def run(
        self, jobs: Sequence[Sequence[Item]], work: Work[Item, Made]
    ) -> Generator[Made, None, None]:
        """See `Engine.run`."""
        crew = _Crew(Ledger(jobs, work.together), work, self.workers, self.threads)
        try:
            while crew.assign():
                yield from crew.listen()
        finally:
            crew.stop()


@dataclass(eq=False)
class _Worker:
    process: BaseProcess
    pipe: Connection
    ready: bool = False
    rest: tuple[Any, ...] = ()  # of its job, what it has not made yet


class _Crew(Generic[Item, Made]):
    def __init__(
        self, ledger: Ledger[Item], work: Work[Item, Made], most: int, threads: int
    ) -> None:
        self._ledger, self._work = ledger, work
        self._most, self._threads = most, threads
        self._workers: list[_Worker] = []
        self._false_starts = 0

    def assign(self) -> bool:
        """Give everybody who is free a job, hire for what is left; False when all is done."""
        for worker in self._workers:
            if worker.ready and not worker.rest and (job := self._ledger.take()):
                worker.rest = job
                with suppress(OSError):  # it has just died: `listen` will see
                    worker.pipe.send(job)
        starting = sum(not worker.ready for worker in self._workers)
        for _ in range(min(self._most - len(self._workers), len(self._ledger) - starting)):
            with _ctrl_c_later():
                self._workers.append(_hire(self._work, self._threads))
        return bool(self._ledger) or any(worker.rest for worker in self._workers)

    def listen(self) -> Iterator[Made]:
        """Wait until a worker has something to say, or dies."""
        ends: dict[Any, _Worker] = {}
        for worker in self._workers:
            ends[worker.pipe] = ends[worker.process.sentinel] = worker
        for worker in {id(ends[end]): ends[end] for end in wait(list(ends))}.values():
            message = _receive(worker)
            if message is None:
                yield from self._bury(worker)
                continue
            kind, content = message
            if kind == _RAISED:
                raise content
            if kind == _MADE:
                worker.rest = worker.rest[1:]
                yield content
            else:
                worker.ready, self._false_starts = True, 0

    def stop(self) -> None:
        """End the workers: each leaves no temporary file behind, or is killed."""
        for worker in self._workers:
            worker.process.terminate()
        for worker in self._workers:
            _end(worker)

    def _bury(self, worker: _Worker) -> Iterator[Made]:
        _end(worker)
        self._workers.remove(worker)
        how = _ending(worker.process.exitcode)
        if not worker.ready:
            self._false_starts += 1
            if self._false_starts == _MOST_FALSE_STARTS:
                raise TextonError(f"workers end as they start ({how}): try fewer --workers")
        if worker.rest and (lost := self._ledger.died(worker.rest)) is not None:
            yield self._work.give_up(lost, f"{MOST_DEATHS} workers {how} at it")


def _hire(work: Any, threads: int) -> _Worker:
    context: Any = multiprocessing.get_context(_START)
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, work, threads), daemon=True)
    process.start()
    theirs.close()
    return _Worker(process, ours)


@contextmanager
def _ctrl_c_later() -> Iterator[None]:
    """Ctrl-C is answered at the end: a worker that is half hired could not be stopped.

    A terminal sends it to the workers too: they are born with it blocked, as this thread has it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    pressed = False

    def note(*_: object) -> None:  # blocked here, it may still reach another thread
        nonlocal pressed
        pressed = True

    before = signal.signal(signal.SIGINT, note)
    try:
        with _blocked(signal.SIGINT):
            yield
    finally:
        signal.signal(signal.SIGINT, before)
        if pressed:
            signal.raise_signal(signal.SIGINT)


@contextmanager
def _blocked(number: signal.Signals) -> Iterator[None]:
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [number])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _end(worker: _Worker) -> None:
    worker.process.join(_PATIENCE)
    if worker.process.is_alive():
        worker.process.kill()
        worker.process.join()
    worker.pipe.close()


def _receive(worker: _Worker) -> tuple[str, Any] | None:
    """Its next message; None if it has died and all that it said has been read."""
    try:
        while not worker.pipe.poll():
            if not worker.process.is_alive() and not worker.pipe.poll():
                return None
        message: tuple[str, Any] = worker.pipe.recv()
        return message
    except (EOFError, OSError):
        return None


def _ending(code: int | None) -> str:
    if code is not None and code < 0:
        hint = ", out of memory?" if code == -signal.SIGKILL else ""
        return f"were killed ({signal.Signals(-code).name}{hint})"
    return f"ended with code {code}"


def _serve(pipe: Connection, work: Any, threads: int) -> None:
    """A worker's life, in a process of its own."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _leave)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.dup2(2, 1)  # stdout belongs to the command
    with suppress(OSError):  # where memory runs out, a worker should go, not the build
        Path("/proc/self/oom_score_adj").write_text("500")
    _set_threads(threads)
    job = None
    try:
        while True:
            for message in _messages(work, job):
                pipe.send(message)
            job = pipe.recv()
    except (SystemExit, EOFError, OSError):
        os._exit(0)


def _set_threads(threads: int) -> None:
    import torch

    torch.set_num_threads(threads)


def _messages(work: Any, job: Sequence[Any] | None) -> Iterator[tuple[str, Any]]:
    """What a worker says of a job; before its first, that it is ready."""
    try:
        if job is None:
            work.prepare()
            yield _READY, None
        else:
            for made in work(job):
                yield _MADE, made
    except TextonError as error:
        yield _RAISED, error
    except Exception:  # noqa: BLE001 - it is raised again where it can be seen
        yield _RAISED, RuntimeError(f"in a worker:\n{traceback.format_exc()}")


def _leave(*_: object) -> None:
    raise SystemExit


def _end_with_parent() -> None:
    """However the parent ended: a worker whose results nobody reads must not go on."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
