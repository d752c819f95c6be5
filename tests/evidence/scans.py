"""What the tests of scans share: a small network, pictures for it, an engine without processes."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

from texton.jobs.scan import Scan, open_scan
from texton.jobs.scan_asked import ScanAsked
from texton.methods.command import NetworkOptions

SIZE, FILTERS = 48, 5
SOURCE = """
from tests.evidence.scans import small
def make():
    return small(padding=1), {"mean": 0.5, "std": 0.25, "input_range": 1.0, "channels": 3}
def other():
    return small(padding=1, seed=4)
def bare():
    return small(padding=0), {"mean": 0.5, "std": 0.25, "input_range": 1.0, "channels": 3}
"""


def small(padding: int, seed: int = 3) -> nn.Module:
    """Two convolutions with a pool between; filter 4 of the last is never on."""
    torch.manual_seed(seed)
    module = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=padding),
        nn.ReLU(),
        nn.AvgPool2d(2),
        nn.Conv2d(4, FILTERS, 3, stride=2, padding=padding),
        nn.ReLU(),
    )
    last = module[3]
    assert isinstance(last, nn.Conv2d) and last.bias is not None
    with torch.no_grad():
        last.bias[4] = -1000
    return module


def write_pictures(folder: Path, count: int, first: int = 0) -> Path:
    """Blobs in colours, of two shapes, in folders in folders."""
    for number in range(first, first + count):
        random = np.random.default_rng(number)
        coarse = Image.fromarray(random.integers(0, 256, (6, 6, 3), np.uint8))
        shape = (SIZE, SIZE - 8) if number % 3 else (SIZE, SIZE)
        place = folder / ("deep/down" if number % 2 else "") / f"p{number:02}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        coarse.resize(shape, Image.Resampling.BICUBIC).save(place)
    return folder


def asked(folder: Path, network: str, **more: Any) -> ScanAsked:
    options = NetworkOptions(network=network, device="cpu")
    reading = {key: more[key] for key in ("white", "crop") if key in more}
    return ScanAsked(folder, options, more.get("layers"), SIZE, 4, 0, **reading)


class Inline:
    """As many workers as asked for, in turn, in this process; ``dies`` after so many blocks."""

    def __init__(self, workers: int = 1, dies: int | None = None) -> None:
        self.workers, self.dies = workers, dies

    def close(self) -> None: ...

    def run(self, jobs: Sequence[Sequence[Any]], work: Any) -> Generator[Any, None, None]:
        crew = [type(work)(**work.__getstate__()) for _ in range(self.workers)]
        for number, job in enumerate(jobs):
            if self.dies is not None and number >= self.dies:
                return
            worker = crew[number % self.workers]
            worker.prepare()
            yield from worker(job)


def scan(
    folder: Path,
    root: Path,
    network: str,
    engine: Inline | None = None,
    tell: Callable[..., None] = lambda *_: None,
    **more: Any,
) -> Scan:
    """All of ``texton scan`` but the talking."""
    with open_scan(asked(folder, network, **more), root) as opened:
        opened.look(folder, tell)
        list(opened.run(engine or Inline()))
        opened.merge()
    return opened


def layer_bytes(root: Path) -> dict[str, bytes]:
    """The layers' files, by name."""
    found = {path.name: path.read_bytes() for path in root.glob("layers-*/*.npz")}
    assert found
    return found
