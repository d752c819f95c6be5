"""How a long build tells how far it is: a bar on a terminal, now and then a line elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from texton.jobs.work import Made

_SECONDS_PER_LINE = 10.0


class AtlasProgress:
    """Progress over units that come fast and for hours."""

    def __init__(self, before: int, todo: int, bar: Progress | None) -> None:
        self._before, self._todo, self._bar = before, todo, bar
        self._made = 0
        self._first = self._told = 0.0
        self._task: TaskID | None = None
        if bar:
            self._task = bar.add_task("starting", total=before + todo, completed=before)

    def made(self, made: Made) -> None:
        now = time.monotonic()
        self._made += 1
        if self._made == 1:
            self._first = now
        if made.status == "failed":
            self._say(f"failed: {made.unit}: {made.reason}")
        elif made.status == "dead":
            self._say(f"dead: {made.unit} stayed silent")
        if self._bar and self._task is not None:
            self._bar.update(self._task, advance=1, description=self._pace(now))
        elif now - self._told >= _SECONDS_PER_LINE or self._made == self._todo:
            self._told = now
            done, units = self._before + self._made, self._before + self._todo
            self._say(f"{done:,} of {units:,} units  {self._pace(now)}")

    def _pace(self, now: float) -> str:
        elapsed = now - self._first
        if not elapsed or self._made == self._todo:
            return ""
        rate = (self._made - 1) / elapsed
        left = duration((self._todo - self._made) / rate)
        return f"{rate:.1f} a second, {left} left"

    def _say(self, line: str) -> None:
        if self._bar:
            self._bar.console.print(line, highlight=False, markup=False)
        else:
            print(line.rstrip(), file=sys.stderr, flush=True)


@contextmanager
def atlas_progress(before: int, todo: int) -> Iterator[AtlasProgress]:
    console = Console(stderr=True)
    if not console.is_terminal:
        yield AtlasProgress(before, todo, None)
        return
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console, transient=True) as bar:
        yield AtlasProgress(before, todo, bar)


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
