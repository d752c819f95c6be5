"""All filters of a network: how long at 96² pixels, and how good a whole deep layer is.

    python bench/every_filter.py [--size 96] [--layer relu5_2] [--filters 512] [--every 4]

Both are atlases, built by the command line as a user builds one (`fast`, one worker a core). The
rate of a layer is that of a few of its filters, spread over it; the deep layer is built whole and
every fourth of its filters (`--every`) is made with `normal` as well, and by 100 plain Adam steps
(lr 0.045, betas .9, .999, clamped, no opening) in the same number format.
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
from texton.result import DEAD_SHARE


def build(
    photo: Path, out: Path, size: int, layers: str, channels: str, preset: str = "fast"
) -> list[dict[str, Any]]:
    """Build an atlas (more of one that is there) and give all its records."""
    texton_command = Path(sys.executable).parent / "texton"
    command = [texton_command, "atlas", "build", photo, "--out", out, "--size", str(size)]
    command += ["--layers", layers, "--channels", channels, "--preset", preset]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return [json.loads(path.read_text()) for path in sorted(out.glob("units/*/*/*.json"))]


def rates(folder: Path, photo: Path, size: int, sample: int, cores: int) -> str:
    net = load_network("vgg19")
    rows: list[tuple[object, ...]] = []
    total = 0.0
    for name in [name for name in net.layers if name.startswith("relu")]:
        count = net.layer(name).channels
        picked = ",".join(str(count * k // sample) for k in range(sample))
        records = build(photo, folder / name, size, name, picked)
        each = statistics.mean(record["seconds"] for record in records)
        steps = statistics.mean(record["steps"] for record in records)
        dead = sum(record["status"] == "dead" for record in records)
        minutes = each * count / cores / 60
        total += minutes
        rows.append((name, count, f"{cores / each:.2f}", f"{steps:.0f}", dead, f"{minutes:.1f}"))
        print(*rows[-1], flush=True)
    rows.append(("all", 5504, f"{5504 / total / 60:.2f}", "", "", f"{total:.1f}"))
    head = ("layer", "filters", "filters a second", "steps", f"dead of {sample}", "minutes")
    return report.table(head, rows)


def deep_layer(folder: Path, photo: Path, cores: int, asked: argparse.Namespace) -> str:
    size, layer, filters = asked.size, asked.layer, asked.filters
    started = time.perf_counter()
    records = build(photo, folder / "deep", size, layer, f"0-{filters - 1}")
    minutes = (time.perf_counter() - started) / 60
    compared = range(0, filters, asked.every)
    longer = build(photo, folder / "normal", size, layer, ",".join(map(str, compared)), "normal")
    net, image = load_network("vgg19"), texton.read_image(photo)
    ours = {record["channel"]: record for record in records}
    normal = {record["channel"]: record for record in longer}
    plain, started = {}, time.perf_counter()
    for channel in compared:
        plain[channel] = solve(net, image, layer, channel, replace(PLAIN, steps=100), None, False)
        if channel % 64 == 0:
            print(f"plain Adam: {channel} of {filters}", flush=True)
    plain_minutes = (time.perf_counter() - started) / 60
    alive = {c for c, run in plain.items() if run.achieved >= DEAD_SHARE}
    plain_dead = len(plain) - len(alive)
    rows = []
    for name, made in (("`fast`", ours), ("`normal`", normal)):
        both = sorted(c for c in made if made[c]["status"] == "ok" and c in alive)
        mine = report.quartiles([made[c]["error"] for c in both])
        theirs = report.quartiles([plain[c].error for c in both])
        no_worse = sum(made[c]["error"] <= plain[c].error for c in both)
        dead = sum(record["status"] == "dead" for record in made.values())
        steps = statistics.mean(record["steps"] for record in made.values())
        whole = report.quartiles([r["error"] for r in made.values() if r["status"] == "ok"])
        rows.append(
            (name, len(made), f"{steps:.0f}", report.spread(whole, 3), dead,
             report.spread(mine, 3), report.spread(theirs, 3), f"{no_worse} of {len(both)}")
        )  # fmt: skip
    head = ("preset", "filters", "steps", "error: median (quartiles)", "dead", "of those compared",
            "100 plain Adam steps", "no worse than it")  # fmt: skip
    text = f"{layer}, {size}² pixels; {len(plain)} filters compared, those alive in both. Plain "
    text += f"Adam leaves {plain_dead} dead. `fast`: {minutes:.1f} minutes by {cores} workers, "
    text += f"their start included; plain Adam: {plain_minutes:.1f} by one process with "
    text += f"{torch.get_num_threads()} threads.\n\n"
    return text + report.table(head, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--sample", type=int, default=8)
    parser.add_argument("--layer", default="relu5_2")
    parser.add_argument("--filters", type=int, default=512)
    parser.add_argument("--every", type=int, default=4)
    asked = parser.parse_args()
    cores = torch.get_num_threads()
    folder = Path(tempfile.mkdtemp(prefix="texton-bench-"))
    try:
        photo = folder / "chelsea.png"
        write_image(report.square(asked.size)[0], photo)
        text = f"{asked.size}² pixels of chelsea, `fast`, {cores} workers on {cores} cores.\n\n"
        text += rates(folder, photo, asked.size, asked.sample, cores)
        report.publish("every-filter", text)
        deep = deep_layer(folder, photo, cores, asked)
        report.publish("deep-layer", deep)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
