"""Words for filters: what a classifier sees in the pictures that excite them; none by chance."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from texton.errors import TextonError
from texton.evidence.format import Evidence
from texton.methods.parts.classifier import CLASS, class_encoder, imagenet_names
from texton.network.device import Compute
from texton.network.network import Network

CLASSIFIER = "efficientnet_lite0"
WORDS = 5  # of a filter at most
_FIRST, _LAST = 0.998, 0.97  # how sure it is that a picture belongs to the filter, by its rank
_COMPARED = 1000  # other pictures, drawn at random, that words are compared with
_DRAWS = 1000
_LEVEL = 0.99

Array = NDArray[np.float64]
OnPicture = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Seen:
    """What the classifier sees: (N, classes) probabilities, by the numbers of the pictures.

    ``drawn`` are the rows of those drawn at random from all that were scanned.
    """

    rows: Mapping[int, int]
    probabilities: Array
    drawn: NDArray[np.int64]


def see(
    evidence: Evidence,
    classifier: Network,
    layers: Mapping[str, Sequence[int]],
    compute: Compute,
    on_picture: OnPicture | None = None,
) -> Seen:
    """Classify every picture that excites some filter most, and others to compare with.

    Raises:
        TextonError: the classifier has no classes; no picture can be read.
    """
    usable = [at for at, one in enumerate(evidence.pictures) if one.status == "ok"]
    random = np.random.default_rng(0)
    drawn = random.permutation(usable)[:_COMPARED].tolist()
    strongest = {
        place.picture
        for layer, channels in layers.items()
        for channel in channels
        for place in evidence.layer(layer).places(channel)
    }
    wanted = sorted({*drawn, *strongest})
    encode = class_encoder(classifier, compute.exact())
    rows: dict[int, int] = {}
    found: list[Array] = []
    for number, picture in enumerate(wanted, 1):
        try:
            image = evidence.read(picture)
        except TextonError:
            continue
        with torch.no_grad():
            scores = encode(image)[CLASS][0, :, 0, 0].double().cpu()
        rows[picture] = len(found)
        found.append(scores.softmax(0).numpy())
        if on_picture:
            on_picture(number, len(wanted))
    if not found:
        raise TextonError(f"no picture of '{evidence.root}' can be read: words need them")
    compared = np.array([rows[one] for one in drawn if one in rows], np.int64)
    return Seen(rows, np.stack(found), compared)


def words(
    seen: Seen, pictures: Sequence[Sequence[int]], names: Sequence[str] | None = None
) -> list[list[tuple[str, float]]]:
    """For each filter the words that its pictures share, with their scores, the best first.

    The score is soft-WPMI (Oikarinen & Weng 2023): Σ log(1 + p·(P − 1)) over the pictures by rank,
    P being what the classifier gives the word, less the same of pictures drawn at random. A word
    stands only where it scores above the 99th percentile of the best word of shuffled
    activations, in which any pictures may be the strongest.

    Args:
        pictures: the numbers of those that excite a filter most, the strongest first.
        names: of the classes; ImageNet's by default.
    """
    known = imagenet_names() if names is None else names
    bars: dict[int, float] = {}
    found: list[list[tuple[str, float]]] = []
    for strongest in pictures:
        rows = [seen.rows[one] for one in strongest if one in seen.rows]
        if len(rows) < 2 or len(seen.drawn) <= len(rows):
            found.append([])
            continue
        if len(rows) not in bars:
            bars[len(rows)] = _bar(seen, len(rows))
        score = _scores(seen, np.array([rows]))[0]
        best = np.argsort(-score)[:WORDS]
        bar = bars[len(rows)]
        found.append([(known[at], float(score[at])) for at in best if score[at] > bar])
    return found


def _scores(seen: Seen, rows: NDArray[np.int64]) -> Array:
    """(draws, K) rows of pictures by rank → (draws, classes)."""
    total = np.zeros((len(rows), seen.probabilities.shape[1]))
    for rank, sure in enumerate(np.linspace(_FIRST, _LAST, rows.shape[1])):
        soft = np.log1p(sure * (seen.probabilities - 1))
        total += soft[rows[:, rank]] - soft[seen.drawn].mean(0)
    return total


def _bar(seen: Seen, count: int) -> float:
    """What the best word of so many pictures reaches by chance, in 99 of 100 cases at most."""
    random = np.random.default_rng(count)
    drawn = np.stack([random.permutation(seen.drawn)[:count] for _ in range(_DRAWS)])
    best = [_scores(seen, part).max(1) for part in np.array_split(drawn, 10)]
    return float(np.quantile(np.concatenate(best), _LEVEL))
