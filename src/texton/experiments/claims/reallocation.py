"""What do random shares of energy change, and where?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch
from numpy.typing import NDArray
from PIL.Image import Image
from torch import Tensor

from texton.experiments.harness.experiment import Experiment
from texton.experiments.harness.lab import Lab, need
from texton.experiments.harness.options import Options
from texton.experiments.harness.series import plain, random_style
from texton.experiments.measures.colour import colour_distance
from texton.experiments.measures.describer import held_out
from texton.experiments.measures.statistics import Estimate, mean_interval, rank_trend
from texton.experiments.measures.structure import likeness
from texton.experiments.measures.style_statistics import over_pairs
from texton.experiments.report.findings import Cell, Findings, Outcome
from texton.experiments.report.plots import panels
from texton.images.folder import Picture
from texton.images.sheets import Tile, make_sheet
from texton.network.network import Network

Array = NDArray[np.float64]
Distance = Callable[[Tensor, Tensor], float]
Values = dict[str, dict[str, list[Array]]]  # kind → measure → layer → values
_CONTENT = "_blocks.4"
_BOUNDED = ("structure",)  # cannot exceed 1
_LEAST = 0.05  # of headroom: below, the excess would be noise divided by nothing
KINDS = {"trained": "random shares", "plain": "plain inversion", "random": "random weights"}
LABELS = {
    "colour": "colour distance (L*a*b*)",
    "structure": "1 − SSIM",
    "content": "content error",
}
CLAIMS = {
    "colour": ("Random shares change colours at low layers: the change falls with depth.", -1),
    "structure": ("Random shares change structure at high layers: the change grows with depth.", 1),
    "content": ("The content fades: the content error grows with depth.", 1),
}


@dataclass(frozen=True)
class Apart:
    """How far pictures of a layer are from each other, averaged over photographs.

    Attributes:
        shares: of two draws of the shares, (n, n).
        starts: of the same shares from two starts, (n,).
    """

    shares: Array
    starts: Array

    @property
    def beyond(self) -> Estimate:
        """How much further two draws are apart than two starts; the interval is over draws."""
        return over_pairs(self.shares - (self.starts[:, None] + self.starts[None]) / 2)


@dataclass(frozen=True)
class Found:
    """What all is judged by: a draw of the shares counts once, averaged over photographs.

    Attributes:
        absolute: distances from the photograph, one per draw (plain inversion: per photograph).
        excess: those beyond the plain inversion; of what has a ceiling, as a share of the
            distance that the plain inversion leaves to it.
        apart: measure → layer.
    """

    absolute: Values
    excess: Values
    apart: dict[str, list[Apart]]


def run(lab: Lab) -> Findings:
    layers = lab.layers(1)
    need(len(layers) > 1, "one layer has no depth to compare: --layers takes two or more")
    findings, measures = Findings(), _measures(held_out(lab.network))
    draws = list(range(lab.options.repeats))
    networks = [n for n in (lab.network, lab.random_network) if n is not None]
    every = [(n, p, layer) for n in networks for p in lab.photos for layer in layers]
    random = [random_style(lab, *where, draw) for where in every for draw in draws]
    again = [
        random_style(lab, lab.network, photo, layer, draw, start=1)
        for photo in lab.photos
        for layer in layers
        for draw in draws
    ]
    lab.make([*random, *again, *(plain(lab, *where) for where in every)])
    found = Found({}, {}, {})
    for layer in layers:
        for network in networks:
            _measure(lab, network, layer, draws, measures, found)
        for name, measure in measures.items():
            found.apart.setdefault(name, []).append(_apart(lab, layer, draws, measure))
    for photo in lab.photos:
        findings.show(f"Random styles of {photo.name}", _sheet(lab, photo, layers, draws))
    _report(findings, layers, found)
    _trends(findings, layers, found)
    findings.limits += _limits(lab)
    return findings


def _measures(describer: Network) -> dict[str, Distance]:
    def content(picture: Tensor, photo: Tensor) -> float:
        with torch.no_grad():
            a, b = (describer.encode(x[None], _CONTENT)[_CONTENT] for x in (picture, photo))
        return float((a - b).square().sum() / b.square().sum())

    return {
        "colour": colour_distance,
        "structure": lambda a, b: 1 - likeness(a, b),
        "content": content,
    }


def _measure(
    lab: Lab,
    network: Network,
    layer: str,
    draws: list[int],
    measures: dict[str, Distance],
    found: Found,
) -> None:
    """Distances of a layer's pictures from their photographs, and beyond plain inversion."""
    kind = "trained" if network is lab.network else "random"
    for name, measure in measures.items():
        bases, rows = [], []
        for photo in lab.photos:
            bases.append(measure(lab.picture(plain(lab, network, photo, layer)), photo.image[0]))
            made = [lab.picture(random_style(lab, network, photo, layer, d)) for d in draws]
            rows.append([measure(image, photo.image[0]) for image in made])
        values, base = np.mean(rows, axis=0), float(np.mean(bases))
        found.absolute.setdefault(kind, {}).setdefault(name, []).append(values)
        found.excess.setdefault(kind, {}).setdefault(name, []).append(beyond(name, values, base))
        if kind == "trained":
            found.absolute.setdefault("plain", {}).setdefault(name, []).append(np.array(bases))


