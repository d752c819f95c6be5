"""Peak resident memory of one inversion, and whether anything grows with the filters done.

    python bench/memory.py [--layer relu5_2] [--sides 224,1024]

Every row is a process of its own; `before` is what it held with the network loaded.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys

import report

CHILD = """
import json, resource, sys
sys.path.insert(0, {folder!r})
import report, texton
from texton.jobs.allocator import settle_allocator
layer, side, filters, steps = {layer!r}, {side}, {filters}, {steps}
net = texton.load_network("vgg19")
photo = report.square(side)
settle_allocator(side * side)
unit = 1 << (30 if sys.platform == "darwin" else 20)
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
before, marks = peak(), []
for result in texton.iter_filters(photo, net, layer, range(filters), steps=steps):
    marks.append(peak())
print(json.dumps([before, marks]))
"""


def peaks(layer: str, side: int, filters: int, steps: int) -> tuple[float, list[float]]:
    """GiB before, and the peak after every filter."""
    folder = str(report.PAGE.parent.parent / "bench")
    code = CHILD.format(folder=folder, layer=layer, side=side, filters=filters, steps=steps)
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    before, marks = json.loads(done.stdout.splitlines()[-1])
    return before, marks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--layer", default="relu5_2")
    parser.add_argument("--sides", default="224,1024")
    asked = parser.parse_args()
    rows = []
    for side in (int(part) for part in asked.sides.split(",")):
        before, marks = peaks(asked.layer, side, 1, 6)
        rows.append((f"one filter, {side}²", f"{before:.2f}", f"{marks[-1]:.2f}"))
        print(*rows[-1], flush=True)
    before, marks = peaks(asked.layer, 64, 100, 3)
    rows.append(("10 filters, 64²", f"{before:.2f}", f"{marks[9]:.2f}"))
    rows.append(("100 filters, 64²", f"{before:.2f}", f"{marks[-1]:.2f}"))
    text = report.table((f"{asked.layer}, 6 or 3 steps", "GiB before", "GiB at the peak"), rows)
    report.publish("memory", text)


if __name__ == "__main__":
    main()
