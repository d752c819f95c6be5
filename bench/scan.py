"""What a scan costs beside the bare forward pass: both on the same pictures, in turn.

    python bench/scan.py [--size 224] [--pictures 8] [--rounds 5] [--network vgg19] [--device cpu]
                         [--threads 1]

The bare pass runs the network to the deepest layer scanned and keeps nothing. The scan does that
and takes from every rectified layer what `texton scan` keeps. Reading pictures from the disk is in
neither. Rounds are interleaved and the ratio is of their medians. One thread, as each of a scan's
workers has.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch

from texton.evidence.geometry import measure_layers
from texton.evidence.sweep import Sweep
from texton.jobs.allocator import settle_allocator
from texton.network.choose import choose_layers
from texton.network.device import choose_compute
from texton.network.load import load_network


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--pictures", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--network", default="vgg19")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    network, compute = load_network(asked.network), choose_compute(asked.device)
    settle_allocator(asked.size**2)  # as the workers do
    names = choose_layers(None, network)
    layers = measure_layers(network, names, asked.size)
    generator = torch.Generator().manual_seed(0)
    shape = (1, network.channels, asked.size, asked.size)
    images = [torch.rand(shape, generator=generator) for _ in range(asked.pictures)]
    hashes = np.random.default_rng(0).integers(0, 2**63, len(images)).astype(np.uint64)
    deepest = network.encoder(names[-1], compute)
    sweep = Sweep(network, layers, compute, 16, 0)
    states = sweep.nothing()

    def bare() -> None:
        with torch.no_grad():
            for start in range(0, len(images), compute.batch):
                deepest(torch.cat(images[start : start + compute.batch]))

    def scan() -> None:
        sweep.run(states, images, np.arange(len(images)), hashes)

    ways = {"bare forward pass": bare, "scan": scan}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(asked.rounds + 1):
        for name, work in ways.items():
            taken = timed(work, compute.device)
            if number:  # the first round warms up
                seconds[name].append(taken)
    medians = {name: statistics.median(each) for name, each in seconds.items()}
    filters = sum(layer.filters for layer in layers)
    size = f"{asked.size}×{asked.size}"
    told = ", ".join(compute.describe().values())
    print(f"{network.name}, {len(layers)} layers, {filters:,} filters, {size}, {told}")
    for name, median in medians.items():
        print(f"{name:18} {1000 * median / asked.pictures:8.1f} ms a picture")
    arrays = [array for state in states.values() for array in state.arrays().values()]
    kept = sum(array.nbytes for array in arrays) / 1e6
    ratio = medians["scan"] / medians["bare forward pass"]
    print(f"ratio {ratio:.2f}, state {kept:.1f} MB")


def timed(work: Callable[[], None], device: torch.device) -> float:
    started = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
