"""What likenesses of projections say of them: whose they are, and what they hang on."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from texton.experiments.measures.statistics import Estimate, mean_interval
from texton.experiments.report.findings import Findings, Outcome

Values = dict[str, dict[str, list[float]]]  # comparison → measure → one per filter, or NaN
LEARNT = 0.1  # a rank correlation; what random weights may share with the trained ones
MOST = 0.5


def judge_filter(findings: Findings, rule: str, values: Mapping[str, Values]) -> None:
    """Holds where the filter, on another picture, tells more of it than the picture does."""
    filters, pictures = (pooled(values, name, "size") for name in ("filter", "picture"))
    lead = _difference(values, "picture", "filter")
    outcome: Outcome = "holds" if lead.low > 0 else "not supported" if lead.high < 0 else "partly"
    findings.judge(
        f"A projection by {rule} is the filter's, not the picture's.",
        outcome,
        f"Another filter at the same place of the same picture {filters}, the same filter on "
        f"another picture {pictures}; the filter is {lead.lead()}.",
    )


def judge_upper(findings: Findings, rule: str, values: Mapping[str, Values]) -> None:
    """Holds where next to nothing is left of it with random weights in the upper half."""
    left, shape = pooled(values, "random 50%", "size"), pooled(values, "shape", "size")
    excess = _difference(values, "random 50%", "shape")
    outcome: Outcome = "partly"
    if excess.high < LEARNT:
        outcome = "holds"
    elif left.low > MOST:
        outcome = "not supported"
    findings.judge(
        f"A projection by {rule} hangs on the layers next to the filter.",
        outcome,
        f"With random weights in the upper half of the convolutions, the filter's own among "
        f"them, {left} is left of it; shape alone gives {shape}.",
    )


def judge_learnt(findings: Findings, rule: str, values: Mapping[str, Values]) -> None:
    """Holds where random weights share no more of it than its shape."""
    random, shape = (pooled(values, name, "size") for name in ("random", "shape"))
    excess = _difference(values, "random", "shape")
    outcome: Outcome = "partly"
    if excess.high < LEARNT:
        outcome = "holds"
    elif excess.low > LEARNT:
        outcome = "not supported"
    findings.judge(
        f"What a projection by {rule} shows of a picture was learnt.",
        outcome,
        f"Random weights on the same picture {random}, on another {shape}: the picture alone, "
        f"without anything learnt, gives {excess}.",
    )


def known(values: Sequence[float]) -> Estimate:
    return mean_interval([x for x in values if math.isfinite(x)])


def pooled(values: Mapping[str, Values], name: str, measure: str) -> Estimate:
    return known([x for by_name in values.values() for x in by_name[name][measure]])


def _difference(values: Mapping[str, Values], a: str, b: str) -> Estimate:
    """Of filters that have both."""
    pairs = (zip(one[a]["size"], one[b]["size"], strict=True) for one in values.values())
    return known([x - y for pair in pairs for x, y in pair])
