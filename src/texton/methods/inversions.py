"""What inversions of a code may be told, and how the solver then goes about them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from texton.errors import TextonError
from texton.methods.options import Solving, option
from texton.solve.presets import MAX_STEPS, SolverSettings, solver_settings

_STEPS = {"fast": 50, "normal": 100, "fine": 267}


@dataclass(frozen=True)
class Inverting(Solving):
    """What natural images are like, for inversions of a code; 0 turns a term off."""

    tv: float = option(0.1, "Weight of total variation (β = 2).", low=0)
    alpha_norm: float = option(0.0, "Weight of the α-norm (α = 6): no extreme colours.", low=0)
    jitter: int = option(0, "Random shifts by up to so many pixels.", low=0)
    fourier: bool = option(False, "Optimise a spectrum with decorrelated colours, not pixels.")

    def __post_init__(self) -> None:
        super().__post_init__()
        priors = (self.alpha_norm, self.jitter, self.fourier, self.tv != 0.1)
        if self.preset == "paper" and any(priors):
            raise TextonError("the paper preset is the 2016 algorithm alone: leave the priors out")

    @property
    def evaluations(self) -> int:
        """How many steps the solver is going to make."""
        return inversion_steps(self.preset, self.steps)

    def settings(self) -> SolverSettings:
        return _settings(self)


@dataclass(frozen=True)
class Decoding(Inverting):
    """Inverting by a trained decoder, or from where it gets."""

    decoder: Path | None = option(
        None,
        "A file of `texton train decoder`: in one pass, without the solver.",
        named=True,
        holds="decoder",
    )
    polish: int = option(
        0, "Steps of the solver from what --decoder gives.", low=0, high=MAX_STEPS, named=True
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.polish and self.decoder is None:
            raise TextonError("--polish goes on from what a decoder gives: add --decoder FILE")
        if self.decoder is not None and self.steps is not None:
            raise TextonError("with --decoder the solver's steps are --polish: leave --steps out")
        if self.decoder is not None and (self.fourier or self.preset == "paper"):
            raise TextonError("a decoder gives pixels: leave out --fourier and the paper preset")

    @property
    def evaluations(self) -> int:
        return super().evaluations if self.decoder is None else self.polish


def inversion_steps(preset: str, steps: int | None) -> int:
    """The most evaluations that a code inversion takes: a preset's own, or what was asked for."""
    asked = solver_settings(preset, steps=steps).steps
    return asked if steps is not None else _STEPS.get(preset, asked)


def _settings(told: Inverting) -> SolverSettings:
    """A whole code can be reached, so the solver may be gentler and end finer.

    Curvature helps where every step sees the same problem in bounded pixels: half of Adam's
    error. A jittered image is another problem each time.
    """
    settings = solver_settings(told.preset, steps=told.steps, jitter=told.jitter)
    if told.preset == "paper":
        return settings
    steady = not (told.jitter or told.fourier)
    return replace(
        settings,
        steps=told.evaluations,
        rule="lbfgs" if steady else "adam",
        learning_rate=0.05,
        final_rate=0.1 if steady else 0.0,
        betas=(0.5, 0.9),
        contrast=0.05,
        tv=0.0,
        opening=0,
        early_stop=False,
    )
