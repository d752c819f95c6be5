"""A build: what is not there yet, given to an engine, until it is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from texton.atlas.plan import Asked, Plan, existing, make_plan
from texton.jobs.engines import Engine
from texton.jobs.store import Store, Unit
from texton.jobs.work import Made, UnitWork

JOB = 32  # units that share a photograph's code; at most so many are done again after a crash
_JOBS_PER_WORKER = 4  # at least, so that no worker is left alone with a long last job


@dataclass(frozen=True)
class Build:
    """An atlas that is held for building: ``todo`` is what is not there yet."""

    store: Store
    todo: list[Unit]
    work: UnitWork

    def run(self, engine: Engine) -> Generator[Made[Unit], None, None]:
        """Make what is left, each unit as it is finished. Closing it stops the workers.

        Raises:
            TextonError: the disk is full, or no worker can be started.
        """
        return engine.run(jobs_of(self.todo, engine.workers), self.work)


@contextmanager
def open_build(asked: Asked, root: Path, plan: Plan) -> Iterator[Build]:
    """Begin or extend an atlas, and hold it.

    Args:
        plan: what `make_plan` has made of ``asked``; made anew if the atlas has changed since.

    Raises:
        TextonError: another build is at work; the folder cannot be written.
    """
    with Store(root, plan.manifest).lock():
        if existing(root) != plan.before:  # another build has just extended it
            plan = make_plan(asked, root)
        store = Store(root, plan.manifest)
        store.sweep()
        for photo in plan.manifest.photos:
            new = plan.before is None or photo not in plan.before.photos
            if new and photo.name in plan.photos:
                store.write_photo(photo.name, plan.photos[photo.name])
        store.save(plan.manifest)  # after the photographs that it names
        try:
            work = UnitWork(root.absolute(), plan.manifest, plan.photos)
            yield Build(store, left(store), work)
        finally:
            store.sweep()


def left(store: Store) -> list[Unit]:
    """The units to make: those without a record, and those that failed."""
    records = ((unit, store.record(unit)) for unit in store.units())
    return [unit for unit, record in records if record is None or record["status"] == "failed"]


def jobs_of(units: Sequence[Unit], workers: int) -> list[list[Unit]]:
    """Jobs of one layer and photograph each, all layers side by side.

    In this order every layer shows something early, and the rate at any time is the whole's.
    """
    size = max(1, min(JOB, -(-len(units) // (_JOBS_PER_WORKER * workers))))
    groups: dict[tuple[str | None, str | None], list[Unit]] = defaultdict(list)
    for unit in units:
        groups[unit.layer, unit.photo].append(unit)
    placed: list[tuple[float, int, list[Unit]]] = []
    for number, group in enumerate(groups.values()):
        for start in range(0, len(group), size):
            placed.append((start / len(group), number, group[start : start + size]))
    return [job for _, _, job in sorted(placed, key=lambda place: place[:2])]


def summary(store: Store) -> dict[str, Any]:
    """The atlas in figures, for ``--json``."""
    status = store.status()
    del status["running"]
    manifest = store.manifest
    return {
        "atlas": str(store.root),
        "network": manifest.network,
        "layers": len(manifest.layers),
        "photos": [photo.name for photo in manifest.photos],
        **status,
    }
