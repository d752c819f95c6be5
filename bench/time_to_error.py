"""Seconds until an inversion is as good as where the 2016 algorithm stopped.

    python bench/time_to_error.py [--size 96] [--filters 10] [--photos chelsea,coffee]

The 2016 algorithm runs as published (`--preset paper`, float32, unbounded, until its image stops
moving); its error is that of its image clamped to 8 bits, before any denoising. Then texton
(`--preset normal`) and plain Adam in float32 (lr 0.045, betas .9, .999, from the same kind of
noise, clamped, no opening, at most 300 steps) run until their own image, clamped to 8 bits, is as
good. Checks of the error are not counted in anybody's time.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, replace

import report
from torch import Tensor

from texton import Network, load_network
from texton.images.files import as_saved, content_hash
from texton.jobs.allocator import settle_allocator
from texton.methods.parts.filter_inversion import FilterInversion
from texton.methods.parts.seeds import generator_for
from texton.methods.result import DEAD_SHARE
from texton.network.device import choose_compute
from texton.solve.presets import SolverSettings, solver_settings

LAYERS = ("relu1_2", "relu2_2", "relu3_2", "relu4_2", "relu5_2")
PLAIN = SolverSettings(
    steps=300, learning_rate=0.045, final_rate=1.0, betas=(0.9, 0.999), opening=0,
    early_stop=False, tv=0.0,
)  # fmt: skip


@dataclass(frozen=True)
class Run:
    """What one algorithm did for one filter: `seconds` is None where it never got there."""

    seconds: float | None
    error: float
    achieved: float


def solve(
    net: Network, photo: Tensor, layer: str, channel: int, settings: SolverSettings,
    goal: float | None, exact: bool,
) -> Run:  # fmt: skip
    """Run a solver until its saved image has the error `goal`, or until it ends by itself."""
    settle_allocator(photo.shape[2] * photo.shape[3])
    compute = choose_compute("cpu")
    compute = compute.exact() if exact else compute
    inversion = FilterInversion(photo, net, layer, settings, compute)
    generator = generator_for(report.SEED, content_hash(photo), layer, channel)
    solver = inversion.solver([channel], [generator], settings)
    canvas = solver.canvas
    spent, reached = 0.0, None
    steps = iter(solver)
    while reached is None:
        started = time.perf_counter()
        step = next(steps, None)
        spent += time.perf_counter() - started
        if step is None:
            break
        if goal is not None:
            found = inversion.measure(as_saved(canvas.images()), [channel])
            if found.errors[0] <= goal:
                reached = spent
    found = inversion.measure(as_saved(canvas.images()), [channel])
    return Run(reached if goal is not None else spent, found.errors[0], found.achieved[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--filters", type=int, default=10)
    parser.add_argument("--photos", default="chelsea,coffee")
    asked = parser.parse_args()
    net = load_network("vgg19")
    paper, ours = solver_settings("paper"), replace(solver_settings("normal"), early_stop=False)
    rows = []
    every: list[float] = []
    dead = {"2016": 0, "plain Adam": 0, "texton": 0}
    for name in asked.photos.split(","):
        photo = report.photos(asked.size)[name]
        for layer in LAYERS:
            gains, adam_gains, missed = [], [], 0
            for channel in range(asked.filters):
                old = solve(net, photo, layer, channel, paper, None, True)
                alive = old.achieved >= DEAD_SHARE
                goal = old.error if alive else -1.0
                new = solve(net, photo, layer, channel, ours, goal, False)
                adam = solve(net, photo, layer, channel, PLAIN, goal, True)
                dead["2016"] += not alive
                dead["plain Adam"] += adam.achieved < DEAD_SHARE
                dead["texton"] += new.achieved < DEAD_SHARE
                took = [run.seconds or float("inf") for run in (old, new, adam)]
                print(name, layer, channel, *(f"{t:.2f}" for t in took), flush=True)
                if alive and old.seconds:
                    missed += new.seconds is None
                    gains.append(old.seconds / new.seconds if new.seconds else 0.0)
                    adam_gains.append(old.seconds / adam.seconds if adam.seconds else 0.0)
            every += gains
            cells = [
                report.spread(report.quartiles(g), 1) if g else "–" for g in (gains, adam_gains)
            ]
            worst = f"{min(gains):.1f}" if gains else "–"
            rows.append((name, layer, len(gains), *cells, worst, missed))
            print(*rows[-1], flush=True)
    median, _, _ = report.quartiles(every)
    count = asked.filters * len(LAYERS) * len(asked.photos.split(","))
    text = report.table(
        ("photograph", "layer", "filters alive in 2016", "texton, times faster",
         "plain Adam, times faster", "texton's worst", "not reached"),
        rows,
    )  # fmt: skip
    text += f"\n\nOver all {len(every)} filters alive in 2016: median {median:.1f} times faster, "
    text += f"worst {min(every):.1f}. Dead of {count}: " + ", ".join(
        f"{who} {number}" for who, number in dead.items()
    )
    report.publish("time-to-error", text + f". Long edge {asked.size} pixels.")


if __name__ == "__main__":
    main()
