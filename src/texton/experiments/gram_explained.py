"""Why do Gram matrices work: how much of them do the sums of feature maps explain?"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from texton.experiments.frame.findings import Cell, Findings, Outcome
from texton.experiments.frame.lab import Lab
from texton.experiments.frame.plots import by_layer
from texton.experiments.measures.statistics import (
    Array,
    Estimate,
    matrix_correlation,
    mean_interval,
)
from texton.experiments.measures.style_statistics import (
    apart,
    difference_explained,
    explained,
    likeness_of,
    measure,
    shuffled,
)

COLUMNS = ["network", "layer", "matrix", "matrix by wrong filters", "differences", "low", "high"]
COLUMNS += ["differences by wrong filters", "differences by the rest"]
COLUMNS += ["distances agree", "distances by wrong filters"]
NOTE = (
    "Matrix: how much of a Gram matrix the best multiple of μμᵀ explains, μ being the filters' "
    "means. Differences: how much of the difference of two images' matrices the difference of the "
    "μμᵀ explains, which is what tells styles apart; intervals over pairs of images. By wrong "
    "filters: the same with μ's entries in random order. By the rest: by the matrices without the "
    "sums, that is the covariances; the two shares overlap and need not add up to 1. Distances "
    "agree: correlation of the images' distances by sums with those by Gram matrices; where the "
    "wrong filters agree as well, it only tells that images of much energy are far from images of "
    "little."
)


@dataclass(frozen=True)
class _Shares:
    """What the sums (``own``), their wrong order and the covariance explain at one layer."""

    matrix: float
    matrix_wrong: float
    own: Estimate
    wrong: Estimate
    rest: Estimate
    agree: float
    agree_wrong: float

    @property
    def cells(self) -> list[Cell]:
        cells: list[Cell] = [self.matrix, self.matrix_wrong, self.own.value, self.own.low]
        cells += [self.own.high, self.wrong.value, self.rest.value, self.agree, self.agree_wrong]
        return cells


def explain(findings: Findings, lab: Lab) -> None:
    """Table, plot and verdict: sums, sums in wrong order, the rest, random weights."""
    layers, seed = lab.layers(1), lab.options.seed
    images = [p.image[0] for p in (*lab.photos, *lab.styles)]
    found: dict[str, list[_Shares]] = {}
    for name, network in {"trained": lab.network, "random weights": lab.random_network}.items():
        if network is not None:
            vectors = measure(images, network, layers, ("gram", "means"))
            found[name] = [
                _shares(vectors["gram"][layer], vectors["means"][layer], seed) for layer in layers
            ]
    rows = [
        [name, layer, *shares.cells]
        for name, by_place in found.items()
        for layer, shares in zip(layers, by_place, strict=True)
    ]
    title = "How much of the Gram matrix do the sums explain?"
    findings.table("explained", title, COLUMNS, rows, f"{NOTE} {len(images)} images.")
    lines = {
        "sums": [s.own for s in found["trained"]],
        "sums of the wrong filters": [s.wrong for s in found["trained"]],
        "the rest (covariance)": [s.rest for s in found["trained"]],
    }
    if "random weights" in found:
        lines["sums, random weights"] = [s.own for s in found["random weights"]]
    plot = by_layer(lines, layers, "share of differences explained")
    findings.plot("Differences of Gram matrices explained", plot, "Intervals over pairs of images.")
    _judge(findings, {name: [e.value for e in line] for name, line in lines.items()})


def _judge(findings: Findings, lines: dict[str, list[float]]) -> None:
    """Holds where the sums explain most, and more than their wrong order and the rest do."""
    found = {name: mean_interval(values) for name, values in lines.items()}
    findings.data["explained"] = {name: vars(estimate) for name, estimate in found.items()}
    own, wrong, rest = (
        found[name] for name in ("sums", "sums of the wrong filters", "the rest (covariance)")
    )
    clear = own.value > 0.5 and wrong.high < own.low and rest.high < own.low
    outcome: Outcome = "holds" if clear else "partly" if wrong.high < own.low else "not supported"
    random = found.get("sums, random weights")
    findings.judge(
        "Gram matrices work because of the sums they hold.",
        outcome,
        f"The sums explain {own.value:.0%} of the differences between images' Gram matrices (mean "
        f"of {own.n} layers); dealt to the wrong filters {wrong.value:.0%}; the matrices without "
        f"the sums explain {rest.value:.0%}."
        + (f" With random weights the sums explain {random.value:.0%}." if random else ""),
    )


def _shares(grams: Array, means: Array, seed: int) -> _Shares:
    count, size = means.shape
    matrices, means = grams.reshape(count, size, size).astype(np.float64), means.astype(np.float64)
    mixed = means[:, np.random.default_rng(seed).permutation(size)]
    covariances = matrices - means[:, :, None] * means[:, None]
    pairs = list(combinations(range(count), 2))

    def differences(of: Array) -> Estimate:
        return mean_interval(
            [difference_explained((matrices[a], matrices[b]), (of[a], of[b])) for a, b in pairs]
        )

    rest = [
        likeness_of(matrices[a] - matrices[b], covariances[a] - covariances[b]) for a, b in pairs
    ]

    def whole(of: Array) -> float:
        return float(np.mean([explained(m, v) for m, v in zip(matrices, of, strict=True)]))

    # one order for all images would leave their distances as they are
    lost = shuffled({"": means}, [str(i) for i in range(count)], seed)[""]
    return _Shares(
        matrix=whole(means),
        matrix_wrong=whole(mixed),
        own=differences(means),
        wrong=differences(mixed),
        rest=mean_interval(rest),
        agree=matrix_correlation(apart(grams), apart(means)),
        agree_wrong=matrix_correlation(apart(grams), apart(lost)),
    )
