"""Does the distribution of energy over filters tell styles apart?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL.Image import Image
from torch import Tensor

from texton.errors import TextonError, optional
from texton.experiments.claims.style_retrieval import (
    COLOUR,
    GREY,
    HISTOGRAM,
    MATCHED,
    OTHER,
    RANDOM,
    SHUFFLED,
    Judge,
    verdicts,
)
from texton.experiments.claims.style_works import Crop, crops_of_folder, crops_of_own
from texton.experiments.harness.experiment import Experiment
from texton.experiments.harness.lab import Lab, need
from texton.experiments.harness.options import Options
from texton.experiments.measures.colour import colour_histogram, matched_colours
from texton.experiments.measures.colour import lab as to_lab
from texton.experiments.measures.describer import LAYERS, greyed, held_out, is_held_out
from texton.experiments.measures.statistics import Array, Estimate
from texton.experiments.measures.style_statistics import (
    STATISTICS,
    apart_over_layers,
    distances_by_layer,
    measure,
    shuffled,
)
from texton.experiments.report.findings import Cell, Findings
from texton.experiments.report.plots import by_layer
from texton.images.sheets import make_rows
from texton.network.network import Network

with optional("experiments"):
    from scipy.spatial.distance import cdist

Scores = dict[str, list[tuple[Estimate, Estimate]]]  # statistic → layer → mAP, nearest


def run(lab: Lab) -> Findings:
    need(lab.network.channels == 3, "styles are compared in colour: use a --network of 3 channels")
    findings, folder = Findings(), lab.options.folder
    other = _other_network(lab, findings)  # before anything is solved that it might refuse
    if folder is None:
        crops = crops_of_own(lab)
    else:
        crops, limits = crops_of_folder(lab, folder)
        findings.limits += limits
    layers, judge = lab.layers(1), Judge(crops, lab.options.seed)
    conditions = {
        COLOUR: [crop.image for crop in crops],
        GREY: [greyed(crop.image) for crop in crops],
        MATCHED: _matched([crop.image for crop in crops]),
    }
    by_layers = {
        condition: _score(lab, judge, condition, images, layers)
        for condition, images in conditions.items()
    }
    if lab.random_network is not None:
        wild = measure(conditions[COLOUR], lab.random_network, layers, ("means",))["means"]
        judge.score(RANDOM, "means", "all", apart_over_layers(wild))
    if other is not None:
        foreign = measure(conditions[COLOUR], other, LAYERS, ("means",))["means"]
        judge.score(OTHER, "means", "all", apart_over_layers(foreign))
    findings.table(
        "retrieval",
        "Is the nearest picture of the same style?",
        ["pictures", "statistic", "layers", "mAP", "low", "high", "chance", "p", "nearest"],
        judge.rows,
        "mAP: mean average precision over works, 95 % intervals by bootstrap over works. Chance "
        "and p: the same with styles dealt out to works at random. Nearest: how often the crop "
        "nearest to a crop, of all other works, has its style, averaged over works.",
    )
    _by_layer(findings, by_layers[COLOUR], layers, judge.chances[COLOUR, "means"][0])
    findings.show("One crop of every work", _gallery(crops))
    verdicts(findings, judge, own=folder is None)
    return findings


def _other_network(lab: Lab, findings: Findings) -> Network | None:
    """A network that no picture of ours was made to match; its row is left out without it."""
    if is_held_out(lab.network):
        return None
    try:
        return held_out(lab.network)
    except TextonError as error:
        findings.limits.append(f"No second network has looked at the pictures: {error}.")
        return None


def _score(
    lab: Lab, judge: Judge, condition: str, images: list[Tensor], layers: Sequence[str]
) -> Scores:
    """The rows of one condition; the scores of every layer where pictures are in colour."""
    total = {name: np.zeros((len(images), len(images))) for name in STATISTICS}
    scores: Scores = {name: [] for name in STATISTICS}
    means: dict[str, Array] = {}
    for layer, own, distances in distances_by_layer(images, lab.network, layers):
        means[layer] = own
        for name, found in distances.items():
            total[name] += found / len(layers)
            if condition == COLOUR:
                scores[name].append(judge.estimates(found))
    for name, found in total.items():
        judge.score(condition, name, "all", found)
    judge.score(condition, HISTOGRAM, "–", _histograms(images))
    if condition == COLOUR:
        judge.score(COLOUR, SHUFFLED, "all", apart_over_layers(shuffled(means, judge.works)))
    return scores


def _by_layer(findings: Findings, scores: Scores, layers: Sequence[str], chance: float) -> None:
    precisions = {name: [precision for precision, _ in line] for name, line in scores.items()}
    plot = by_layer(precisions, layers, "mAP", chance)
    findings.plot("Retrieval by layer", plot, "95 % intervals over works.")
    columns = ["layer", *(f"{name} {score}" for name in STATISTICS for score in ("mAP", "nearest"))]
    rows: list[list[Cell]] = [
        [layer, *[score.value for line in scores.values() for score in line[place]]]
        for place, layer in enumerate(layers)
    ]
    findings.table("by_layer", "By layer, in colour", columns, rows)


def _histograms(images: Sequence[Tensor]) -> Array:
    rows = np.stack([colour_histogram(image) for image in images])
    return np.asarray(cdist(rows, rows, "cityblock") / 2)


def _matched(images: Sequence[Tensor]) -> list[Tensor]:
    """All pictures with the same mean and spread of colours: those of the average picture."""
    values = [to_lab(image).reshape(-1, 3) for image in images]
    mean = np.mean([v.mean(0) for v in values], axis=0)
    spread = np.mean([v.std(0) for v in values], axis=0)
    return [
        torch.from_numpy(matched_colours(image, mean, spread)).float().permute(2, 0, 1)
        for image in images
    ]


def _gallery(crops: Sequence[Crop]) -> Image:
    """A row per style, a crop per work."""
    first = {crop.work: crop for crop in reversed(crops)}
    by_style: dict[str, list[tuple[str, Tensor]]] = {}
    for crop in crops:
        if first.pop(crop.work, None) is not None:
            name = crop.work.rpartition("/")[2]
            by_style.setdefault(crop.style, []).append((f"{crop.style} · {name}", crop.image))
    return make_rows([row[:8] for row in by_style.values()], height=110, width=210)


EXPERIMENT = Experiment(
    name="style-identity",
    title="Does energy tell styles apart?",
    section="sections 2.3 and 3.3",
    question="The paper holds that images of one style share the distribution of energy over "
    "feature maps. Is another work of the same style nearer than works of other styles?",
    method=(
        "Every work is cut into square crops. For each crop the other works are ranked by the "
        "distance of a statistic of their codes at relu1_1, relu2_1, relu3_1, relu4_1 and "
        "relu5_1: each filter's mean (the paper's sums), its share of the energy, means and "
        "standard deviations, Gram matrices, or covariances (the Gram matrix without the sums). "
        "Crops of one work are never compared.",
        "Scores are averaged per work, so that a work counts once, whatever its crops.",
        "Controls: a colour histogram, no network at all; pictures in grey; pictures all brought "
        "to the same colours; each work's channels shuffled, which keeps how unevenly energy is "
        "spread and loses where; a network with random weights; EfficientNet-lite0, which no "
        "picture was made to match; styles dealt out at random.",
        "Without a folder, the works are the style pictures, photographs stylised by the program, "
        "and filters' textures; crops are half the size. Copies of one picture are one work, "
        "resized or saved anew too.",
        "A claim needs 30 works and 5 styles, none of the program's own, to hold more than "
        "partly; two statistics are compared only where both are above chance.",
    ),
    run=run,
    uses=("preset", "repeats"),
    defaults=Options(size=128, repeats=3, preset="fast"),
    takes_folder=True,
)
