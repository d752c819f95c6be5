"""Whether points lie in several clusters, and in which: no more than chance would not show."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

_AXES, _RESTARTS, _ROUNDS, _CHANCES = 50, 6, 30, 6
_CLEARLY = 0.05  # of the silhouette, above the best of chance
_FEWEST = 4  # points of a cluster


class Clusters(NamedTuple):
    """``labels`` (N,) from 0, the largest cluster first; ``silhouette``, 0 of a single one."""

    labels: Tensor
    silhouette: float


def clusters(points: Tensor, most: int, generator: torch.Generator) -> Clusters:
    """The clusters of points (N, D): as many as fit best, one where chance does as well.

    Chance is one cloud, normal, that is spread along the same axes as far.
    """
    scores = _principal(points.double())
    best = Clusters(torch.zeros(len(points), dtype=torch.long), 0.0)
    for count in range(2, min(most, len(points) // _FEWEST) + 1):
        found = _k_means(scores, count, generator)
        if int(found.labels.bincount(minlength=count).min()) < _FEWEST:
            continue
        chance = max(
            _k_means(_cloud(scores, generator), count, generator).silhouette
            for _ in range(_CHANCES)
        )
        if found.silhouette > max(chance + _CLEARLY, best.silhouette):
            best = found
    order = best.labels.bincount().argsort(descending=True)
    return best._replace(labels=order.argsort()[best.labels])


def _principal(points: Tensor) -> Tensor:
    centred = points - points.mean(0)
    left, strength, _ = torch.linalg.svd(centred, full_matrices=False)
    scores: Tensor = (left * strength)[:, :_AXES]
    return scores


def _cloud(scores: Tensor, generator: torch.Generator) -> Tensor:
    drawn = torch.randn(scores.shape, generator=generator, dtype=scores.dtype)
    return drawn * scores.std(0)


def _k_means(points: Tensor, count: int, generator: torch.Generator) -> Clusters:
    """The tightest of some beginnings (Lloyd; Arthur & Vassilvitskii)."""
    tightest, labels = float("inf"), torch.zeros(len(points), dtype=torch.long)
    for _ in range(_RESTARTS):
        centres = _spread(points, count, generator)
        for _ in range(_ROUNDS):
            nearest = torch.cdist(points, centres).argmin(1)
            members = torch.nn.functional.one_hot(nearest, count).double()
            sizes = members.sum(0)
            means = members.T @ points / sizes.clamp_min(1)[:, None]
            centres = torch.where(sizes[:, None] > 0, means, centres)
        distances, nearest = torch.cdist(points, centres).min(1)
        if float(distances.square().sum()) < tightest:
            tightest, labels = float(distances.square().sum()), nearest
    return Clusters(labels, silhouette(points, labels))


def _spread(points: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Points that are far from each other, mostly."""
    first = int(torch.randint(len(points), (1,), generator=generator))
    chosen = [first]
    for _ in range(count - 1):
        far = torch.cdist(points, points[chosen]).min(1).values.square() + 1e-12
        chosen.append(int(torch.multinomial(far, 1, generator=generator)))
    return points[chosen]


def silhouette(points: Tensor, labels: Tensor) -> float:
    """Mean of (b − a) / max(a, b): a to one's own cluster's others, b to the nearest other's."""
    members = torch.nn.functional.one_hot(labels).double()
    sizes = members.sum(0)
    if len(sizes) < 2 or bool((sizes == 0).any()):
        return 0.0
    points = points.double()
    sums = torch.cdist(points, points) @ members
    own = members.bool()
    within = sums[own] / (sizes[labels] - 1).clamp_min(1)
    others = (sums / sizes).masked_fill(own, torch.inf).min(1).values
    widths = (others - within) / torch.maximum(others, within).clamp_min(1e-12)
    return float(torch.where(sizes[labels] > 1, widths, 0).mean())
