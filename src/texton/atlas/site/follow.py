"""A build, followed from outside: what is new on disk, numbered so that a page can catch up."""

from __future__ import annotations

import secrets
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from texton.atlas.index import TextureIndex
from texton.atlas.similar import Map, Similar
from texton.atlas.site import addresses
from texton.atlas.site.catalog import Catalog
from texton.atlas.site.site import Site
from texton.errors import TextonError
from texton.jobs.store import Store, Unit
from texton.reading import whole_number

if TYPE_CHECKING:
    from texton.atlas.dossier.dossier import Dossier

_STATUS_PAUSE = 4.0  # seconds
_IDLE_PAUSE = 10.0  # seconds between two looks while nobody is connected
_INDEX_PAUSE = 20.0
_ENOUGH = 1.25  # times the filters a map was made of: then it is made again


@dataclass(frozen=True)
class News:
    """What happened after a position: finished units as pages take them, and how far it is."""

    position: int
    units: list[list[Any]]
    status: dict[str, Any]


class _Left(Exception):  # noqa: N818 - no error: the server has ended
    """Raised where nobody asks for the index any more."""


class Follower:
    """Watches an atlas and keeps its `site` up to date.

    A position is how many pieces of news there were: ``"<run>-<count>"`` in pages and events,
    the run being this process, so that another server's positions are not mistaken for it.
    """

    def __init__(
        self, store: Store, index: TextureIndex | None = None, dossier: Dossier | None = None
    ) -> None:
        self._run = secrets.token_hex(4)
        self._lock = threading.Lock()
        self._index, self._dossier = index, dossier
        self._similar = Similar()
        self._indexed: set[Unit] = set()
        self._site: Site | None = None
        self._log: list[Unit] = []
        self._catalog = Catalog.read(store)
        self._status = store.status()
        self._status_due = 0.0
        self._finished = 0  # pieces of news when the pace was measured
        self._clients = 0
        self._told: set[str] = set()
        self.leaving = threading.Event()  # set where the server ends, and all connections with it

    @property
    def site(self) -> Site:
        """The atlas as pages, as it is known now."""
        with self._lock:
            if self._site is None:
                live = self.spell(len(self._log))
                self._site = Site(self._catalog.snapshot(), self._similar, live, self._dossier)
            return self._site

    def spell(self, position: int) -> str:
        return f"{self._run}-{position}"

    def position(self, spelled: str) -> int | None:
        """The position a page was made at, or None when it is too old to be caught up with."""
        run, _, count = spelled.partition("-")
        try:
            known = whole_number(count)
        except ValueError:
            return None
        return known if run == self._run and known <= len(self._log) else None

    def news(self, position: int) -> News:
        """What is new since a position."""
        with self._lock:
            new = [self._spelled(unit) for unit in self._log[position:]]
            return News(len(self._log), new, {**self._status, **self._catalog.counts()})

    def look(self) -> None:
        """Look at the disk once: for units, and for layers and photographs that were added."""
        store = Store.open(self._catalog.store.root)
        if store.manifest != self._catalog.store.manifest:
            catalog = Catalog.read(store)
            with self._lock:
                self._run = secrets.token_hex(4)  # pages made before must be made again
                self._catalog, self._log, self._site = catalog, [], None
                self._finished = -1
            return
        new = self._catalog.missing()
        with self._lock:
            self._catalog.records.update(new)
            self._log.extend(new)
            if new:
                self._site = None
        self._look_at_pace(store)

    def index(self) -> None:
        """Measure the textures of what is new, and compare; maps that are good enough stay."""
        if self._index is None:
            return
        with self._lock:  # for a moment: `news` waits for it
            catalog, known = self._catalog.snapshot(), self._similar
        live = catalog.alive()
        if self._indexed == set(live):
            return
        kept = _good_maps(catalog, live, known)
        try:
            similar = self._index.update(catalog.store, live, self._go_on, kept, self._go_on)
        except _Left:
            return
        with self._lock:
            self._similar, self._indexed, self._site = similar, set(live), None

    @contextmanager
    def client(self) -> Iterator[None]:
        """While somebody is connected the disk is looked at more often."""
        with self._lock:
            self._clients += 1
        try:
            yield
        finally:
            with self._lock:
                self._clients -= 1

    def watch(self, stop: threading.Event, pause: float = 1.0) -> None:
        """`look` again and again until told to stop, and rest for ten times what it took."""
        looked = took = 0.0
        while not stop.wait(pause):
            started = time.monotonic()
            if started - looked >= max(0.0 if self._clients else _IDLE_PAUSE, 10 * took):
                self._survive("follow the build", self.look)
                looked = time.monotonic()
                took = looked - started

    def watch_index(self, stop: threading.Event) -> None:
        """`index` again and again, and rest for longer than it took."""
        rest = 0.0
        while not stop.wait(rest):
            started = time.monotonic()
            self._survive("find similar textures", self.index)
            rest = max(_INDEX_PAUSE, 5 * (time.monotonic() - started))

    def _go_on(self, *_: int) -> None:
        """Between two batches of pictures, and before every layer's map."""
        if self.leaving.is_set():
            raise _Left

    def _survive(self, what: str, job: Callable[[], None]) -> None:
        """What fails is told once and tried again: the disk or the network may come back."""
        try:
            job()
        except Exception as error:  # noqa: BLE001 - a thread that ends would end the news for good
            kind = "" if isinstance(error, TextonError) else f"{type(error).__name__}: "
            told = f"cannot {what}: {kind}{error}"
            if told not in self._told:
                self._told.add(told)
                print(told, file=sys.stderr, flush=True)

    def _look_at_pace(self, store: Store) -> None:
        """Whether a build is at work; and its pace, when somebody is there to be told.

        The pace reads every sidecar: only after there was news, and for a twentieth of the time.
        """
        started = time.monotonic()
        if not self._clients or started < self._status_due:
            return
        if len(self._log) == self._finished:
            status = {**self._status, "running": store.is_locked()}
        else:
            self._finished, status = len(self._log), store.status()
        took = time.monotonic() - started
        self._status_due = started + max(_STATUS_PAUSE, 20 * took)
        with self._lock:
            self._status = status

    def _spelled(self, unit: Unit) -> list[Any]:
        layer, photo = (addresses.slug(str(name)) for name in (unit.layer, unit.photo))
        return [layer, unit.channel, photo, self._catalog.figures(unit)]


def _good_maps(catalog: Catalog, live: list[Unit], similar: Similar) -> dict[str, Map]:
    """The maps of layers that are whole, or have not grown much since."""
    filters = Counter(layer for layer, _ in {(unit.layer, unit.channel) for unit in live})
    kept = {}
    for layer in catalog.layers:
        known, count = similar.maps.get(layer.name), filters[layer.name]
        whole = count == len(layer.channels)
        if known and (
            len(known.cells) == count or (not whole and count < _ENOUGH * len(known.cells))
        ):
            kept[layer.name] = known
    return kept
