"""How well distances between crops find works of one style, and what that says of the claims."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from texton.experiments.measures.describer import HELD_OUT
from texton.experiments.measures.statistics import (
    Array,
    Estimate,
    by_work,
    label_chance,
    mean_interval,
    retrieval,
)
from texton.experiments.report.findings import Cell, Findings, Outcome

if TYPE_CHECKING:
    from texton.experiments.claims.style_works import Crop

HISTOGRAM, SHUFFLED = "colour histogram", "means, channels shuffled"
COLOUR, GREY, MATCHED = "in colour", "in grey", "colours matched"
RANDOM, OTHER = "random weights", f"in colour, by {HELD_OUT}"
_FEW_WORKS, _FEW_STYLES = 30, 5
_MARGIN = 0.05  # of mAP: less does not count
_TIE = 1e-9  # distances are about 1; this only orders those that are equal


class Judge:
    """Scores of distances between the crops, by works."""

    def __init__(self, crops: Sequence[Crop], seed: int) -> None:
        self.styles = [crop.style for crop in crops]
        self.works = [crop.work for crop in crops]
        self.rows: list[list[Cell]] = []
        self.precisions: dict[tuple[str, str], Array] = {}
        self.chances: dict[tuple[str, str], tuple[float, float]] = {}
        self._seed = seed

    def score(self, pictures: str, name: str, layers: str, distances: Array) -> None:
        """Add a row; its average precisions, one per work, are kept for comparisons."""
        self.precisions[pictures, name] = self._by_work(distances)[0]
        precision, nearest = self.estimates(distances)
        chance, p = label_chance(
            self._untied(distances), self.styles, self.works, _mean_ap, 200, self._seed
        )
        self.chances[pictures, name] = chance, p
        cells: list[Cell] = [pictures, name, layers, precision.value, precision.low]
        self.rows.append([*cells, precision.high, chance, p, nearest.value])

    def estimates(self, distances: Array) -> tuple[Estimate, Estimate]:
        """Mean average precision and nearest-neighbour accuracy, intervals over works."""
        precision, nearest = (mean_interval(values) for values in self._by_work(distances))
        return precision, nearest

    def told(self, pictures: str, name: str) -> str:
        """Mean average precision with its interval."""
        return str(mean_interval(self.precisions[pictures, name]))

    def above_chance(self, *scored: tuple[str, str]) -> bool:
        """Whether all of these find more than when styles are dealt out at random."""
        return all(self.chances[key][1] < 0.05 for key in scored)

    def ahead(self, a: tuple[str, str], b: tuple[str, str]) -> Estimate:
        """How much more of a work's style ``a`` finds than ``b``: paired over works."""
        return mean_interval(self.precisions[a] - self.precisions[b])

    def _by_work(self, distances: Array) -> tuple[Array, Array]:
        precision, nearest = retrieval(self._untied(distances), self.styles, self.works)
        return by_work(precision, self.works), by_work(nearest, self.works)

    def _untied(self, distances: Array) -> Array:
        """Equal distances in random order: else that of the files, by style, would decide."""
        rng = np.random.default_rng(self._seed)
        return np.asarray(distances + _TIE * rng.random(distances.shape))


def _mean_ap(distances: Array, styles: Sequence[object], works: Sequence[object]) -> float:
    return float(by_work(retrieval(distances, styles, works)[0], works).mean())


