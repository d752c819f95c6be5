"""The command line and the workers keep what they free for the next step; a library does not."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from tests.conftest import EXAMPLES, Run
from texton import TextonError
from texton.experiments.harness import run as harness
from texton.jobs import allocator

_KEPT = """
import os, sys
import torch
from texton.jobs.allocator import settle_allocator

def held():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE") >> 20

for pixels in map(int, sys.argv[1:]):
    settle_allocator(pixels)
    before = held()
    codes = torch.ones(50 << 18)  # 50 MiB
    del codes
    print(held() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
@pytest.mark.slow
def test_small_codes_are_kept_and_those_of_large_images_given_back() -> None:
    sizes = [str(side * side) for side in (64, 2000)]
    run = subprocess.run([sys.executable, "-c", _KEPT, *sizes], capture_output=True, text=True)
    assert not run.returncode, run.stderr
    kept, given_back = map(int, run.stdout.split())
    assert kept > 45, "MiB stay for the next step's codes"
    assert given_back <= 5, "MiB"


@pytest.mark.slow
def test_commands_that_solve_settle_their_own_process(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_further(*_: object, **__: object) -> None:
        raise TextonError("far enough")

    settled: list[int] = []
    monkeypatch.setattr(allocator, "settle_allocator", settled.append)
    monkeypatch.setattr(harness, "run_experiment", no_further)
    assert (
        run("filter", EXAMPLES / "chelsea.jpg", "relu1_1:0", "--size", 32, "--steps", 1).code == 0
    )
    assert "far enough" in run("experiment", "figure1", "--size", 64).err
    assert 0 < settled[0] <= 32 * 32 and settled[1:] == [64 * 64]
