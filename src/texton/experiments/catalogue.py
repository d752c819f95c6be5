"""All experiments, by name."""

from __future__ import annotations

from texton.errors import TextonError, near_names
from texton.experiments.claims import (
    assembly,
    decoders,
    depth,
    energy_or_gram,
    inversion_or_maximum,
    projections,
    reallocation,
    specific_texture,
    style_identity,
    textures,
)
from texton.experiments.figures import figure1, figure2, figure3, figure4, figure5
from texton.experiments.harness.experiment import Experiment

_MODULES = (
    figure1,
    figure2,
    figure3,
    figure4,
    figure5,
    specific_texture,
    depth,
    reallocation,
    style_identity,
    energy_or_gram,
    assembly,
    projections,
    inversion_or_maximum,
    decoders,
    textures,
)
EXPERIMENTS: dict[str, Experiment] = {m.EXPERIMENT.name: m.EXPERIMENT for m in _MODULES}


def find_experiment(name: str) -> Experiment:
    """The experiment of that name; TextonError names the nearest."""
    if name not in EXPERIMENTS:
        raise TextonError(
            f"there is no experiment '{name}'{near_names(name, EXPERIMENTS)}: "
            "`texton experiment list` names them"
        )
    return EXPERIMENTS[name]
