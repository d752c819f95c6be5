"""What it costs a solve to be watched on the live page: with frames over without.

    python bench/frames.py [--sides 64,128,224] [--layer relu3_2] [--seconds 3] [--rounds 5]

The steps of `texton filter` past its opening, in one process: in every round so many seconds of
them with nobody watching, and the same steps with what the page is sent made and written, as
`texton.app` paces it. A frame's own milliseconds are told beside. Under 1.05 is asked.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence

import report
import torch
from overhead import solver_step
from torch import Tensor

from texton import Network, load_network
from texton.app.work import Told
from texton.network.device import choose_compute


def watched(
    step: Callable[[], object], count: int, device: str
) -> tuple[Callable[[], object], list[float]]:
    """``count`` steps with a page that watches, and how long its frames took."""
    spent: list[float] = []

    def run() -> None:
        told = Told(lambda frame: json.dumps(frame), lambda: None)
        for index in range(count):
            now = step()
            started = time.perf_counter()
            told.frame(
                lambda now=now: now.images()[0], index, count, lambda now=now: now.errors.mean()
            )
            if (took := time.perf_counter() - started) > 1e-4:
                spent.append(took)

    return run, spent


def measure(net: Network, layer: str, photo: Tensor, asked: argparse.Namespace) -> Sequence[object]:
    """A row of the table."""
    step, _ = solver_step(net, layer, photo, asked.device)
    each = report.seconds_of(step, asked.device, 10)
    count = max(10, round(asked.seconds / each))

    def plain() -> None:
        for _ in range(count):
            step()

    with_frames, spent = watched(step, count, asked.device)
    seen, unseen = report.interleaved([with_frames, plain], asked.rounds, asked.device)
    return (
        layer,
        f"{photo.shape[3]}²",
        f"{1000 * each:.1f}",
        f"{len(spent) / (asked.rounds + 1):.0f}",
        f"{1000 * sum(spent) / max(1, len(spent)):.1f}",
        report.spread(report.ratios(seen, unseen), 3),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sides", default="64,128,224")
    parser.add_argument("--layer", default="relu3_2")
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    asked = parser.parse_args()
    net = load_network("vgg19")
    device = choose_compute(asked.device).device
    sides = map(int, asked.sides.split(","))
    rows = [
        measure(net, asked.layer, report.square(side).to(torch.float32).to(device), asked)
        for side in sides
    ]
    head = ["layer", "image", "ms a step", "frames", "ms a frame", "watched / not: median"]
    print(report.machine(asked.device))
    print(report.table(head, rows))


if __name__ == "__main__":
    main()
