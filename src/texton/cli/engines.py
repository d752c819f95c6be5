"""Where a command's pictures are computed: in processes of this machine, or by Ray."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from texton.errors import TextonError
from texton.methods.options import Options, option

if TYPE_CHECKING:
    from texton.jobs.engines import Engine


@dataclass(frozen=True)
class EngineOptions(Options):
    """Which workers, and how many."""

    engine: str = option("local", "local or ray.", choices=("local", "ray"))
    workers: int | None = option(
        None, "How many units at a time [one per core; one on a GPU]", low=1, high=10_000
    )
    address: str | None = option(None, "Of a Ray cluster that is running: HOST:PORT or auto.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.address is not None and self.engine != "ray":
            raise TextonError("--address is a Ray cluster's: add --engine ray")


def make_engine(told: EngineOptions, device: str) -> Engine:
    """The workers, for pictures that are computed on a device.

    Raises:
        TextonError: Ray is not installed or does not answer, or is told which GPU to take.
    """
    from texton.jobs.engines import LocalEngine, RayEngine

    if told.engine == "ray":
        if ":" in device:
            raise TextonError(f"--device {device}: Ray chooses the GPU, use --device cuda")
        return RayEngine(told.address, told.workers, gpus=1 if device == "cuda" else 0)
    return LocalEngine(told.workers or (None if device == "cpu" else 1))
