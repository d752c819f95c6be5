"""All experiments, by name."""

from __future__ import annotations

from texton.experiments import figure1, figure2, figure3, figure4, figure5
from texton.experiments.frame.experiment import Experiment

EXPERIMENTS: dict[str, Experiment] = {
    module.EXPERIMENT.name: module.EXPERIMENT
    for module in (figure1, figure2, figure3, figure4, figure5)
}
