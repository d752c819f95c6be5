"""Scans that are really killed and interrupted: the next run finishes them, to the same bytes."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.atlases import TEXTON, alive, until, workers
from tests.evidence.scans import layer_bytes, write_pictures
from tests.helpers import Run
from texton.evidence.format import Evidence, read_arrays

pytestmark = pytest.mark.slow

COUNT = 160  # five blocks
SLOW = """
import time
from pathlib import Path
from torch import nn
from tests.evidence.scans import small

class Slow(nn.Module):
    def forward(self, x):
        time.sleep(0.02 if Path("gate").exists() and x.shape[3] < 50 else 0)
        return x

def make():
    module = small(padding=1)
    return nn.Sequential(Slow(), *module)
"""
WORDS = ("scan", "p", "-o", "e", "--network", "net.py:make", "--size", "48", "--device", "cpu")
ROOT = Path(__file__).parent.parent.parent


def start(folder: Path) -> subprocess.Popen[str]:
    told = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    words = [*TEXTON, *WORDS, "--workers", "2"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(words, cwd=folder, env=told, text=True, **pipes)


def parts(root: Path) -> list[Path]:
    return list(root.glob("parts/*.npz"))


def blocks_done(root: Path) -> int:
    """Merged, or in the parts."""
    merged = sum(end - start for start, end in Evidence.open(root).manifest.done) // 32
    return merged + sum(len(read_arrays(path)["done"]) for path in parts(root))


def test_kill_9_of_a_worker_ctrl_c_and_kill_9_of_the_parent(tmp_path: Path, run: Run) -> None:
    write_pictures(tmp_path / "p", COUNT)
    (tmp_path / "net.py").write_text(SLOW)
    (tmp_path / "gate").touch()
    root = tmp_path / "e"
    with start(tmp_path) as process:
        until(lambda: bool(parts(root)), process)
        first = workers(process.pid)
        os.kill(first[0], signal.SIGKILL)
        until(lambda: bool(set(workers(process.pid)) - set(first)), process)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "e\n"), err
    assert "run it again to go on" in err and not parts(root)
    kept = blocks_done(root)
    assert 1 <= kept < 5
    with start(tmp_path) as process:
        until(lambda: bool(parts(root)), process)
        crew = workers(process.pid)
        process.kill()
        process.communicate()
    until(lambda: not any(map(alive, crew)))
    assert kept < blocks_done(root) <= 5
    (tmp_path / "gate").unlink()
    for name in ("e", "fresh"):
        outcome = run(*WORDS[:3], name, *WORDS[4:], "--workers", 1)
        assert outcome.code == 0, outcome.err
    assert layer_bytes(root) == layer_bytes(tmp_path / "fresh")
    assert Evidence.open(root).layer("5").pictures == COUNT
