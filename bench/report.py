"""What the benchmarks share: ratios with their spread, tables, and docs/performance.md."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

import texton

PAGE = Path(__file__).parent.parent / "docs" / "performance.md"
SEED = 0


def photos(long_edge: int) -> dict[str, torch.Tensor]:
    """The two sample photographs, (1, 3, H, W)."""
    folder = PAGE.parent.parent / "examples"
    return {
        name: texton.read_image(folder / f"{name}.jpg", long_edge=long_edge)
        for name in ("chelsea", "coffee")
    }


def square(side: int) -> torch.Tensor:
    """A square of a photograph, (1, 3, side, side)."""
    photo = photos(2 * side)["chelsea"]
    if min(photo.shape[2:]) < side:
        photo = torch.nn.functional.interpolate(photo, (side, 2 * side), mode="bicubic")
    return photo[..., :side, :side].clamp(0, 1).contiguous()


def settle(device: str) -> None:
    """Wait until a device has done all that it was given."""
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)


def seconds_of(work: Callable[[], object], device: str = "cpu", repeats: int = 1) -> float:
    """Seconds of one of ``repeats`` runs in a row, until the device has done them."""
    settle(device)
    started = time.perf_counter()
    for _ in range(repeats):
        work()
    settle(device)
    return (time.perf_counter() - started) / repeats


def interleaved(
    works: Sequence[Callable[[], object]], rounds: int, device: str = "cpu", repeats: int = 1
) -> list[list[float]]:
    """Seconds of every work in every round, one after the other, so that noise hits all alike."""
    for work in works:
        seconds_of(work, device, repeats)
    times: list[list[float]] = [[] for _ in works]
    for _ in range(rounds):
        for spent, work in zip(times, works, strict=True):
            spent.append(seconds_of(work, device, repeats))
    return times


def ratios(above: Sequence[float], below: Sequence[float]) -> tuple[float, float, float]:
    """Median and quartiles of the ratios of two works' times, round by round."""
    each = sorted(a / b for a, b in zip(above, below, strict=True))
    return quartiles(each)


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """Median, lower and upper quartile."""
    if len(values) < 2:
        return values[0], values[0], values[0]
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return middle, low, high


def spread(of: tuple[float, float, float], digits: int = 2) -> str:
    middle, low, high = of
    return f"{middle:.{digits}f} ({low:.{digits}f}–{high:.{digits}f})"


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    lines += [f"| {' | '.join(str(cell) for cell in row)} |" for row in rows]
    return "\n".join(lines)


def machine(device: str = "cpu") -> str:
    """The processor, cores, threads, dtype and versions that the figures are of."""
    how = texton.network.device.choose_compute(device).describe()["dtype"]
    versions = f"torch {torch.__version__}, Python {platform.python_version()}"
    if device != "cpu":
        name = torch.cuda.get_device_name(device) if device.startswith("cuda") else device
        return f"{name}, {how}, {versions}"
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                name = line.split(":", 1)[1].strip()
                break
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{name}, {cores} cores, {torch.get_num_threads()} threads, {how}, {versions}"


def peak_flops(dtype: torch.dtype, device: str = "cpu") -> float:
    """Operations a second of the fastest of five matrix products."""
    side = 2048 if device == "cpu" else 8192
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    best = min(seconds_of(lambda: a @ b, device) for _ in range(5))
    return 2 * side**3 / best


def publish(name: str, text: str) -> None:
    """Print a section and put it into docs/performance.md between its two marks."""
    print(f"\n{text}\n", flush=True)
    start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    page = PAGE.read_text()
    if start not in page:
        page += f"\n{start}\n{end}\n"
    before, rest = page.split(start, 1)
    after = rest.split(end, 1)[1]
    new = PAGE.with_name(f".{PAGE.name}.tmp")
    new.write_text(f"{before}{start}\n{text}\n{end}{after}")
    new.replace(PAGE)
