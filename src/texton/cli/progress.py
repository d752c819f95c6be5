"""How a command tells how far it is: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress as Bars

    from texton.solve.solver import Step

_SECONDS_PER_LINE = 10.0


class Progress:
    """Things that are finished one after the other, ``total`` in all, ``before`` of them before.

    Args:
        each: whether every one has a line of its own; otherwise one is told now and then.
    """

    def __init__(self, total: int, before: int, each: bool, bars: Bars | None) -> None:
        self.total, self.done = total, before
        self._before, self._each, self._bars = before, each, bars
        self._first = self._told = 0.0
        self._task = bars.add_task("", total=total or None, completed=before) if bars else None
        self._now = bars.add_task("", total=None) if bars and each else None

    def begin(self, name: str) -> None:
        """Say what is being made now."""
        if self._bars and self._now is not None:
            self._bars.reset(self._now, description=name, total=None)

    def step(self, step: Step) -> None:
        """A step of what is being made."""
        if self._bars and self._task is not None and self._now is not None:
            self._bars.update(self._now, completed=step.index, total=step.steps)
            self._bars.update(self._task, completed=self.done + min(1.0, step.index / step.steps))

    def finish(self, line: str = "") -> None:
        """One more is finished."""
        self.reach(self.done + 1, self.total, line)

    def reach(self, done: int, total: int, line: str = "") -> None:
        """So many are finished, of so many."""
        now = time.monotonic()
        if done <= self._before + 1 or not self._first:
            self._first = now
        self.done, self.total = done, total
        text = line if self._each else line or self._pace(now)
        if self._bars and self._task is not None:
            told = "" if self._each else text
            self._bars.update(self._task, completed=done, total=total, description=told)
            if self._each:
                self.say(line)
        elif self._each:
            self.say(f"{line}  ({done} of {total})")
        elif now - self._told >= _SECONDS_PER_LINE or done == total:
            self._told = now
            self.say(f"{done:,} of {total:,}  {text}")

    def say(self, line: str) -> None:
        """A line that stays."""
        if self._bars:
            self._bars.console.print(line.rstrip(), highlight=False, markup=False)
        else:
            print(line.rstrip(), file=sys.stderr, flush=True)

    def _pace(self, now: float) -> str:
        elapsed, made = now - self._first, self.done - self._before - 1
        if not elapsed or not made or self.done == self.total:
            return ""
        left = duration((self.total - self.done) * elapsed / made)
        return f"{made / elapsed:.1f} a second, {left} left"


@contextmanager
def progress(total: int = 0, *, before: int = 0, each: bool = False) -> Iterator[Progress]:
    """`Progress` for as long as it lasts."""
    if not sys.stderr.isatty():
        yield Progress(total, before, each, None)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    counted = () if each else (MofNCompleteColumn(),)
    columns = (TextColumn("{task.description}"), BarColumn(), *counted, TimeRemainingColumn())
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        yield Progress(total, before, each, bars)


def duration(seconds: float) -> str:
    """``45 s``, ``12 min``, ``3 h 20 min``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def amount(size: int) -> str:
    """``640 kB``, ``82 MB``, ``1.4 GB``."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6)):
        if size >= scale:
            return f"{size / scale:.3g} {unit}"
    return f"{size / 1e3:.3g} kB"
