"""Does the distribution of energy over filters tell styles apart?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch
from PIL.Image import Image
from torch import Tensor

from texton.experiments.frame.experiment import Experiment
from texton.experiments.frame.findings import Cell, Findings, Outcome
from texton.experiments.frame.lab import Lab, need
from texton.experiments.frame.options import Options
from texton.experiments.frame.plots import by_layer
from texton.experiments.frame.wall import wall
from texton.experiments.frame.works import Crop, crops_of_folder, crops_of_own
from texton.experiments.measures.colour import colour_histogram, matched_colours
from texton.experiments.measures.colour import lab as to_lab
from texton.experiments.measures.describer import HELD_OUT, LAYERS, greyed, held_out
from texton.experiments.measures.statistics import (
    Array,
    Estimate,
    by_work,
    label_chance,
    mean_interval,
    retrieval,
)
from texton.experiments.measures.style_statistics import (
    STATISTICS,
    Vectors,
    apart,
    apart_over_layers,
    measure,
    shuffled,
)

HISTOGRAM, SHUFFLED = "colour histogram", "means, channels shuffled"
COLOUR, GREY, MATCHED = "in colour", "in grey", "colours matched"
RANDOM, OTHER = "random weights", f"in colour, by {HELD_OUT}"
_FEW_WORKS, _FEW_STYLES = 30, 5
_MARGIN = 0.05  # of mAP: less does not count


class _Judge:
    """Scores of distances between the crops, by works."""

    def __init__(self, crops: Sequence[Crop], seed: int) -> None:
        self.styles = [crop.style for crop in crops]
        self.works = [crop.work for crop in crops]
        self.rows: list[list[Cell]] = []
        self.precisions: dict[tuple[str, str], Array] = {}
        self._seed = seed

    def score(self, pictures: str, name: str, layers: str, distances: Array) -> None:
        """Add a row; its average precisions, one per work, are kept for comparisons."""
        self.precisions[pictures, name] = self._by_work(distances)[0]
        precision, nearest = self.estimates(distances)
        chance, p = label_chance(distances, self.styles, self.works, _mean_ap, 200, self._seed)
        cells: list[Cell] = [pictures, name, layers, precision.value, precision.low]
        self.rows.append([*cells, precision.high, chance, p, nearest.value])

    def estimates(self, distances: Array) -> tuple[Estimate, Estimate]:
        """Mean average precision and nearest-neighbour accuracy, intervals over works."""
        precision, nearest = (mean_interval(values) for values in self._by_work(distances))
        return precision, nearest

    def told(self, pictures: str, name: str) -> str:
        """Mean average precision with its interval."""
        return str(mean_interval(self.precisions[pictures, name]))

    def p(self, pictures: str, name: str) -> float:
        found = {(row[0], row[1]): row[7] for row in self.rows}
        return float(found[pictures, name] or 0)

    def ahead(self, a: tuple[str, str], b: tuple[str, str]) -> Estimate:
        """How much more of a work's style ``a`` finds than ``b``: paired over works."""
        return mean_interval(self.precisions[a] - self.precisions[b])

    def _by_work(self, distances: Array) -> tuple[Array, Array]:
        precision, nearest = retrieval(distances, self.styles, self.works)
        return by_work(precision, self.works), by_work(nearest, self.works)


def _mean_ap(distances: Array, styles: Sequence[object], works: Sequence[object]) -> float:
    return float(by_work(retrieval(distances, styles, works)[0], works).mean())


def run(lab: Lab) -> Findings:
    need(lab.network.channels == 3, "styles are compared in colour: use a --network of 3 channels")
    findings, folder = Findings(), lab.options.folder
    crops = crops_of_own(lab) if folder is None else crops_of_folder(lab, folder)
    layers, judge = lab.layers(1), _Judge(crops, lab.options.seed)
    conditions = {
        COLOUR: [crop.image for crop in crops],
        GREY: [greyed(crop.image) for crop in crops],
        MATCHED: _matched([crop.image for crop in crops]),
    }
    for condition, images in conditions.items():
        found = measure(images, lab.network, layers)
        for name in STATISTICS:
            judge.score(condition, name, "all", apart_over_layers(found[name]))
        judge.score(condition, HISTOGRAM, "–", _histograms(images))
        if condition == COLOUR:
            mixed = apart_over_layers(shuffled(found["means"], judge.works))
            judge.score(COLOUR, SHUFFLED, "all", mixed)
            per_layer = _by_layer(findings, judge, found, layers)
    _other_networks(lab, judge, conditions[COLOUR], layers)
    findings.table(
        "retrieval",
        "Is the nearest picture of the same style?",
        ["pictures", "statistic", "layers", "mAP", "low", "high", "chance", "p", "nearest"],
        judge.rows,
        "mAP: mean average precision over works, 95 % intervals by bootstrap over works. Chance "
        "and p: the same with styles dealt out to works at random. Nearest: how often the crop "
        "nearest to a crop, of all other works, has its style, averaged over works.",
    )
    columns = ["layer", *(f"{name} {score}" for name in STATISTICS for score in ("mAP", "nearest"))]
    findings.table("by_layer", "By layer, in colour", columns, per_layer)
    findings.show("One crop of every work", _gallery(crops))
    _verdicts(findings, lab, judge)
    return findings


def _other_networks(lab: Lab, judge: _Judge, images: list[Tensor], layers: Sequence[str]) -> None:
    """Random weights; and a network that no picture of ours was made to match."""
    if lab.random_network is not None:
        wild = measure(images, lab.random_network, layers, ("means",))["means"]
        judge.score(RANDOM, "means", "all", apart_over_layers(wild))
    if not lab.network.name.startswith(HELD_OUT):
        found = measure(images, held_out(lab.network), LAYERS, ("means",))["means"]
        judge.score(OTHER, "means", "all", apart_over_layers(found))


