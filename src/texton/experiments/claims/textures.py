"""What do sums of feature maps lack of a texture that other statistics have?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from texton.experiments.harness.experiment import Experiment
from texton.experiments.harness.lab import Lab, need
from texton.experiments.harness.options import Options
from texton.experiments.harness.series import textures_of
from texton.experiments.measures.statistics import Estimate, mean_interval
from texton.experiments.measures.texture_quality import (
    Described,
    Scale,
    copied,
    described,
    halves,
    patch_distance,
    repeat_distance,
    without_phase,
)
from texton.experiments.report.findings import Cell, Findings, Outcome
from texton.images.folder import Picture
from texton.images.sheets import make_rows

STATISTICS = {
    "means": "sums",
    "moments": "moments",
    "gram": "Gram",
    "shifted": "shifted Gram",
}
PHASES = "phases at random"
MEASURES = {
    "patches": "patches in colour",
    "structure": "patches in grey",
    "repeats": "what repeats",
}
_ALIKE = 0.1  # of the way from the source's own halves to another texture
_COPY = 0.1  # more of a texture's patches than of the source's other half

Distances = dict[str, float]


@dataclass(frozen=True)
class Measured:
    """A source, and its textures by statistic: scores by measure, and how much is copied.

    Attributes:
        chance: what is copied of the source's one half by its other.
        scores: 0 as the source's own halves, 1 as another texture; of the measures by which these
            lie apart.
    """

    source: Picture
    chance: float
    scores: Mapping[str, Distances]
    copies: Mapping[str, float]


def run(lab: Lab) -> Findings:
    need(len(lab.photos) > 1, "one texture is given: the others are its scale, name two or more")
    findings = Findings()
    every = {
        (source.name, statistic): textures_of(lab, source, statistic)
        for source in lab.photos
        for statistic in STATISTICS
    }
    lab.make(list(every.values()))
    pictures = {
        source.name: {
            **{name: lab.picture(every[source.name, name]) for name in STATISTICS},
            PHASES: without_phase(source.image[0], lab.options.seed),
        }
        for source in lab.photos
    }
    known = {source.name: described(source.image[0]) for source in lab.photos}
    found = [_measured(source, known, pictures[source.name]) for source in lab.photos]
    judge(findings, found)
    _table(findings, found)
    rows = []
    for source in lab.photos:
        made = pictures[source.name]
        named = [(STATISTICS.get(name, name), image) for name, image in made.items()]
        rows.append([(source.name, source.image[0]), *named])
    findings.show("The textures", make_rows(rows, height=lab.options.size, width=150))
    findings.limits += [
        f"{len(found)} textures; each is one draw of noise.",
        "What repeats further apart than a quarter of the side is not judged.",
    ]
    for name, title in MEASURES.items():
        if left := [x.source.name for x in found if name not in x.scores[PHASES]]:
            findings.limits.append(
                f"Left out in {title}, as halves differ as textures do: {', '.join(left)}."
            )
    return findings


def _measured(
    source: Picture, known: Mapping[str, Described], made: Mapping[str, Tensor]
) -> Measured:
    """
    Args:
        known: every source by name.
        made: its textures by statistic.
    """
    image, own = source.image[0], known[source.name]
    apart = [distances(x, own) for name, x in known.items() if name != source.name]
    own_halves = [halves(image, axis) for axis in (-1, -2)]
    inside = [distances(*map(described, pair)) for pair in own_halves]
    every = {
        name: Scale(min(x[name] for x in inside), float(np.median([x[name] for x in apart])))
        for name in MEASURES
    }
    scales = {name: scale for name, scale in every.items() if scale.tells}
    scores = {}
    for kind, texture in made.items():
        found = distances(described(texture), own)
        scores[kind] = {name: scale(found[name]) for name, scale in scales.items()}
    copies = {kind: copied(texture, image) for kind, texture in made.items()}
    one, other = own_halves[0]
    return Measured(source, copied(other, one), scores, copies)


def distances(a: Described, b: Described) -> Distances:
    """Of two pictures, by measure."""
    return {
        "patches": patch_distance(a.patches, b.patches),
        "structure": patch_distance(a.structure, b.structure),
        "repeats": repeat_distance(a.repeats, b.repeats),
    }


def judge(findings: Findings, found: Sequence[Measured]) -> None:
    """What the sums lack, what moments give back of it, and what shifted Gram matrices add."""
    means = {kind: _means(found, kind) for kind in (*STATISTICS, PHASES)}
    findings.data["scores"] = {
        kind: {name: vars(x) for name, x in by.items()} for kind, by in means.items()
    }
    more = {name: _ahead(found, PHASES, "means", name) for name in ("patches", "structure")}
    findings.judge(
        "The sums of feature maps are a texture: more than its colours and its spectrum.",
        _outcome([x.low > 0 for x in more.values()]),
        "How far from the source, 0 as its own halves, 1 as another texture: "
        f"{_listed(means['means'])}; of its spectrum with random phases "
        f"{_listed(means[PHASES])}. Nearer by the sums, paired: {_listed(more)}.",
    )
    sees = _ahead(found, PHASES, "gram", "structure").low > 0
    if not sees:
        findings.limits.append(
            "Patches do not tell random phases from textures here, which the eye does: what they "
            "find alike may differ, and nothing can hold by them. Larger pictures may help."
        )
    lacks = {name: _ahead(found, "means", "gram", name) for name in MEASURES}
    findings.judge(
        "The sums lack nothing of a texture that Gram matrices have.",
        _none_lacking(lacks, sees),
        f"Nearer by Gram matrices than by the sums, paired: {_listed(lacks)}; Gram: "
        f"{_listed(means['gram'])}.",
    )
    spreads = {name: _ahead(found, "moments", "gram", name) for name in MEASURES}
    findings.judge(
        "With each map's standard deviation beside its sum, nothing is lacking.",
        _none_lacking(spreads, sees),
        f"Nearer by Gram matrices than by moments, paired: {_listed(spreads)}; moments: "
        f"{_listed(means['moments'])}.",
    )
    repeats = _ahead(found, "gram", "shifted", "repeats")
    findings.judge(
        "Gram matrices of shifted maps keep what repeats, which plain ones lose.",
        _outcome([repeats.low > 0]),
        f"Nearer by shifted Gram matrices in what repeats, paired: {repeats}; shifted: "
        f"{_listed(means['shifted'])}.",
    )
    copies = {k: mean_interval([x.copies[k] - x.chance for x in found]) for k in STATISTICS}
    findings.data["copied"] = {kind: vars(x) for kind, x in copies.items()}
    shares = ", ".join(f"{STATISTICS[kind]} {x}" for kind, x in copies.items())
    findings.judge(
        "None of these statistics copies its source.",
        _outcome([x.high < _COPY for x in copies.values()]),
        "Patches whose likest in the source lie side by side as they do, more than in the source's "
        f"own other half: {shares}.",
    )


def _none_lacking(lacks: Mapping[str, Estimate], sees: bool) -> Outcome:
    """Holds where no measure lacks a tenth and patches tell the control; is refuted where one
    surely lacks anything."""
    if sees and all(x.high < _ALIKE for x in lacks.values()):
        return "holds"
    return "not supported" if any(x.low > 0 for x in lacks.values()) else "partly"


def _outcome(passed: Sequence[bool]) -> Outcome:
    return "holds" if all(passed) else "partly" if any(passed) else "not supported"


def _means(found: Sequence[Measured], kind: str) -> dict[str, Estimate]:
    return {
        name: mean_interval([x.scores[kind][name] for x in found if name in x.scores[kind]])
        for name in MEASURES
    }


def _ahead(found: Sequence[Measured], far: str, near: str, name: str) -> Estimate:
    told = [x.scores for x in found if name in x.scores[far]]
    return mean_interval([x[far][name] - x[near][name] for x in told])


def _listed(found: Mapping[str, Estimate]) -> str:
    return ", ".join(f"{MEASURES[name]} {x}" for name, x in found.items())


def _table(findings: Findings, found: Sequence[Measured]) -> None:
    rows: list[list[Cell]] = []
    for one in found:
        for kind, scores in one.scores.items():
            row: list[Cell] = [one.source.name, STATISTICS.get(kind, kind)]
            rows.append([*row, *map(scores.get, MEASURES), one.copies[kind], one.chance])
    columns = ["source", "statistic", *MEASURES.values(), "copied", "copied by its other half"]
    findings.table("textures", "Every texture", columns, rows, _NOTE)


_NOTE = "0: as the source's own halves, 1: as another texture. A dash: the halves differ as those."
EXPERIMENT = Experiment(
    name="textures",
    title="What do the sums lack of a texture?",
    section="sections 2.3 and 3.3",
    question="The paper holds that how the energy is spread over filters is a texture. Textures "
    "made from noise to the sums alone show what that leaves out: is it anything?",
    method=(
        "From every source a texture is made by sums of feature maps, by sums and standard "
        "deviations, by Gram matrices, and by Gram matrices of shifted maps beside them, in as "
        "many steps. They are judged by what none has optimised: the sliced Wasserstein distance "
        "of 3×3 patches on a Gaussian pyramid, in colour, and in grey brought to one mean and "
        "spread; and the difference of autocorrelations, which tells what repeats.",
        "A distance is read between two others: 0 is that of the source's halves, 1 the "
        "median distance of the other sources; a source whose halves lie nearly as far apart is "
        "left out. Control: the source's own spectrum "
        "with random phases, which needs no network.",
        "Copies are counted: patches whose likest in the source lie side by side as they do, more "
        "than of the source's right half in its left.",
    ),
    run=run,
    defaults=Options(size=128, preset="fast"),
    samples=("brick", "grass", "gravel"),
)
