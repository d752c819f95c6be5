"""The real VGG-19 on small photographs, and the command line as a user calls it."""

from __future__ import annotations

import functools
import multiprocessing
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import settings

import texton
from tests.helpers import EXAMPLES, Outcome, Run
from texton.network.frozen import weights_hash_of
from texton.network.weights import paper_vgg19

# This machine may be shared: properties are about values, never about time.
settings.register_profile("texton", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("texton")

# A shell's background jobs ignore Ctrl-C, and so would the processes that tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--device", default="all", help="test_device.py on cpu, cuda or mps alone")


@pytest.fixture(scope="session", autouse=True)
def _warm_workers() -> Iterator[None]:
    """Workers of this process's builds come of one that has imported torch: two seconds each.

    Builds that are processes of their own start theirs as a user's does.
    """
    from texton.jobs.engines import local

    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["pytest", "texton.jobs.work", "texton.methods.parts.setup"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(local, "_START", "forkserver")
        yield


@pytest.fixture(scope="session", autouse=True)
def _papers_weights_once() -> Iterator[None]:
    """Unpacked once and hashed once: half a second for every network and command otherwise."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "texton.network.load.paper_vgg19",
            lambda: {key: value.clone() for key, value in _weights().items()},
        )
        patch.setattr("texton.network.copies.weights_hash_of", _hash_of)
        yield


@functools.cache
def _weights() -> dict[str, torch.Tensor]:
    return paper_vgg19()


_HASHED: list[str] = []


def _hash_of(module: torch.nn.Module) -> str:
    """`weights_hash_of`; of the paper's weights, and of no others, as it was the first time."""
    now, papers = module.state_dict(), _weights()
    if now.keys() != papers.keys() or not all(_same(now[key], papers[key]) for key in papers):
        return weights_hash_of(module)
    if not _HASHED:
        _HASHED.append(weights_hash_of(module))
    return _HASHED[0]


def _same(one: torch.Tensor, other: torch.Tensor) -> bool:
    if (one.dtype, one.device, one.shape) != (other.dtype, other.device, other.shape):
        return False
    return torch.equal(one, other)


@pytest.fixture(scope="session")
def net() -> texton.Network:
    return texton.load_network("vgg19")


@pytest.fixture(scope="session")
def cat() -> torch.Tensor:
    return texton.read_image(EXAMPLES / "chelsea.jpg", 64)


@pytest.fixture(scope="session")
def coffee() -> torch.Tensor:
    return texton.read_image(EXAMPLES / "coffee.jpg", 64)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """``run("filter", photo, "relu1_1:0")`` in an empty folder; returns code, stdout, stderr."""
    from texton import cli  # here: a machine that only computes need not have what it imports

    monkeypatch.chdir(tmp_path)

    def call(*words: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["texton", *map(str, words)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        captured = capsys.readouterr()
        code = stop.value.code
        assert isinstance(code, int)
        return Outcome(code, captured.out, captured.err)

    return call
