"""What a user chooses about an experiment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from texton.methods.command import LARGEST, SMALLEST
from texton.methods.options import Solving, option

_MAX_COUNT = 10_000
_MAX_SEED = 2**32 - 1  # experiments derive seeds by multiplying it


@dataclass(frozen=True)
class Options(Solving):
    """The settings of one experiment; every experiment has its own defaults."""

    photos: tuple[Path, ...] = option((), "Photographs: files or folders; samples by default.")
    styles: tuple[Path, ...] = option((), "Style pictures: files or folders; samples by default.")
    folder: Path | None = option(None, "Of style-identity: one subfolder per style.", hidden=True)
    decoders: tuple[Path, ...] = option((), "Of decoders: files of `texton train decoder`.")
    network: str = option("vgg19", "See `texton networks`.")
    layers: tuple[str, ...] = option((), "Comma-separated; the paper's by default.")
    size: int = option(96, "Long edge in pixels.", low=SMALLEST, high=LARGEST)
    preset: str = Solving.declared("preset", "fast")
    filters: int = option(8, "Filters per layer.", low=1, high=_MAX_COUNT)
    repeats: int = option(2, "Independent draws.", low=1, high=_MAX_COUNT)
    seed: int = option(0, "The same seed gives the same pictures.", low=0, high=_MAX_SEED)
    device: str = option("auto", "auto, cpu, cuda or mps.")

    def given(self, chosen: Mapping[str, Any]) -> Self:
        """With what the user chose; None and empty choices keep the default.

        A preset brings its own steps: those of the default would be all that is left of it.
        """
        kept = {key: value for key, value in chosen.items() if value not in (None, ())}
        if "preset" in kept:
            kept.setdefault("steps", None)
        return replace(self, **kept)
