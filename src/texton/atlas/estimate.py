"""How long a build is going to take, and how much disk: measured on a few units, thrown away."""

from __future__ import annotations

import statistics
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from texton.atlas.build import JOB, left
from texton.atlas.plan import Plan
from texton.jobs.engines import Engine, LocalEngine
from texton.jobs.store import Store, Unit
from texton.jobs.work import UnitWork

_LAYERS = 6  # solved for the measurement, spread over the depth of the network
_UNITS = 3  # of each: the first warms a worker up, the median forgets it; together, a job
_BLOCK = 4096  # bytes: what file systems give a file is a multiple of it


def estimate(plan: Plan, root: Path, engine: Engine) -> dict[str, Any]:
    """Solve a few units as the build would, with as many workers, and throw them away.

    Returns:
        ``units`` of the whole atlas and how many of them are ``left``; ``seconds`` and ``bytes``
        that these will take; ``measured``, how many were solved to know.
    """
    store = Store(root, plan.manifest)
    todo = left(store) if plan.before else store.units()
    names = [layer.name for layer in plan.manifest.layers]
    by_layer = Counter(str(unit.layer) for unit in todo)
    busy = [name for name in names if by_layer[name]]
    sampled = _spread(busy, _LAYERS)
    photo = plan.manifest.photos[-1].name
    together = not plan.manifest.settings["device"].startswith("cpu")
    jobs = [_sample(layer, todo, photo, JOB if together else _UNITS) for layer in sampled]
    seconds: dict[str, list[float]] = defaultdict(list)
    sizes: dict[str, list[float]] = defaultdict(list)
    with _trial(store, engine) as trial:
        for made in engine.run(jobs, UnitWork(trial.root, trial.manifest, plan.photos)):
            seconds[str(made.unit.layer)].append(made.seconds)
            files = (trial.picture(made.unit), trial.sidecar(made.unit))
            sizes[str(made.unit.layer)].append(sum(map(_on_disk, files)))

    def of_all(sample: dict[str, list[float]]) -> float:
        usual = statistics.mean if together else statistics.median
        each = {layer: usual(sample[layer]) for layer in sampled}
        return sum(_between(each, names, layer) * count for layer, count in by_layer.items())

    workers = min(engine.workers, max(1, len(todo)))
    return {
        "atlas": str(root),
        "units": len(store.units()),
        "left": len(todo),
        "seconds": of_all(seconds) / workers,
        "bytes": round(of_all(sizes)),
        "workers": workers,
        "measured": sum(map(len, sizes.values())),
    }


def _on_disk(file: Path) -> int:
    return -(-file.stat().st_size // _BLOCK) * _BLOCK if file.exists() else 0


@contextmanager
def _trial(store: Store, engine: Engine) -> Iterator[Store]:
    """An atlas for the while; held, so that no build takes it for one that a kill left behind."""
    begins, ends = store.trial_name()
    with tempfile.TemporaryDirectory(ends, begins, _shared(store.root, engine)) as folder:
        trial = Store(Path(folder), store.manifest)
        with trial.lock():
            trial.save(store.manifest)
            yield trial


def _shared(root: Path, engine: Engine) -> Path | None:
    """Where every worker can write: None is this machine's own temporary folder."""
    if isinstance(engine, LocalEngine):
        return None
    return next(parent for parent in root.absolute().parents if parent.is_dir())


def _spread(names: list[str], count: int) -> list[str]:
    if len(names) <= count:
        return names
    return [names[round(i * (len(names) - 1) / (count - 1))] for i in range(count)]


def _sample(layer: str, todo: list[Unit], photo: str, most: int = _UNITS) -> list[Unit]:
    units = [unit for unit in todo if unit.layer == layer]
    first = next((unit.photo for unit in units if unit.photo == photo), units[0].photo)
    units = [unit for unit in units if unit.photo == first]
    count = min(most, len(units))
    return [units[i * len(units) // count] for i in range(count)]


def _between(each: dict[str, float], names: list[str], layer: str) -> float:
    """A layer's figure per unit, straight between the nearest that were measured."""
    at = names.index(layer)
    below = max((names.index(x) for x in each if names.index(x) <= at), default=None)
    above = min((names.index(x) for x in each if names.index(x) >= at), default=None)
    if below is None or above is None:
        only = above if below is None else below
        assert only is not None
        return each[names[only]]
    if below == above:
        return each[names[at]]
    share = (at - below) / (above - below)
    return (1 - share) * each[names[below]] + share * each[names[above]]
