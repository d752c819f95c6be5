"""How time and memory grow: with pixels, with the filters of one run, with threads.

    python bench/growth.py [--layer relu5_2] [--sides 64,128,256,512,1024] [--filters 100]

Every row about pixels is a process of its own, as memory is never given back to the system whole.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys

import report
import torch
from overhead import solver_step

import texton
from texton import load_network

CHILD = """
import json, resource, sys
sys.path.insert(0, {folder!r})
import report, texton
from overhead import solver_step
net, photo = texton.load_network("vgg19"), report.square({side})
unit = 1 << (30 if sys.platform == "darwin" else 20)
step, _ = solver_step(net, {layer!r}, photo)
seconds = [report.seconds_of(step) for _ in range({steps})]
print(json.dumps([min(seconds), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit]))
"""


def with_pixels(layer: str, sides: list[int]) -> str:
    rows = []
    for side in sides:
        steps = 20 if side <= 256 else 5
        code = CHILD.format(
            folder=str(report.PAGE.parent.parent / "bench"), layer=layer, side=side, steps=steps
        )
        done = subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.PIPE)
        seconds, peak = json.loads(done.stdout.splitlines()[-1])
        each = seconds / side**2 * 1e9
        rows.append((f"{side}²", f"{seconds * 1000:.1f}", f"{each:.0f}", f"{peak:.2f}"))
        print(*rows[-1], flush=True)
    head = (f"{layer}: image", "ms a step", "ns a step and pixel", "GiB at the peak")
    return report.table(head, rows)


def with_filters(layer: str, filters: int) -> str:
    """Seconds of the filters of one run, in tenths of it."""
    net, photo = load_network("vgg19"), report.square(64)
    run = texton.iter_filters(photo, net, layer, range(filters), steps=10)
    seconds = [result.seconds for result in run]
    tenth = max(1, filters // 10)
    tenths = [seconds[k : k + tenth] for k in range(0, filters, tenth)]
    rows = [
        (f"{1 + k * tenth} to {k * tenth + len(part)}", f"{statistics.median(part) * 1000:.0f}")
        for k, part in enumerate(tenths)
        if k in (0, 1, len(tenths) // 2, len(tenths) - 1)
    ]
    ratio = statistics.median(tenths[-1]) / statistics.median(tenths[0])
    text = report.table((f"{layer}, 64², 10 steps: filters", "median ms a filter"), rows)
    return f"{text}\n\nThe last tenth takes {ratio:.2f} of the first's time."


def with_threads(layer: str, rounds: int = 9) -> str:
    net, photo = load_network("vgg19"), report.square(224)
    most = torch.get_num_threads()
    counts = sorted({1, *(2**k for k in range(1, 8) if 2**k <= most), most})
    step, _ = solver_step(net, layer, photo)

    def at(threads: int) -> None:
        torch.set_num_threads(threads)
        step()

    times = report.interleaved([lambda n=n: at(n) for n in counts], rounds)
    rows = [
        (n, f"{min(spent) * 1000:.0f}", report.spread(report.ratios(times[0], spent)))
        for n, spent in zip(counts, times, strict=True)
    ]
    return report.table((f"{layer}, 224²: threads", "ms a step", "times faster than one"), rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--layer", default="relu5_2")
    parser.add_argument("--sides", default="64,128,256,512,1024")
    parser.add_argument("--filters", type=int, default=100)
    asked = parser.parse_args()
    threads = with_threads(asked.layer)
    filters = with_filters(asked.layer, asked.filters)
    pixels = with_pixels(asked.layer, [int(part) for part in asked.sides.split(",")])
    report.publish("growth", f"{pixels}\n\n{filters}\n\n{threads}")


if __name__ == "__main__":
    main()
