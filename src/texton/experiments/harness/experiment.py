"""One experiment: what it asks, how, and the function that answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from texton.experiments.harness.lab import Lab
from texton.experiments.harness.options import Options
from texton.experiments.harness.samples import PHOTOS
from texton.experiments.report.findings import Findings


@dataclass(frozen=True)
class Experiment:
    """
    Attributes:
        section: of the paper.
        question: one or two sentences.
        method: paragraphs in plain words.
        uses: which of ``preset`` (and with it ``steps``), ``filters``, ``repeats``
            and ``decoders`` it heeds.
        defaults: a run of a few minutes on two cores.
        samples: the photographs where none are given; see `samples.sample`.
    """

    name: str
    title: str
    section: str
    question: str
    method: tuple[str, ...]
    run: Callable[[Lab], Findings]
    uses: tuple[str, ...] = ("preset",)
    defaults: Options = field(default_factory=Options)
    takes_folder: bool = False
    samples: tuple[str, ...] = PHOTOS
