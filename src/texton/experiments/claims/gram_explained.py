"""Why do Gram matrices work: how much of them do the sums of feature maps explain?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from texton.experiments.harness.lab import Lab
from texton.experiments.measures.statistics import (
    Array,
    Estimate,
    matrix_correlation,
)
from texton.experiments.measures.style_statistics import (
    apart,
    difference_explained,
    explained,
    likeness_of,
    measure,
    over_pairs,
    shuffled,
)
from texton.experiments.report.findings import Cell, Findings, Outcome
from texton.experiments.report.plots import by_layer

SUMS, WRONG, SCALE, REST = (
    "sums",
    "sums of the wrong filters",
    "more or less of everything",
    "the rest (covariance)",
)
RANDOM = "sums, random weights"
COLUMNS = ["network", "layer", "matrix", "matrix by wrong filters", "differences", "low", "high"]
COLUMNS += ["differences by wrong filters", "differences by overall scale"]
COLUMNS += ["differences by the rest", "distances agree", "distances by wrong filters"]
NOTE = (
    "Matrix: how much of a Gram matrix the best multiple of μμᵀ explains, μ being the filters' "
    "means. Differences: how much of the difference of two images' matrices the difference of the "
    "μμᵀ explains, which is what tells styles apart; intervals over images, by the jackknife, for "
    "pairs that share an image are not independent. By wrong filters: the same with μ's entries "
    "in random order. By overall scale: by the best multiple of mmᵀ, m being the mean of all "
    "images' μ: that one image has more of everything. By the rest: by the matrices without the "
    "sums, that is the covariances; the shares overlap and need not add up to 1. Distances "
    "agree: correlation of the images' distances by sums with those by Gram matrices; where the "
    "wrong filters agree as well, it only tells that images of much energy are far from images of "
    "little."
)


@dataclass(frozen=True)
class _Shares:
    """What explains a layer's matrices, and their differences by pair of images, (n, n)."""

    matrix: float
    matrix_wrong: float
    differences: dict[str, Array]
    agree: float
    agree_wrong: float

    def estimate(self, name: str) -> Estimate:
        return over_pairs(self.differences[name])

    @property
    def cells(self) -> list[Cell]:
        own = self.estimate(SUMS)
        cells: list[Cell] = [self.matrix, self.matrix_wrong, own.value, own.low, own.high]
        cells += [self.estimate(name).value for name in (WRONG, SCALE, REST)]
        return [*cells, self.agree, self.agree_wrong]


def explain(findings: Findings, lab: Lab) -> None:
    """Table, plot and verdict: what explains the differences of Gram matrices, and controls."""
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
        name: [s.differences[name] for s in found["trained"]] for name in (SUMS, WRONG, SCALE, REST)
    }
    if "random weights" in found:
        lines[RANDOM] = [s.differences[SUMS] for s in found["random weights"]]
    plot = by_layer(
        {name: [over_pairs(pairs) for pairs in line] for name, line in lines.items()},
        layers,
        "share of differences explained",
    )
    findings.plot("Differences of Gram matrices explained", plot, "Intervals over images.")
    _judge(findings, {name: np.mean(line, axis=0) for name, line in lines.items()})


def _judge(findings: Findings, pairs: dict[str, Array]) -> None:
    """Holds where the sums explain most, and more than anything else does, random weights too.

    Args:
        pairs: what explains the differences → how much of each pair's, (n, n), over all layers.
    """
    own = over_pairs(pairs[SUMS])
    ahead = {name: over_pairs(pairs[SUMS] - pairs[name]) for name in pairs if name != SUMS}
    found = {name: over_pairs(values) for name, values in pairs.items()}
    findings.data["explained"] = {name: vars(estimate) for name, estimate in found.items()}
    findings.data["explained_ahead"] = {name: vars(estimate) for name, estimate in ahead.items()}
    beside = {name: (-estimate).lead() for name, estimate in ahead.items()}
    clear = {name: estimate.low > 0 for name, estimate in ahead.items()}
    outcome: Outcome = "not supported"
    if clear[WRONG] and clear[SCALE]:
        most = own.low > 0.5 and clear[REST]
        outcome = "holds" if most and clear.get(RANDOM, False) else "partly"
    if RANDOM not in pairs:
        findings.limits.append(
            "The network has no twin of random weights: whether sums explain its Gram matrices "
            "only because it was trained cannot be told."
        )
    findings.judge(
        "Gram matrices work because of the sums they hold: two images' matrices differ mostly in "
        "their sums.",
        outcome,
        f"The sums explain {own} of the differences between images' Gram matrices ({own.n} images, "
        f"mean over layers); dealt to the wrong filters {found[WRONG]}, {beside[WRONG]}; "
        f"more or less of everything {found[SCALE]}, {beside[SCALE]}; the matrices without the "
        f"sums {found[REST]}, {beside[REST]}." + _of_training(found, ahead),
    )


def _of_training(found: dict[str, Estimate], ahead: dict[str, Estimate]) -> str:
    if RANDOM not in found:
        return ""
    text = f" With random weights the sums explain {found[RANDOM]}, {(-ahead[RANDOM]).lead()}"
    if ahead[RANDOM].low > 0:
        return text + "."
    return text + (
        ": the matrices of a network that has learnt nothing are not clearly explained less, so "
        "that sums explain them is no sign of what makes a trained network's matrices work."
    )


def _shares(grams: Array, means: Array, seed: int) -> _Shares:
    count, size = means.shape
    matrices, means = grams.reshape(count, size, size).astype(np.float64), means.astype(np.float64)
    mixed = means[:, np.random.default_rng(seed).permutation(size)]
    covariances = matrices - means[:, :, None] * means[:, None]
    everything = np.outer(means.mean(0), means.mean(0))

    def by_pair(share: Callable[[int, int], float]) -> Array:
        found = np.zeros((count, count))
        for a, b in combinations(range(count), 2):
            found[a, b] = found[b, a] = share(a, b)
        return found

    def by_sums(of: Array) -> Array:
        return by_pair(
            lambda a, b: difference_explained((matrices[a], matrices[b]), (of[a], of[b]))
        )

    def by_matrix(other: Callable[[int, int], Array]) -> Array:
        return by_pair(lambda a, b: likeness_of(matrices[a] - matrices[b], other(a, b)))

    def whole(of: Array) -> float:
        return float(np.mean([explained(m, v) for m, v in zip(matrices, of, strict=True)]))

    # one order for all images would leave their distances as they are
    lost = shuffled({"": means}, [str(i) for i in range(count)], seed)[""]
    return _Shares(
        matrix=whole(means),
        matrix_wrong=whole(mixed),
        differences={
            SUMS: by_sums(means),
            WRONG: by_sums(mixed),
            SCALE: by_matrix(lambda a, b: everything),
            REST: by_matrix(lambda a, b: covariances[a] - covariances[b]),
        },
        agree=matrix_correlation(apart(grams), apart(means)),
        agree_wrong=matrix_correlation(apart(grams), apart(lost)),
    )
