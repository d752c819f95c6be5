"""What trainings may be told; no torch is loaded for it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from texton.errors import TextonError
from texton.methods.options import MAX_SEED, Options, option

MAX_STEPS = 10_000_000
_LAST_RATE = 0.02  # of the first
_FREE = ("steps", "minutes", "rate", "every", "dtype")  # may change from one run to the next


@dataclass(frozen=True)
class TrainingOptions(Options):
    """How long, on how much, from which seed."""

    steps: int | None = option(
        None, "Of the optimiser, in all [4000, without --minutes]", low=1, high=MAX_STEPS
    )
    minutes: float | None = option(None, "Or as long as this, in all.", above=0)
    batch: int = option(4, "Crops side by side in a step.", low=1, high=1024)
    crop: int = option(128, "Side of crops in pixels.", low=32, high=2048)
    rate: float = option(1e-3, "Adam's, at the start; it falls along a cosine.", above=0)
    seed: int = option(0, "The same seed trains the same network.", low=0, high=MAX_SEED)
    every: int = option(250, "Steps from one sample picture to the next.", low=1)
    dtype: str = option(
        "auto",
        "float32 or bfloat16 (mixed precision); auto: bfloat16 where it is native.",
        choices=("auto", "float32", "bfloat16"),
    )
    most: int = option(4000, "Photographs kept in memory, 0.6 MB each.", low=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.steps is not None and self.minutes is not None:
            raise TextonError("--steps and --minutes each say when to end: give one of them")
        if self.steps is None and self.minutes is None:
            object.__setattr__(self, "steps", 4000)

    def decides(self) -> dict[str, Any]:
        """What has to be the same where a training is gone on with."""
        return {key: value for key, value in self.as_json().items() if key not in _FREE}

    def progress(self, steps: int, seconds: float) -> float:
        """Which share of the training is behind it, 0 to 1."""
        if self.steps is not None:
            return min(1.0, steps / self.steps)
        return min(1.0, seconds / (60 * (self.minutes or 1)))

    def rate_at(self, share: float) -> float:
        """Adam's rate where such a share of the training is behind it."""
        fallen = (1 - math.cos(math.pi * share)) / 2
        return self.rate * (1 - (1 - _LAST_RATE) * fallen)


@dataclass(frozen=True)
class DecoderOptions(TrainingOptions):
    """Of ``texton train decoder``."""

    pixels: float = option(1.0, "Weight of the error in pixels.", low=0)
    code: float = option(1.0, "Weight of the error in the code of what is decoded.", low=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.pixels and not self.code:
            raise TextonError("--pixels 0 and --code 0 leave nothing to train on: raise one")
