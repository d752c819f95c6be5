"""What the tests of the atlas share: a build as a process, and what must be true in the end."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

from tests.helpers import EXAMPLES
from texton.jobs.store import TEMPORARY, Store

CAT, COFFEE = EXAMPLES / "chelsea.jpg", EXAMPLES / "coffee.jpg"
QUICK = ("--size", "32", "--steps", "4")
TEXTON = [sys.executable, "-c", "from texton.cli import main; main()"]
PATIENCE = 120.0

# A network of 64 rectified filters that waits as soon as so many units are finished as the file
# `gate` has bytes: a build that cannot end before a test has done to it what it is about.
GATED = """
import time
from pathlib import Path
import torch
from torch import nn

def is_shut():
    done = sum(1 for _ in Path("a/units").glob("*/*/*.json"))
    return Path("gate").exists() and done >= Path("gate").stat().st_size

class Gate(nn.Module):
    def forward(self, x):
        while x.requires_grad and is_shut():
            time.sleep(0.01)
        return x

def network():
    torch.manual_seed(0)
    first, second = nn.Conv2d(3, 32, 3, padding=1), nn.Conv2d(32, 32, 3, padding=1)
    return nn.Sequential(Gate(), first, nn.ReLU(), second, nn.ReLU())
"""
GATED_UNITS = 64
GATED_BUILD = (CAT, "--out", "a", "--network", "net.py:network", *QUICK, "--workers", "2")


def shut_gate(folder: Path, after: int) -> None:
    (folder / "net.py").write_text(GATED)
    (folder / "gate").write_bytes(bytes(after))


def open_gate(folder: Path, more: int | None = None) -> None:
    """For so many units more, or for good."""
    if more is None:
        (folder / "gate").unlink()
    else:
        with (folder / "gate").open("ab") as file:
            file.write(bytes(more))


def start(*words: object, cwd: Path, **how: Any) -> subprocess.Popen[str]:
    """``texton atlas build …`` as a process of its own."""
    return subprocess.Popen(
        [*TEXTON, "atlas", "build", *map(str, words)],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **how,
    )


def build(*words: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    with start(*words, cwd=cwd) as process:
        out, err = process.communicate(timeout=PATIENCE)
    return subprocess.CompletedProcess([], process.returncode, out, err)


def until(true: Callable[[], bool], process: subprocess.Popen[str] | None = None) -> None:
    """Wait for something that a process is about to do."""
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline, "waited in vain"
        assert process is None or process.poll() is None, process.communicate()
        time.sleep(0.01)


def finished(root: Path) -> int:
    return len(list(root.glob("units/*/*/*.json")))


def check_complete(root: Path, units: int) -> None:
    """Every unit exactly once, every file readable, nothing else."""
    store = Store.open(root)
    planned = store.units()
    assert len(planned) == len(set(planned)) == units
    for unit in planned:
        record = store.record(unit)
        assert record is not None and record["status"] in ("ok", "dead"), unit
        with Image.open(store.picture(unit)) as picture:
            picture.load()
            assert json.loads(picture.info["texton"])["channel"] == unit.channel
    there = sorted(path for path in (root / "units").rglob("*") if path.is_file())
    assert there == sorted(
        path for unit in planned for path in (store.picture(unit), store.sidecar(unit))
    )
    assert not list(root.rglob(TEMPORARY))


def descendants(pid: int) -> dict[int, str]:
    """The processes that a process has started, and theirs: their command lines."""
    parents, lines = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            status = (folder / "stat").read_text().rpartition(")")[2].split()
            line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if status[0] != "Z":
            parents[int(folder.name)], lines[int(folder.name)] = int(status[1]), line
    found: dict[int, str] = {}
    fresh = {pid}
    while fresh:
        fresh = {child for child, parent in parents.items() if parent in fresh} - found.keys()
        found |= {child: lines[child] for child in fresh}
    return found


def workers(pid: int, mark: str = "spawn_main") -> list[int]:
    return sorted(child for child, line in descendants(pid).items() if mark in line)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