def beyond(name: str, values: Array, base: float) -> Array:
    """Distances beyond the plain inversion's.

    Of what has a ceiling, as a share of what is left up to it: near the ceiling, where deep
    layers are, the same change moves less.
    """
    return (values - base) / (max(1 - base, _LEAST) if name in _BOUNDED else 1)


def _apart(lab: Lab, layer: str, draws: list[int], measure: Distance) -> Apart:
    shares, starts = np.zeros((len(draws), len(draws))), np.zeros(len(draws))
    for photo in lab.photos:
        made, again = (
            [lab.picture(random_style(lab, lab.network, photo, layer, d, start)) for d in draws]
            for start in (0, 1)
        )
        starts += [measure(b, a) for a, b in zip(made, again, strict=True)]
        for a, b in combinations(draws, 2):
            shares[[a, b], [b, a]] += measure(made[a], made[b])
    return Apart(shares / len(lab.photos), starts / len(lab.photos))


def _report(findings: Findings, layers: list[str], found: Found) -> None:
    plots = [
        (
            label,
            {
                title: [mean_interval(v) for v in found.absolute[kind][name]]
                for kind, title in KINDS.items()
                if kind in found.absolute
            },
        )
        for name, label in LABELS.items()
    ]
    note = (
        "From the photograph; means with 95 % bootstrap intervals over draws of the shares, each "
        "averaged over photographs; of plain inversions, over photographs."
    )
    findings.plot("How far from the photograph", panels(plots, layers), note)
    rows: list[list[Cell]] = []
    for name in LABELS:
        for kind, title in KINDS.items():
            if kind in found.absolute:
                means: list[Cell] = [float(np.mean(v)) for v in found.absolute[kind][name]]
                rows.append([name, title, *means])
        apart = found.apart[name]
        two = [over_pairs(a.shares).value if len(a.starts) > 1 else None for a in apart]
        rows.append([name, "two random shares apart", *two])
        starts: list[Cell] = [float(a.starts.mean()) for a in apart]
        rows.append([name, "two starts apart", *starts])
    findings.table("distances", "Distances by layer", ["measure", "what", *layers], rows)


def _trends(findings: Findings, layers: list[str], found: Found) -> None:
    rows: list[list[Cell]] = []
    for name, (_, sign) in CLAIMS.items():
        raw = {kind: rank_trend(values[name]) for kind, values in found.absolute.items()}
        excess = {kind: rank_trend(values[name]) for kind, values in found.excess.items()}
        for what, trends in (("", raw), (", beyond plain", excess)):
            rows += [
                [name, KINDS[kind] + what, t.value, t.low, t.high, t.n]
                for kind, t in trends.items()
            ]
        place = -1 if sign > 0 else 0  # where the claim sees the change
        judge(findings, name, raw, excess, layers[place], found.apart[name][place])
    columns = ["measure", "what", "Spearman's rho", "low", "high", "pictures"]
    note = (
        "Beyond plain: over the plain inversion of the same layer; of 1 − SSIM, as a share of "
        "what that leaves up to 1. Bootstrap over draws, each averaged over photographs; of plain "
        "inversion, over photographs."
    )
    findings.table("trends", "Rank correlation with depth", columns, rows, note)