def _by_layer(
    findings: Findings, judge: _Judge, found: Vectors, layers: Sequence[str]
) -> list[list[Cell]]:
    lines = {
        name: [judge.estimates(apart(found[name][layer])) for layer in layers]
        for name in STATISTICS
    }
    precisions = {name: [precision for precision, _ in line] for name, line in lines.items()}
    chance = float(judge.rows[0][6] or 0)
    plot = by_layer(precisions, layers, "mAP", chance)
    findings.plot("Retrieval by layer", plot, "95 % intervals over works.")
    return [
        [layer, *[score.value for line in lines.values() for score in line[place]]]
        for place, layer in enumerate(layers)
    ]


def _histograms(images: Sequence[Tensor]) -> Array:
    rows = np.stack([colour_histogram(image) for image in images])
    return np.asarray(np.abs(rows[:, None] - rows[None]).sum(2) / 2)


def _matched(images: Sequence[Tensor]) -> list[Tensor]:
    """All pictures with the same mean and spread of colours: those of the average picture."""
    values = [to_lab(image).reshape(-1, 3) for image in images]
    mean = np.mean([v.mean(0) for v in values], axis=0)
    spread = np.mean([v.std(0) for v in values], axis=0)
    return [
        torch.from_numpy(matched_colours(image, mean, spread)).float().permute(2, 0, 1)
        for image in images
    ]


def _verdicts(findings: Findings, lab: Lab, judge: _Judge) -> None:
    style_of = dict(zip(judge.works, judge.styles, strict=True))
    per_style = Counter(style_of.values())
    works, styles = len(style_of), len(per_style)
    carrying = sum(count for count in per_style.values() if count > 1)
    own = lab.options.folder is None
    weak = own or carrying < _FEW_WORKS or styles < _FEW_STYLES
    findings.data |= {"works": works, "styles": styles, "works_that_carry_the_number": carrying}
    above = all(judge.p(pictures, "means") < 0.05 for pictures in (COLOUR, GREY, MATCHED))
    findings.judge(
        "The distribution of energy over feature maps tells whether two images have one style.",
        ("partly" if weak else "holds") if above else "not supported",
        f"mAP of the means {judge.told(COLOUR, 'means')} in colour, {judge.told(GREY, 'means')} "
        f"in grey, {judge.told(MATCHED, 'means')} with colours matched; chance "
        f"{judge.rows[0][6]:.2f}; colour histogram {judge.told(COLOUR, HISTOGRAM)}. "
        f"{carrying} independent works carry the number"
        + (", all made by the program itself: weak evidence." if own else "."),
    )
    _compare(findings, judge)
    findings.limits.append(
        f"The number rests on {carrying} works of {sum(c > 1 for c in per_style.values())} styles"
        + (f"; {works - carrying} more, the only ones of their styles, " * (works > carrying))
        + ("only stand in the way" * (works > carrying))
        + ". Crops of one work are never hits or misses for each other."
    )
    if own:
        findings.limits.append(
            "Without a folder, the works are photographs stylised by matching these very "
            "statistics, and textures of filters: they show that the measure works, hardly that "
            "painters have such a signature. Give a folder with several works per artist."
        )


def _compare(findings: Findings, judge: _Judge) -> None:
    lost = judge.ahead((COLOUR, "means"), (COLOUR, SHUFFLED))
    findings.judge(
        "It is which filters carry the energy, not how unevenly it is spread.",
        "holds" if lost.low > 0 else "not supported",
        f"With the channels of every work shuffled: {judge.told(COLOUR, SHUFFLED)}; the means are "
        f"ahead by {lost}, paired over works.",
    )
    gains = [judge.ahead((pictures, "gram"), (pictures, "means")) for pictures in (COLOUR, GREY)]
    outcome: Outcome = "holds" if all(gain.high < _MARGIN for gain in gains) else "partly"
    findings.judge(
        "The sums alone tell styles apart as well as Gram matrices do.",
        "not supported" if any(gain.low > 0 for gain in gains) else outcome,
        f"Gram matrices are ahead of the means by {gains[0]} in colour, {gains[1]} in grey (below "
        f"0: behind); their mAP {judge.told(COLOUR, 'gram')} and {judge.told(GREY, 'gram')}. "
        f"Without the sums, as covariances: {judge.told(COLOUR, 'covariance')} and "
        f"{judge.told(GREY, 'covariance')}.",
    )
    if (RANDOM, "means") in judge.precisions:
        learnt = judge.ahead((COLOUR, "means"), (RANDOM, "means"))
        # random weights that find styles too, only fewer, show no need for training
        outcome = "partly" if judge.p(RANDOM, "means") < 0.05 else "holds"
        findings.judge(
            "The network has to be trained for it.",
            outcome if learnt.low > 0 else "not supported",
            f"Means of random weights: {judge.told(RANDOM, 'means')}, in colour; the trained "
            f"network is ahead by {learnt}.",
        )


def _gallery(crops: Sequence[Crop]) -> Image:
    """A row per style, a crop per work."""
    first = {crop.work: crop for crop in reversed(crops)}
    by_style: dict[str, list[tuple[str, Tensor]]] = {}
    for crop in crops:
        if first.pop(crop.work, None) is not None:
            name = crop.work.rpartition("/")[2]
            by_style.setdefault(crop.style, []).append((f"{crop.style} · {name}", crop.image))
    return wall([row[:8] for row in by_style.values()], height=110, width=210)


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
        "and filters' textures; crops are half the size. Copies of one picture are one work.",
    ),
    run=run,
    uses=("preset", "repeats"),
    defaults=Options(size=128, repeats=3, preset="fast"),
    takes_folder=True,
)
