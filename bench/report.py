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


def seconds_of(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def interleaved(works: Sequence[Callable[[], object]], rounds: int) -> list[list[float]]:
    """Seconds of every work in every round, one after the other, so that noise hits all alike."""
    for work in works:
        work()
    times: list[list[float]] = [[] for _ in works]
    for _ in range(rounds):
        for spent, work in zip(times, works, strict=True):
            spent.append(seconds_of(work))
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


def machine() -> str:
    """The processor, cores, threads, dtype and versions that the figures are of."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                name = line.split(":", 1)[1].strip()
                break
    how = texton.network.device.choose_compute("cpu").describe()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return (
        f"{name}, {cores} cores, {torch.get_num_threads()} threads, {how['dtype']}, "
        f"torch {torch.__version__}, Python {platform.python_version()}"
    )


def peak_flops(dtype: torch.dtype, side: int = 2048) -> float:
    """Operations a second of the fastest of five matrix products."""
    a, b = torch.randn(side, side).to(dtype), torch.randn(side, side).to(dtype)
    best = min(seconds_of(lambda: a @ b) for _ in range(5))
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