def _limits(lab: Lab) -> list[str]:
    found = [
        f"Draws of shares: {lab.options.repeats}, each averaged over the photographs, of which "
        f"there are {len(lab.photos)}: intervals tell what other draws might give, not what other "
        "photographs might.",
        "A plain inversion loses content with depth by itself; the trends are of what is lost "
        "beyond it.",
    ]
    if lab.random_network is None:
        found.append(
            "The network has no twin of random weights: whether training makes the trends cannot "
            "be told, and no claim comes out better than 'partly'."
        )
    return found


def judge(
    findings: Findings,
    name: str,
    raw: dict[str, Estimate],
    excess: dict[str, Estimate],
    layer: str,
    apart: Apart,
) -> None:
    """Holds where the trend is clear, beyond plain inversion too, stronger than with random
    weights, and where, at the layer of the change, it is the shares that make it.
    """
    claim, sign = CLAIMS[name]

    def clear(trend: Estimate, sign: int = sign) -> bool:
        return trend.low > 0 if sign > 0 else trend.high < 0

    own, random, ahead = excess["trained"], excess.get("random"), apart.beyond
    both = [clear(raw["trained"]), clear(own)]
    against = clear(raw["trained"], -sign) or clear(own, -sign)
    stronger = random is not None and (random.high < own.low if sign > 0 else random.low > own.high)
    outcome: Outcome = "partly" if any(both) and not against else "not supported"
    if all(both) and stronger and ahead.low > 0:
        outcome = "holds"
    told = f"two shares lie {ahead} further apart than two starts, {apart.starts.mean():.2f}"
    if ahead.n < 2:
        told = f"two starts lie {apart.starts.mean():.2f} apart; of one draw no more can be told"
    findings.judge(
        claim,
        outcome,
        f"Rank correlation with depth {raw['trained']}; of plain inversion alone {raw['plain']}; "
        f"beyond it {own}"
        + (f", with random weights {random}" if random else "")
        + f". At {layer} {told}.",
    )


def _sheet(lab: Lab, photo: Picture, layers: list[str], draws: list[int]) -> Image:
    rows = []
    for label, draw in [("plain", None), *[(f"shares {d}", d) for d in draws[:3]]]:
        tiles = [Tile(photo.image[0], photo.name)]
        for layer in layers:
            made = (
                plain(lab, lab.network, photo, layer)
                if draw is None
                else random_style(lab, lab.network, photo, layer, draw)
            )
            tiles.append(Tile(lab.picture(made), layer))
        rows.append((label, tiles))
    return make_sheet(rows)


EXPERIMENT = Experiment(
    name="reallocation",
    title="What do random shares of energy change?",
    section="sections 2.2 and 3.2",
    question="The paper sees colours change at low layers and structure at high layers, where "
    "the content fades. Does it show in numbers, beyond what an inversion loses anyway?",
    method=(
        "A photograph's code is inverted as it is, and with its energy shared out to the filters "
        "at random, several times at each layer. All pictures are compared with the photograph.",
        "Colour: sliced Wasserstein distance of the colours in L*a*b*, wherever they stand. "
        "Structure: one minus the structural similarity of luminance, brought to one mean and "
        "contrast. Content: the relative error of the code in EfficientNet-lite0, which no "
        "inversion has seen.",
        "A draw of the shares is the same on every photograph, and counts once: its distances "
        "are averaged over photographs.",
        "Controls: the plain inversion of the same layer, whose distance is also subtracted "
        "before trends are taken, and divided out of what is left where a measure has a ceiling; "
        "a network with random weights; the same shares from another start, to see how much is "
        "chance of the solver. A claim holds where its trend is clear both as it is and beyond "
        "plain inversion, where the interval of random weights lies wholly on the weaker side, "
        "and where, at the layer that the claim is about (the first for colours, the last for "
        "structure and content), two draws lie clearly further apart than two starts. It holds "
        "partly where only a trend is clear and the other is not clearly against it.",
    ),
    run=run,
    uses=("preset", "repeats"),
    defaults=Options(size=96, repeats=4, preset="fast"),
)