def verdicts(findings: Findings, judge: Judge, own: bool) -> None:
    """All claims; few works, or the program's ``own``, support none of them more than partly."""
    style_of = dict(zip(judge.works, judge.styles, strict=True))
    per_style = Counter(style_of.values())
    works, styles = len(style_of), len(per_style)
    carrying = sum(count for count in per_style.values() if count > 1)
    best: Outcome = "holds"
    if own or carrying < _FEW_WORKS or styles < _FEW_STYLES:
        best = "partly"
    findings.data |= {"works": works, "styles": styles, "works_that_carry_the_number": carrying}
    above = judge.above_chance(*[(pictures, "means") for pictures in (COLOUR, GREY, MATCHED)])
    findings.judge(
        "The distribution of energy over feature maps tells whether two images have one style.",
        best if above else "not supported",
        f"mAP of the means {judge.told(COLOUR, 'means')} in colour, {judge.told(GREY, 'means')} "
        f"in grey, {judge.told(MATCHED, 'means')} with colours matched; chance "
        f"{judge.chances[COLOUR, 'means'][0]:.2f}; colour histogram "
        f"{judge.told(COLOUR, HISTOGRAM)}. {carrying} independent works carry the number"
        + (", all made by the program itself: weak evidence." if own else "."),
    )
    compare(findings, judge, best)
    findings.limits.append(
        f"The number rests on {carrying} works of {sum(c > 1 for c in per_style.values())} styles"
        + (f"; {works - carrying} more, the only ones of their styles, " * (works > carrying))
        + ("only stand in the way" * (works > carrying))
        + ". Crops of one work are never hits or misses for each other."
    )
    if own:
        findings.limits.append(
            "Without a folder, the works are photographs stylised by matching these very "
            "statistics, and textures of filters: they show that the measure works, hardly that "
            "painters have such a signature. Give a folder with several works per artist."
        )
    elif best != "holds":
        findings.limits.append(
            f"Fewer than {_FEW_WORKS} works or {_FEW_STYLES} styles: no claim comes out better "
            "than 'partly'."
        )


def compare(findings: Findings, judge: Judge, best: Outcome = "holds") -> None:
    """What else may tell styles apart; ``best``: the most that so many works support."""
    lost = judge.ahead((COLOUR, "means"), (COLOUR, SHUFFLED))
    above = judge.above_chance((COLOUR, "means"))
    findings.judge(
        "It is which filters carry the energy, not how unevenly it is spread.",
        best if above and lost.low > 0 else "not supported",
        f"With the channels of every work shuffled: {judge.told(COLOUR, SHUFFLED)}; the means are "
        f"{lost.lead()}, paired over works.",
    )
    _against_gram(findings, judge, best)
    if (RANDOM, "means") not in judge.precisions:
        findings.limits.append(
            "The network has no twin of random weights: whether it has to be trained is not told."
        )
        return
    learnt = judge.ahead((COLOUR, "means"), (RANDOM, "means"))
    # random weights that find styles too, only fewer, show no need for training
    outcome: Outcome = "partly" if judge.above_chance((RANDOM, "means")) else best
    findings.judge(
        "The network has to be trained for it.",
        outcome if above and learnt.low > 0 else "not supported",
        f"Means of random weights: {judge.told(RANDOM, 'means')}, in colour; the trained "
        f"network is {learnt.lead()}.",
    )


def _against_gram(findings: Findings, judge: Judge, best: Outcome) -> None:
    """Holds where Gram matrices are surely not ahead by what counts, even if surely ahead.

    Not supported where they are surely ahead, perhaps by what counts; and where either is at
    chance, which makes anything as good as anything.
    """
    gains = [judge.ahead((pictures, "gram"), (pictures, "means")) for pictures in (COLOUR, GREY)]
    told = [(pictures, name) for pictures in (COLOUR, GREY) for name in ("means", "gram")]
    above = judge.above_chance(*told)
    outcome: Outcome = "partly"
    if not above or any(gain.low > 0 and gain.high >= _MARGIN for gain in gains):
        outcome = "not supported"
    elif all(gain.high < _MARGIN for gain in gains):
        outcome = best
    findings.judge(
        "The sums alone tell styles apart as well as Gram matrices do.",
        outcome,
        f"Beside the means, Gram matrices are {gains[0].lead()} in colour and {gains[1].lead()} in "
        f"grey; their mAP {judge.told(COLOUR, 'gram')} and {judge.told(GREY, 'gram')}. "
        f"Without the sums, as covariances: {judge.told(COLOUR, 'covariance')} and "
        f"{judge.told(GREY, 'covariance')}."
        + ("" if above else " Not all of them are above chance, so there is little to compare."),
    )
