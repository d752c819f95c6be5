"""Two workers with one thread each against one worker with two, on the same part of an atlas.

    python bench/atlas_workers.py [--sizes 64,128] [--share 48] [--rounds 5]

The units are every SHAREth filter of VGG-19's sixteen rectified layers, so that the mix of layers
is the atlas's own. Every round builds them twice into a fresh folder, once with each crew, from
starting the processes to the last sidecar; a crew goes first in every second round.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import report

from texton.atlas.build import jobs_of
from texton.atlas.plan import Asked, Plan, make_plan
from texton.jobs.engines import LocalEngine
from texton.jobs.store import Store
from texton.jobs.work import UnitWork

PHOTO = report.PAGE.parent.parent / "examples" / "chelsea.jpg"


def plan_of(size: int, share: int) -> Plan:
    plan = make_plan(Asked([PHOTO], settings={"size": size}), Path("never written"))
    layers = tuple(
        replace(layer, channels=layer.channels[:: min(share, layer.filters)])
        for layer in plan.manifest.layers
    )
    return replace(plan, manifest=replace(plan.manifest, layers=layers))


def build(plan: Plan, workers: int, threads: int) -> tuple[float, float]:
    """Seconds of a whole build, and of its part after the first unit."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder), plan.manifest)
        store.save(plan.manifest)
        units = store.units()
        work = UnitWork(store.root, plan.manifest, plan.photos)
        engine = LocalEngine(workers, threads)
        started, first, made = time.perf_counter(), 0.0, 0
        with closing(engine.run(jobs_of(units, workers), work)) as run:
            for unit in run:
                assert unit.status != "failed", unit.reason
                first = first or time.perf_counter()
                made += 1
        ended = time.perf_counter()
        assert made == len(units) == store.status()["done"]
        return ended - started, ended - first


def measure(size: int, share: int, rounds: int) -> Sequence[object]:
    """A row of the table: one worker's time over two workers', round by round."""
    plan = plan_of(size, share)
    one: list[tuple[float, float]] = []
    two: list[tuple[float, float]] = []
    for number in range(rounds):
        crews = [(one, 1, 2), (two, 2, 1)]
        for times, workers, threads in crews if number % 2 else reversed(crews):
            times.append(build(plan, workers, threads))
            print(size, f"{workers} × {threads}", *(f"{x:.1f} s" for x in times[-1]), flush=True)
    whole, steady = (
        report.spread(report.ratios([x[part] for x in one], [x[part] for x in two]))
        for part in (0, 1)
    )
    units = sum(len(layer.channels) for layer in plan.manifest.layers)
    rates = [f"{(units - 1) / min(x[1] for x in times):.2f}" for times in (one, two)]
    return (f"{size} px", units, *rates, whole, steady)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", default="64,128")
    parser.add_argument("--share", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    rows = [measure(int(size), asked.share, asked.rounds) for size in asked.sizes.split(",")]
    head = (
        "size", "units", "one worker × 2 threads: units a second", "two workers × 1 thread",
        "times faster, start included: median (quartiles)", "times faster once at work",
    )  # fmt: skip
    text = f"{report.machine()}; {asked.rounds} interleaved rounds\n\n{report.table(head, rows)}"
    report.publish("atlas-workers", text)


if __name__ == "__main__":
    main()
