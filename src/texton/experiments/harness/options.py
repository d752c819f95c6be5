"""What a user chooses about an experiment."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from texton.errors import TextonError
from texton.methods.seeds import check_seed

_MAX_COUNT = 10_000
_MAX_SEED = 2**32 - 1  # experiments derive seeds by multiplying it


@dataclass(frozen=True)
class Options:
    """The settings of one experiment; every experiment has its own defaults.

    Attributes:
        photos, styles: image files; empty for the samples that come along.
        folder: of `style-identity`, one subfolder per style.
        network: as in `texton.load_network`.
        layers: the layers looked at; empty for the paper's, or five of any other network.
        size: long edge in pixels.
        preset, steps: of the solver.
        filters: how many filters (or directions) per layer.
        repeats: how many independent draws (random shares, starts, crops).
        seed: the same seed gives the same pictures and numbers on the same machine.
    """

    photos: tuple[Path, ...] = ()
    styles: tuple[Path, ...] = ()
    folder: Path | None = None
    network: str = "vgg19"
    layers: tuple[str, ...] = ()
    size: int = 96
    preset: str = "fast"
    steps: int | None = None
    filters: int = 8
    repeats: int = 2
    seed: int = 0
    device: str = "auto"

    def __post_init__(self) -> None:
        for name in ("filters", "repeats"):
            if not 1 <= getattr(self, name) <= _MAX_COUNT:
                raise TextonError(f"--{name} is {getattr(self, name)}: use 1 to {_MAX_COUNT}")
        check_seed(self.seed, _MAX_SEED)

    def given(self, chosen: dict[str, Any]) -> Options:
        """With what the user chose; None and empty choices keep the default.

        A preset brings its own steps: those of the default would be all that is left of it.
        """
        known = {field.name for field in fields(self)}
        kept = {key: value for key, value in chosen.items() if value not in (None, ())}
        if "preset" in kept:
            kept.setdefault("steps", None)
        return replace(self, **{key: value for key, value in kept.items() if key in known})
