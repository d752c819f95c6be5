"""Stylised pictures beside their styles, and what their distances say of the two methods."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from texton.experiments.measures.statistics import Estimate, mean_interval, wilson
from texton.experiments.measures.style_statistics import Curve, at_equal_content
from texton.experiments.report.findings import Findings, Outcome
from texton.images.folder import Picture

WEIGHTS = (1.0, 5.0, 25.0)
SHOWN = WEIGHTS[1]
WRONG = "wrong"
TITLES = {"pmci": "PMCI", "gatys": "Gatys", WRONG: "wrong filters"}
MEASURES = {
    "moments": "held-out moments",
    "gram": "held-out Gram",
    "patches": "sliced Wasserstein of patches",
    "grey": "the same in grey",
}
_MARGIN = 1.1  # nearer than a tenth counts as alike


@dataclass(frozen=True)
class Pair:
    """A photograph in a style: the photograph's own distances, and each method's curve."""

    photo: Picture
    style: Picture
    untouched: dict[str, float]
    curves: dict[str, Curve]

    def ratio(self, a: str, b: str, name: str) -> tuple[float, float, float] | None:
        """Content error that methods a and b both reach, and their distances there."""
        return at_equal_content(self.curves[a], self.curves[b], name)


def compare(findings: Findings, pairs: Sequence[Pair]) -> None:
    """Holds where PMCI comes as near as Gatys, and both come nearer than the photograph is.

    Two methods that leave the photograph as it is are as near as each other.
    """
    found = _ratios(pairs, "pmci", "gatys")
    gained = {method: _gains(pairs, method) for method in TITLES}
    findings.data["ratio"] = {k: vars(e) for k, e in found.items()}
    findings.data["gain"] = {m: {k: vars(e) for k, e in g.items()} for m, g in gained.items()}
    if not found:
        findings.limits.append("The two methods reach no content error in common.")
        return
    enough, used = _used(findings, pairs, "pmci", "gatys")
    near = {m: all(e.high < 1 for e in gained[m].values()) for m in ("pmci", "gatys")}
    as_near = enough and all(e.high <= _MARGIN for e in found.values())
    outcome: Outcome = "partly" if near["pmci"] else "not supported"
    if as_near and all(near.values()):
        outcome = "holds"
    findings.judge(
        "Matching the sums carries a style over as well as matching Gram matrices.",
        outcome,
        "Distance from the style, PMCI over Gatys at equal content error (below 1, PMCI is "
        f"nearer): {_said(found)}; {used}. Over the photograph itself, at style weight "
        f"{SHOWN:g}: PMCI {_said(gained['pmci'])}; Gatys {_said(gained['gatys'])}.",
    )


def control(findings: Findings, pairs: Sequence[Pair]) -> None:
    """Holds where wrong filters stay further from the style, and the right ones come nearer."""
    found, gained = _ratios(pairs, WRONG, "pmci"), _gains(pairs, WRONG)
    findings.data["wrong_filters"] = {k: vars(e) for k, e in found.items()}
    if not found:
        findings.limits.append("The control reaches no content error in common with PMCI.")
        return
    enough, used = _used(findings, pairs, WRONG, "pmci")
    right = _gains(pairs, "pmci")
    further = [e.low > 1 and right[name].high < 1 for name, e in found.items()]
    outcome: Outcome = "partly" if any(further) else "not supported"
    if enough and all(further):
        outcome = "holds"
    findings.judge(
        "A style is which filters carry the energy, not how unevenly it is spread.",
        outcome,
        "Distance from the style with the sums dealt out to the wrong filters, over the right "
        f"ones at equal content error: {_said(found)}; {used}. Wrong filters over the photograph "
        f"itself, at style weight {SHOWN:g}: {_said(gained)}.",
    )


def agreement(findings: Findings, hits: dict[str, list[float]], chance: float) -> None:
    """Holds where a PMCI picture finds its style above chance, and oftener than by the control.

    Args:
        hits: for ``gatys`` and the wrong filters, whether each PMCI picture's nearest has its
            style; in one order.
    """
    scores = {name: wilson(float(np.mean(found)), len(found)) for name, found in hits.items()}
    findings.data["agreement"] = {name: vars(score) for name, score in scores.items()}
    ahead = mean_interval(np.subtract(hits["gatys"], hits[WRONG]))
    findings.data["agreement_ahead"] = vars(ahead)
    own = scores["gatys"]
    outcome: Outcome = "partly" if own.low > chance else "not supported"
    if own.low > chance and ahead.low > 0:
        outcome = "holds"
    findings.judge(
        "Both methods make pictures of the same style.",
        outcome,
        "A PMCI picture's nearest Gatys picture of the same photograph has its style with "
        f"accuracy {own}; nearest picture of wrong filters: {scores[WRONG]}, {(-ahead).lead()}, "
        f"paired; chance {chance:.2f}, {own.n} pictures.",
    )


def _used(findings: Findings, pairs: Sequence[Pair], a: str, b: str) -> tuple[bool, str]:
    """Whether enough pairs reach a content error in common for a claim to hold, and how many."""
    count = sum(pair.ratio(a, b, next(iter(MEASURES))) is not None for pair in pairs)
    said = f"{count} of {len(pairs)} pairs reach a content error in common"
    enough = 2 * count >= len(pairs)
    if not enough:
        findings.limits.append(
            f"{TITLES[a]} and {TITLES[b]}: {said}, fewer than half: the claim cannot hold by them."
        )
    return enough, said


def _ratios(pairs: Sequence[Pair], a: str, b: str) -> dict[str, Estimate]:
    """Geometric mean of a's distance over b's at equal content error, by measure.

    Measures are left out where no pair has a content error that both methods reach.
    """
    found = {}
    for name in MEASURES:
        shared = [pair.ratio(a, b, name) for pair in pairs]
        logs = [np.log(x[1] / x[2]) for x in shared if x is not None]
        if logs:
            found[name] = _geometric(logs)
    return found


def _gains(pairs: Sequence[Pair], method: str) -> dict[str, Estimate]:
    """Distance over that of the photograph itself, at the middle weight."""
    place = WEIGHTS.index(SHOWN)
    return {
        name: _geometric(
            [np.log(pair.curves[method][place][1][name] / pair.untouched[name]) for pair in pairs]
        )
        for name in MEASURES
    }


def _geometric(logs: Sequence[float]) -> Estimate:
    found = mean_interval(logs)
    low, value, high = (float(np.exp(x)) for x in (found.low, found.value, found.high))
    return Estimate(value, low, high, found.n)


def _said(found: dict[str, Estimate]) -> str:
    return "; ".join(f"{MEASURES[name]} {estimate}" for name, estimate in found.items())
