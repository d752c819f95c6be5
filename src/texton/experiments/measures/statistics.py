"""How sure one can be: intervals, tests, rankings. Plain functions on NumPy arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from texton.errors import optional

with optional("experiments"):
    from scipy import stats

Array = NDArray[np.float64]
_DRAWS = 2000
LEAST = 3  # things in a group, to tell anything from how they scatter


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % confidence interval, from ``n`` independent things.

    Where these are too few to tell, the interval is all there is: no bound can be passed.
    """

    value: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        if not np.isfinite([self.low, self.high]).all():
            return f"{self.value:.2f} (n = {self.n}: no interval)"
        value, low, high = (f"{round(x, 2) + 0.0:.2f}" for x in (self.value, self.low, self.high))
        return f"{value} ({low} to {high})"

    def __neg__(self) -> Estimate:
        return Estimate(-self.value, -self.high, -self.low, self.n)

    def lead(self) -> str:
        """In words, of a difference: who is ahead, and by how much."""
        return f"ahead by {self}" if self.value >= 0 else f"behind by {-self}"


def wilson(share: float, n: int) -> Estimate:
    """Wilson's score interval of a proportion; honest at 0 and 1 too."""
    z = float(stats.norm.ppf(0.975))
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return Estimate(share, float(max(0.0, middle - half)), float(min(1.0, middle + half)), n)


def mean_interval(values: Sequence[float] | Array, seed: int = 0) -> Estimate:
    """A mean with its percentile bootstrap interval over independent values; none from one."""
    sample = np.asarray(values, float)
    if len(sample) < 2:
        value = float(sample[0]) if len(sample) else np.nan
        return Estimate(value, -np.inf, np.inf, len(sample))
    draws = np.random.default_rng(seed).integers(0, len(sample), (_DRAWS, len(sample)))
    low, high = np.percentile(sample[draws].mean(1), [2.5, 97.5])
    return Estimate(float(sample.mean()), float(low), float(high), len(sample))


def difference_p(a: Sequence[float] | Array, b: Sequence[float] | Array, seed: int = 0) -> float:
    """Two-sided permutation test that two independent samples have the same mean."""
    left, right = np.asarray(a, float), np.asarray(b, float)
    together = np.concatenate([left, right])
    observed = abs(left.mean() - right.mean())
    rng = np.random.default_rng(seed)
    hits = 0
    for _ in range(_DRAWS):
        mixed = rng.permutation(together)
        hits += abs(mixed[: len(left)].mean() - mixed[len(left) :].mean()) >= observed - 1e-12
    return (hits + 1) / (_DRAWS + 1)


def rank_trend(groups: Sequence[Sequence[float] | Array], seed: int = 0) -> Estimate:
    """Spearman's rank correlation of values with the number of their group.

    The interval is a bootstrap within the groups: the things of a group are independent. What
    is drawn twice ties with itself, which would shrink the spread of the ranks and raise the
    correlation; so the draws are divided by the sample's own spread. Pairs of one group cancel
    in what is left, and the draws have the estimate for their mean. A resample scatters less
    than a sample does: the interval is widened by Student's factor.

    With fewer than `LEAST` things in a group, or all alike, the interval is (−1, 1).
    """
    arrays = [np.asarray(group, float) for group in groups]
    sizes = [len(group) for group in arrays]
    place = np.repeat(np.arange(len(arrays), dtype=float), sizes)
    values = np.concatenate(arrays)
    if len(values) < 2 or np.ptp(values) == 0 or np.ptp(place) == 0:
        return Estimate(0.0, -1.0, 1.0, len(values))
    centred, ranks = place - place.mean(), stats.rankdata(values)
    scale = np.sqrt((centred**2).sum() * ((ranks - ranks.mean()) ** 2).sum())
    value = float(centred @ ranks / scale)
    if min(sizes) < LEAST:
        return Estimate(value, -1.0, 1.0, len(values))
    rng = np.random.default_rng(seed)
    drawn = [rng.multinomial(n, np.full(n, 1 / n), _DRAWS) for n in sizes]
    times = np.hstack(drawn).astype(float)  # whole numbers have no fast matrix product
    # a rank is half the sum of signs against all others, but for a constant
    pairs = centred[:, None] * np.sign(values[:, None] - values) / 2
    draws = ((times @ pairs) * times).sum(1) / scale
    n, free = float(np.mean(sizes)), len(values) - len(sizes)
    wider = np.sqrt(n / (n - 1)) * stats.t.ppf(0.975, free) / stats.norm.ppf(0.975)
    low, high = value + (np.percentile(draws, [2.5, 97.5]) - value) * wider
    low, high = max(-1.0, min(low, value)), min(1.0, max(high, value))
    return Estimate(value, float(low), float(high), len(values))


