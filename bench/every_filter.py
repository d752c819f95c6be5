"""All filters of a network: how long at 96² pixels, and how good a whole deep layer is.

    python bench/every_filter.py [--size 96] [--layer relu5_2] [--filters 512] [--every 1]

Both are atlases, built by the command line as a user builds one (one worker a core), with `normal`
and with `fast`. The rate of a layer is that of a few of its filters, spread over it. The deep layer
is built whole; its filters, or every N-th of them (`--every N`), are made as well by 100 plain Adam
steps (lr 0.045, betas .9, .999, clamped, no opening) in the same number format.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import report
import torch
from time_to_error import PLAIN, solve

import texton
from texton import load_network, write_image
from texton.methods.result import DEAD_SHARE

PRESETS = ("normal", "fast")


def build(
    photo: Path, out: Path, size: int, layers: str, channels: str, preset: str
) -> list[dict[str, Any]]:
    """Build an atlas and give all its records."""
    texton_command = Path(sys.executable).parent / "texton"
    command = [texton_command, "atlas", "build", photo, "--out", out, "--size", str(size)]
    command += ["--layers", layers, "--channels", channels, "--preset", preset]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return [json.loads(path.read_text()) for path in sorted(out.glob("units/*/*/*.json"))]


def rates(folder: Path, photo: Path, size: int, sample: int, cores: int) -> str:
    net = load_network("vgg19")
    rows: list[tuple[object, ...]] = []
    totals = dict.fromkeys(PRESETS, 0.0)
    for name in [name for name in net.layers if name.startswith("relu")]:
        count = net.layer(name).channels
        picked = ",".join(str(count * k // sample) for k in range(sample))
        cells: list[object] = []
        for preset in PRESETS:
            records = build(photo, folder / preset / name, size, name, picked, preset)
            each = statistics.mean(record["seconds"] for record in records)
            steps = statistics.mean(record["steps"] for record in records)
            dead = sum(record["status"] == "dead" for record in records)
            minutes = each * count / cores / 60
            totals[preset] += minutes
            cells += [f"{cores / each:.2f}", f"{steps:.0f}", dead, f"{minutes:.1f}"]
        rows.append((name, count, *cells))
        print(*rows[-1], flush=True)
    last: list[object] = []
    for total in totals.values():
        last += [f"{5504 / total / 60:.2f}", "", "", f"{total:.1f}"]
    rows.append(("all", 5504, *last))
    head: list[str] = ["layer", "filters"]
    for preset in PRESETS:
        head += [f"`{preset}`: filters a second", "steps", f"dead of {sample}", "minutes"]
    return report.table(head, rows)


def deep_layer(folder: Path, photo: Path, cores: int, asked: argparse.Namespace) -> str:
    size, layer, filters = asked.size, asked.layer, asked.filters
    made: dict[str, dict[int, dict[str, Any]]] = {}
    minutes: dict[str, float] = {}
    for preset in PRESETS:
        started = time.perf_counter()
        records = build(photo, folder / f"deep-{preset}", size, layer, f"0-{filters - 1}", preset)
        minutes[preset] = (time.perf_counter() - started) / 60
        made[preset] = {record["channel"]: record for record in records}
        print(f"{preset}: {minutes[preset]:.1f} minutes", flush=True)
    net, image = load_network("vgg19"), texton.read_image(photo)
    plain, started = {}, time.perf_counter()
    for channel in range(0, filters, asked.every):
        plain[channel] = solve(net, image, layer, channel, replace(PLAIN, steps=100), None, False)
        if channel % 64 == 0:
            print(f"plain Adam: {channel} of {filters}", flush=True)
    minutes["plain Adam"] = (time.perf_counter() - started) / 60
    alive = {c for c, run in plain.items() if run.achieved >= DEAD_SHARE}
    rows: list[tuple[object, ...]] = []
    for preset, found in made.items():
        both = sorted(c for c in found if found[c]["status"] == "ok" and c in alive)
        mine = report.quartiles([found[c]["error"] for c in both])
        theirs = report.quartiles([plain[c].error for c in both])
        no_worse = sum(found[c]["error"] <= plain[c].error for c in both)
        dead = sum(record["status"] == "dead" for record in found.values())
        steps = statistics.mean(record["steps"] for record in found.values())
        rows.append(
            (f"`{preset}`", f"{steps:.0f}", dead, f"{minutes[preset]:.1f}", len(both),
             report.spread(mine, 3), report.spread(theirs, 3), f"{no_worse} of {len(both)}")
        )  # fmt: skip
    head = ("preset", "steps", "dead", "minutes", "alive in both", "error: median (quartiles)",
            "100 plain Adam steps", "no worse than it")  # fmt: skip
    text = f"{layer}, {size}² pixels, {filters} filters, by {cores} workers, their start included. "
    text += f"Plain Adam leaves {len(plain) - len(alive)} of {len(plain)} dead, in "
    text += f"{minutes['plain Adam']:.1f} minutes by one process with "
    text += f"{torch.get_num_threads()} threads.\n\n"
    return text + report.table(head, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--sample", type=int, default=8)
    parser.add_argument("--layer", default="relu5_2")
    parser.add_argument("--filters", type=int, default=512)
    parser.add_argument("--every", type=int, default=1)
    asked = parser.parse_args()
    cores = torch.get_num_threads()
    folder = Path(tempfile.mkdtemp(prefix="texton-bench-"))
    try:
        photo = folder / "chelsea.png"
        write_image(report.square(asked.size)[0], photo)
        text = f"{report.machine()}; {asked.size}² pixels of chelsea, {cores} workers.\n\n"
        text += rates(folder, photo, asked.size, asked.sample, cores)
        report.publish("every-filter", text)
        deep = deep_layer(folder, photo, cores, asked)
        report.publish("deep-layer", deep)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
