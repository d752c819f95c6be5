"""Statistics of codes that may tell styles apart, and distances between them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from texton.errors import optional
from texton.experiments.measures.statistics import Estimate
from texton.network.codes import energy_shares, gram, means, moments
from texton.network.network import Network

with optional("experiments"):
    from scipy import stats

Array = NDArray[np.float64]
_TOGETHER = 8  # images encoded at a time
_CHUNK = 16384  # columns whose products are summed in double precision at a time


def covariance(code: Tensor) -> Tensor:
    """The Gram matrix without what the sums put into it: (B, C, H, W) → (B, C, C)."""
    mean = means(code)
    return gram(code) - mean[:, :, None] * mean[:, None]


STATISTICS: dict[str, Callable[[Tensor], Tensor]] = {
    "means": means,
    "shares": lambda code: energy_shares(code.float()),
    "moments": moments,
    "gram": gram,
    "covariance": covariance,
}
Vectors = dict[str, dict[str, Array]]  # statistic → layer → (N, D)
Curve = list[tuple[float, dict[str, float]]]  # (content error, style distances) by weight


def measure(
    images: Sequence[Tensor],
    network: Network,
    layers: Sequence[str],
    names: Sequence[str] = tuple(STATISTICS),
) -> Vectors:
    """Statistics of every layer of every image (C, H, W), of any sizes."""
    found: Vectors = {name: {} for name in names}
    done = 0
    with torch.no_grad():
        for group in _batches(images):
            codes = network.encode(torch.stack(group), layers)
            for name in names:
                for layer in layers:
                    vectors = STATISTICS[name](codes[layer]).flatten(1).cpu().numpy()
                    size = (len(images), vectors.shape[1])
                    rows = found[name].setdefault(layer, np.empty(size, np.float32))
                    rows[done : done + len(group)] = vectors
            done += len(group)
    return found


def distances_by_layer(
    images: Sequence[Tensor], network: Network, layers: Sequence[str]
) -> Iterator[tuple[str, Array, dict[str, Array]]]:
    """Each layer with its means (N, C) and, by statistic, the distances (N, N) of the images.

    The images are encoded anew for every layer: the matrices of all layers together would take
    gigabytes for a thousand images.
    """
    direct = [name for name in STATISTICS if name != "covariance"]
    for layer in layers:
        vectors = {name: v[layer] for name, v in measure(images, network, [layer], direct).items()}
        found = {name: apart(rows) for name, rows in vectors.items()}
        matrices = vectors.pop("gram")
        for row, mean in zip(matrices, vectors["means"], strict=True):
            row -= np.outer(mean, mean).ravel()
        found["covariance"] = apart(matrices)
        del matrices
        yield layer, vectors["means"], found


def _batches(images: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """Neighbours of one size together: small images are quicker so."""
    for _, same in groupby(images, key=lambda image: image.shape):
        group = list(same)
        yield from (group[i : i + _TOGETHER] for i in range(0, len(group), _TOGETHER))


def apart(vectors: Array) -> Array:
    """‖a − b‖ / √(‖a‖ ‖b‖) of all pairs of rows: (N, D) → (N, N), as `style_distances`."""
    products = np.zeros((len(vectors), len(vectors)))
    for start in range(0, vectors.shape[1], _CHUNK):
        rows = vectors[:, start : start + _CHUNK].astype(np.float64)
        products += rows @ rows.T
    squares = np.diag(products)
    between = np.sqrt(np.maximum(squares[:, None] + squares[None] - 2 * products, 0))
    np.fill_diagonal(between, 0)
    norms = np.sqrt(np.maximum(squares, 1e-24))
    return np.asarray(between / np.sqrt(norms[:, None] * norms[None]))


def apart_over_layers(by_layer: dict[str, Array]) -> Array:
    """The mean of `apart` over layers."""
    return np.asarray(np.mean([apart(vectors) for vectors in by_layer.values()], axis=0))


def shuffled(by_layer: dict[str, Array], groups: Sequence[str], seed: int = 0) -> dict[str, Array]:
    """Each group's channels in another random order: the values stay, whose they are is lost."""
    rng = np.random.default_rng(seed)
    found = {layer: vectors.copy() for layer, vectors in by_layer.items()}
    for group in dict.fromkeys(groups):
        members = [i for i, name in enumerate(groups) if name == group]
        for vectors in found.values():
            vectors[members] = vectors[members][:, rng.permutation(vectors.shape[1])]
    return found


def over_pairs(values: Array) -> Estimate:
    """The mean over all pairs of n things, from a symmetric (n, n), its diagonal not counted.

    The interval is the jackknife's over the things, for pairs that share one are not independent;
    with fewer than three things it has no ends.
    """
    count = len(values)
    pairs = count * (count - 1) / 2
    of_each = values.sum(1) - np.diag(values)
    total = of_each.sum() / 2
    if count < 3:
        return Estimate(float(total / pairs) if pairs else np.nan, -np.inf, np.inf, count)
    without = (total - of_each) / (pairs - (count - 1))
    spread = np.sqrt((count - 1) / count * np.square(without - without.mean()).sum())
    half = float(stats.t.ppf(0.975, count - 1) * spread)
    value = float(total / pairs)
    return Estimate(value, value - half, value + half, count)


def at_equal_content(a: Curve, b: Curve, name: str) -> tuple[float, float, float] | None:
    """Content error in the middle of what both reach, and both distances there, interpolated.

    None where the two curves share no content error.
    """
    low = max(min(x for x, _ in curve) for curve in (a, b))
    high = min(max(x for x, _ in curve) for curve in (a, b))
    if low > high:
        return None
    middle = (low + high) / 2
    found = []
    for curve in (a, b):
        points = sorted((x, d[name]) for x, d in curve)
        found.append(float(np.interp(middle, [p[0] for p in points], [p[1] for p in points])))
    return middle, found[0], found[1]


def explained(gram_matrix: Array, mean: Array) -> float:
    """How much of a matrix the best multiple of μμᵀ explains: cos², in [0, 1]."""
    return likeness_of(gram_matrix, np.outer(mean, mean))


def difference_explained(grams: tuple[Array, Array], means_: tuple[Array, Array]) -> float:
    """How much of the difference of two Gram matrices the difference of the μμᵀ explains."""
    sums = np.outer(means_[0], means_[0]) - np.outer(means_[1], means_[1])
    return likeness_of(grams[0] - grams[1], sums)


def likeness_of(a: Array, b: Array) -> float:
    """How much of matrix a the best multiple of matrix b explains: cos², in [0, 1]."""
    sizes = float((a * a).sum() * (b * b).sum())
    return float((a * b).sum()) ** 2 / sizes if sizes > 0 else 0.0
