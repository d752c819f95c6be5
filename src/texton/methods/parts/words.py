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
_SURE = 0.985  # how sure it is that a picture belongs to the filter: one alone decides nothing
_COMPARED = 1000  # other pictures, drawn at random, that words are compared with
_TURNS = 300
_LEAST = 100  # pictures: of fewer no 99th percentile can be told
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
    encode, intake = class_encoder(classifier, compute.exact()), classifier.intake()
    rows: dict[int, int] = {}
    found: list[Array] = []
    for number, picture in enumerate(wanted, 1):
        try:
            image = intake.fitted(evidence.read(picture))
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

    The score is that of soft-WPMI (Oikarinen & Weng 2023): Σ log(1 + p·(P − 1)) over the
    pictures, P being what the classifier gives the word, less the same of pictures drawn at
    random. A word stands only where it scores above the 99th percentile of the best word of
    shuffled activations. These are shuffled by turning the list of pictures as a whole, so that
    frames of a film or crops of a photograph, which follow each other in a folder, stay together.

    Args:
        pictures: the numbers of those that excite a filter most.
        names: of the classes; ImageNet's by default.
    """
    known = imagenet_names() if names is None else names
    soft = np.log1p(_SURE * (seen.probabilities - 1))
    soft -= soft[seen.drawn].mean(0)
    found: list[list[tuple[str, float]]] = []
    for number, strongest in enumerate(pictures):
        rows = np.array([seen.rows[one] for one in strongest if one in seen.rows], np.int64)
        if len(rows) < 2 or len(soft) < _LEAST:
            found.append([])
            continue
        score, bar = soft[rows].sum(0), _bar(soft, rows, number)
        best = np.argsort(-score)[:WORDS]
        found.append([(known[at], float(score[at])) for at in best if score[at] > bar])
    return found


def _bar(soft: Array, rows: NDArray[np.int64], seed: int) -> float:
    """What the best word reaches by chance, in 99 of 100 cases at most."""
    turns = np.random.default_rng(seed).permutation(np.arange(1, len(soft)))[:_TURNS]
    best = [soft[(rows + turn) % len(soft)].sum(0).max() for turn in turns]
    return float(np.quantile(best, _LEVEL))
