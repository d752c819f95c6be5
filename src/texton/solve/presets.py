"""How long and how the solver works: named settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from texton.errors import TextonError, near_names

MAX_STEPS = 100_000


@dataclass(frozen=True)
class SolverSettings:
    """What the solver does, apart from what it minimises.

    Attributes:
        steps: the most evaluations of the network, the opening included.
        learning_rate: per step, in units of the image's range [0, 1]; falls along a cosine
            to ``final_rate`` of it.
        betas: Adam's two averages.
        opening: steps that raise a filter's pre-activation before the inversion proper.
        contrast: standard deviation of the noise that an image starts from.
        early_stop: end when the error no longer falls.
        tv: weight of total variation in feature map inversions. At 0.1 it takes away the
            checkerboard that shallow filters are blind to and leaves the error as it is.
        jitter: shift the image by up to so many pixels in every step but the last fifth.
        weight_decay: of ``sgd2016`` alone.
        rule: ``adam``; ``lbfgs``, bounded quasi-Newton, whose ``learning_rate`` is the longest
            step in the mean over pixels; ``ascent``, whose is every step's; ``sgd2016``: the
            paper's, on unbounded images, denoised at the end; or ``history``: Yosinski's.
    """

    steps: int = 72
    learning_rate: float = 0.24
    final_rate: float = 0.1
    betas: tuple[float, float] = (0.5, 0.8)
    opening: int = 3
    contrast: float = 0.25
    early_stop: bool = True
    tv: float = 0.1
    jitter: int = 0
    weight_decay: float = 5e-4
    rule: Literal["adam", "lbfgs", "sgd2016", "ascent", "history"] = "adam"


PRESETS = {
    "fast": SolverSettings(steps=30, learning_rate=0.16, final_rate=0.2),
    "normal": SolverSettings(),
    "fine": SolverSettings(steps=160, final_rate=0.05),
    "paper": SolverSettings(steps=1000, rule="sgd2016", learning_rate=0.1, opening=0, tv=0.0),
}

# Of maximising in a spectrum. A window is another problem in every step: averages are longer, and
# what no longer rises cannot be told from what is seen elsewhere.
_RISING = SolverSettings(
    steps=256,
    learning_rate=0.0125,
    betas=(0.9, 0.99),
    opening=6,
    contrast=0.0025,
    early_stop=False,
    tv=0.0,
)
MAXIMISING = {
    "fast": replace(_RISING, steps=64, learning_rate=0.025),
    "normal": replace(_RISING, steps=224, learning_rate=0.018),
    "fine": replace(_RISING, steps=512),
}

# On pixels, as before Fourier: a step is so far on the average, and blurred again.
HISTORY = replace(
    _RISING, steps=256, learning_rate=0.02, final_rate=0.25, contrast=0.04, rule="history"
)
# Of what is bounded, and the same in every step.
MATCHING = {name: replace(x, early_stop=True) for name, x in MAXIMISING.items()}

# Of phases, in radians.
_TURNING = replace(_RISING, learning_rate=0.5)
NATURAL = {name: replace(_TURNING, steps=x.steps) for name, x in MAXIMISING.items()}
# From a photograph, which is not to be left far behind.
ACCENTUATING = {
    "fast": replace(_RISING, steps=32, opening=0),
    "normal": replace(_RISING, steps=100, opening=0),
    "fine": replace(_RISING, steps=200, opening=0),
}


def solver_settings(
    preset: str = "normal",
    *,
    steps: int | None = None,
    jitter: int = 0,
    presets: Mapping[str, SolverSettings] = PRESETS,
) -> SolverSettings:
    """A preset; ``steps`` sets their exact number and turns early stopping off.

    Raises:
        TextonError: an unknown preset or a number out of range.
    """
    if preset not in presets:
        raise TextonError(
            f"unknown preset '{preset}'{near_names(preset, presets)}: use {', '.join(presets)}"
        )
    settings = presets[preset]
    if jitter < 0:
        raise TextonError(f"jitter is {jitter}: use 0 or more pixels")
    if steps is not None:
        if not 1 <= steps <= MAX_STEPS:
            raise TextonError(f"steps is {steps}: use 1 to {MAX_STEPS}")
        settings = replace(settings, steps=steps, early_stop=False)
    return replace(settings, jitter=jitter)