def separation(same: Sequence[float] | Array, different: Sequence[float] | Array) -> float:
    """The chance that a pair of the same kind is nearer than one of different kinds (AUC)."""
    a, b = np.asarray(same, float), np.asarray(different, float)
    lower = (a[:, None] < b[None]).mean()
    ties = (a[:, None] == b[None]).mean()
    return float(lower + 0.5 * ties)


def identification(distances: Array) -> tuple[Array, Array]:
    """Who is recognised, from distances (queries × gallery) where query i belongs to item i.

    Returns:
        Whether each query's nearest is its own (ties count as the share they stand for), and
        how many places from the top its own stands (0 is best).
    """
    own = np.diag(distances)[:, None]
    nearer = (distances < own).sum(1)
    tied = (distances == own).sum(1)
    hits = np.where(nearer == 0, 1.0 / tied, 0.0)
    return hits, nearer + (tied - 1) / 2


def retrieval(distances: Array, styles: Sequence[Any], works: Sequence[Any]) -> tuple[Array, Array]:
    """Average precision and nearest-neighbour hit of every picture, as a query for its style.

    Pictures of the query's own work are left out: they are neither hits nor misses.

    Args:
        distances: (N, N), symmetric.
        styles, works: N labels each; a work has one style.

    Returns:
        Two arrays (N,); NaN where the style has no other work.
    """
    style, work = np.asarray(styles), np.asarray(works)
    own = work[:, None] == work
    # a query's own work goes to the end, where it is neither a hit nor takes a place
    order = np.argsort(np.where(own, np.inf, distances), axis=1, kind="stable")
    ranked_own = np.take_along_axis(own, order, 1)
    hits = (style[order] == style[:, None]) & ~ranked_own
    count = hits.sum(1)
    at_rank = hits.cumsum(1) / np.arange(1, len(style) + 1)
    precision = np.where(count > 0, (at_rank * hits).sum(1) / np.maximum(count, 1), np.nan)
    nearest = np.where(count > 0, hits[:, 0].astype(float), np.nan)
    return precision, nearest


def by_work(values: Array, works: Sequence[Any]) -> Array:
    """One mean per work, works without a value left out: works are what is independent."""
    labels = np.unique(np.asarray(works), return_inverse=True)[1]
    known = ~np.isnan(values)
    sums = np.bincount(labels[known], values[known], labels.max() + 1)
    counts = np.bincount(labels[known], minlength=labels.max() + 1)
    return np.asarray(sums[counts > 0] / counts[counts > 0])


def label_chance(
    distances: Array,
    styles: Sequence[Any],
    works: Sequence[Any],
    score: Callable[[Array, Sequence[Any], Sequence[Any]], float],
    draws: int = 200,
    seed: int = 0,
) -> tuple[float, float]:
    """What the score is when styles are dealt out to works at random: its mean, and the p-value."""
    rng = np.random.default_rng(seed)
    unique = list(dict.fromkeys(works))
    of_work = dict(zip(works, styles, strict=True))
    observed = score(distances, styles, works)
    scores = []
    for _ in range(draws):
        dealt = rng.permutation(np.array([of_work[w] for w in unique], dtype=object))
        shuffled = dict(zip(unique, dealt, strict=True))
        scores.append(score(distances, [shuffled[w] for w in works], works))
    above = sum(value >= observed - 1e-12 for value in scores)
    return float(np.mean(scores)), (above + 1) / (draws + 1)


def matrix_correlation(a: Array, b: Array) -> float:
    """Pearson's correlation of two distance matrices over their pairs (Mantel's statistic)."""
    upper = np.triu_indices(len(a), 1)
    x, y = a[upper], b[upper]
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return 0.0
    return float(np.corrcoef(x, y)[0, 1])
