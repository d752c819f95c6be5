"""Builds that are really killed, interrupted, starved of disk: the next run finishes them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.atlases import (
    CAT,
    GATED_BUILD,
    GATED_UNITS,
    QUICK,
    TEXTON,
    alive,
    check_complete,
    finished,
    open_gate,
    shut_gate,
    start,
    until,
    workers,
)
from tests.helpers import Run
from texton.jobs.store import TEMPORARY, Store, Unit

pytestmark = pytest.mark.slow


def kill_a_worker_then_all(root: Path, process: subprocess.Popen[str], mark: str) -> list[int]:
    """``kill -9`` of a worker, of the parent once a new one is at work; who worked in the end."""
    until(lambda: finished(root) >= 6, process)
    first = workers(process.pid, mark)
    os.kill(first[0], signal.SIGKILL)
    until(lambda: bool(set(workers(process.pid, mark)) - set(first)), process)
    before = finished(root)
    open_gate(root.parent, 6)
    until(lambda: finished(root) > before + 2, process)
    crew = workers(process.pid, mark)
    process.kill()
    process.communicate()
    assert crew and first[0] not in crew
    return crew


def test_kill_9_of_a_worker_then_of_the_parent_and_the_next_run_finishes(
    tmp_path: Path, run: Run
) -> None:
    root = tmp_path / "a"
    shut_gate(tmp_path, after=6)
    with start(*GATED_BUILD, cwd=tmp_path) as process:
        crew = kill_a_worker_then_all(root, process, "spawn_main")
    until(lambda: not any(map(alive, crew)))
    assert finished(root) < GATED_UNITS
    open_gate(tmp_path)
    store = Store.open(root)
    assert not store.is_locked()
    first, second, *_, last = (unit for unit in store.units() if store.record(unit))
    store.sidecar(first).write_text('{"format": "texton-')  # a crash of the machine: cut short
    store.sidecar(second).unlink()  # a kill between picture and sidecar
    (store.picture(last).parent / ".chelsea.png.abc.tmp").write_bytes(b"half")
    kept = store.picture(last).stat().st_mtime_ns
    again = run("atlas", "build", "--out", "a", "--json")
    assert again.code == 0, again.err
    made = json.loads(again.out)
    assert made["done"] == made["units"] == GATED_UNITS and not made["failed"] + made["left"]
    check_complete(root, GATED_UNITS)
    assert store.picture(last).stat().st_mtime_ns == kept


def test_kill_9_of_rays_worker_then_of_the_parent_and_the_next_run_finishes(
    tmp_path: Path, run: Run
) -> None:
    root = tmp_path / "a"
    shut_gate(tmp_path, after=6)
    with start(*GATED_BUILD, "--engine", "ray", cwd=tmp_path) as process:
        crew = kill_a_worker_then_all(root, process, "ray::_serve")
    until(lambda: not any(map(alive, crew)))
    assert finished(root) < GATED_UNITS
    open_gate(tmp_path)
    assert run("atlas", "build", "--out", "a").code == 0
    check_complete(root, GATED_UNITS)


def test_ctrl_c_keeps_what_is_finished(tmp_path: Path) -> None:
    # As from a terminal: to the whole group, and the workers must not answer.
    shut_gate(tmp_path, after=6)
    with start(*GATED_BUILD, "--json", cwd=tmp_path, start_new_session=True) as process:
        until(lambda: finished(tmp_path / "a") >= 6, process)
        crew = workers(process.pid)
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate()
    assert process.returncode == 130, err
    assert "interrupted" in err and "Traceback" not in err
    assert not any(map(alive, crew))
    made = json.loads(out)
    assert 5 < made["done"] == finished(tmp_path / "a") < GATED_UNITS
    assert not list(tmp_path.rglob(TEMPORARY))


# A file system of a megabyte, in a mount namespace of its own: nothing to clean up, and where
# user namespaces are allowed no need to be root.
SMALL_DISK = """
mkdir disk && mount -t tmpfs -o size=1m tmpfs disk || exit 99
cd disk && head -c 700000 /dev/zero > filler
"$@"
code=$?
cp -a a ../a
exit $code
"""


def on_a_small_disk(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    rights = "-m" if os.geteuid() == 0 else "-rm"
    command = ["unshare", rights, "sh", "-c", SMALL_DISK, "sh", *words]
    try:
        done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("a small disk is mounted by `unshare`, of Linux")
    if done.returncode == 99 or done.stderr.startswith("unshare:"):
        pytest.skip(f"this machine does not let a test mount a small disk: {done.stderr.strip()}")
    return done


def test_a_full_disk_ends_the_build_in_one_line_and_the_next_run_finishes(
    tmp_path: Path, run: Run
) -> None:
    many = (str(CAT), "--out", "a", "--layers", "relu1_1,relu1_2", "--channels", "0-31", *QUICK)
    full = on_a_small_disk(*TEXTON, "atlas", "build", *many, cwd=tmp_path)
    assert full.returncode == 2, full.stderr
    errors = [line for line in full.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and "No space left on device" in errors[0], full.stderr
    assert "Traceback" not in full.stderr and full.stdout == ""
    root = tmp_path / "a"
    store = Store.open(root)
    assert 0 < store.status()["done"] == finished(root) < 64
    assert not list(root.rglob(TEMPORARY))
    assert run("atlas", "build", "--out", "a").code == 0
    check_complete(root, 64)


DEADLY = """
import os, signal
from pathlib import Path
import torch
from torch import nn

class Deadly(nn.Module):
    def forward(self, x):
        if x.requires_grad and Path("deadly").exists():
            os.kill(os.getpid(), signal.SIGKILL)
        return x

def network():
    torch.manual_seed(0)
    first, second = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
    return nn.Sequential(first, nn.ReLU(), Deadly(), second, nn.ReLU())
"""


def test_a_unit_that_kills_its_workers_is_named_and_stops_no_other(
    tmp_path: Path, run: Run
) -> None:
    (tmp_path / "net.py").write_text(DEADLY)
    (tmp_path / "deadly").touch()
    words = (CAT, "--out", "a", "--network", "net.py:network", "--channels", "1", *QUICK)
    failed = run("atlas", "build", *words, "--workers", "1", "--json")
    assert failed.code == 1, failed.err
    assert "1 unit failed" in failed.err and "Traceback" not in failed.err
    made = json.loads(failed.out)
    assert (made["units"], made["done"], made["failed"], made["left"]) == (2, 1, 1, 0)
    record = Store.open(tmp_path / "a").record(Unit("4", 1, "chelsea"))
    assert record is not None and record["status"] == "failed" and "SIGKILL" in record["reason"]
    (tmp_path / "deadly").unlink()
    assert run("atlas", "build", "--out", "a").code == 0
    check_complete(tmp_path / "a", 2)
