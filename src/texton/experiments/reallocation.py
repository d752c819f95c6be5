"""What do random shares of energy change, and where?"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations

import numpy as np
import torch
from PIL.Image import Image
from torch import Tensor

from texton.experiments.frame.experiment import Experiment
from texton.experiments.frame.findings import Cell, Findings, Outcome
from texton.experiments.frame.lab import Lab, need
from texton.experiments.frame.options import Options
from texton.experiments.frame.plots import panels
from texton.experiments.frame.reallocated import Planned, plain, plan, random_style
from texton.experiments.frame.samples import Picture
from texton.experiments.measures.colour import colour_distance
from texton.experiments.measures.describer import held_out
from texton.experiments.measures.statistics import Estimate, mean_interval, rank_trend
from texton.experiments.measures.structure import likeness
from texton.network import Network
from texton.sheets import Tile, make_sheet

Distance = Callable[[Tensor, Tensor], float]
Values = dict[str, dict[str, list[list[float]]]]  # kind → measure → layer → values
_CONTENT = "_blocks.4"
_START = 1
KINDS = {"trained": "random shares", "plain": "plain inversion", "random": "random weights"}
CLAIMS = {
    "colour": ("Random shares change colours at low layers: the change falls with depth.", -1),
    "structure": ("Random shares change structure at high layers: the change grows with depth.", 1),
    "content": ("The content fades: the content error grows with depth.", 1),
}


def run(lab: Lab) -> Findings:
    layers = lab.layers(1)
    need(len(layers) > 1, "one layer has no depth to compare: --layers takes two or more")
    findings, measures = Findings(), _measures(held_out(lab.network))
    draws = list(range(lab.options.repeats))
    networks = [n for n in (lab.network, lab.random_network) if n is not None]
    planned: list[Planned] = [
        (network, photo, layer, draws, True)
        for network in networks
        for photo in lab.photos
        for layer in layers
    ]
    plan(lab, planned)
    absolute: Values = {}
    excess: Values = {}
    for layer in layers:
        for network in networks:
            kind = "trained" if network is lab.network else "random"
            _measure(lab, network, layer, draws, measures, kind, absolute, excess)
    pairs = {layer: _pairs(lab, layer, draws, measures) for layer in layers}
    for photo in lab.photos:
        findings.show(f"Random styles of {photo.name}", _sheet(lab, photo, layers, draws))
    _report(findings, lab, layers, absolute, excess, pairs)
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
    kind: str,
    absolute: Values,
    excess: Values,
) -> None:
    """Distances from the photograph; ``excess``: over those of the plain inversion."""
    for name, measure in measures.items():
        values, bases, over = [], [], []
        for photo in lab.photos:
            base = measure(plain(lab, network, photo, layer).image, photo.image[0])
            bases.append(base)
            for draw in draws:
                made = random_style(lab, network, photo, layer, draw)
                values.append(measure(made.image, photo.image[0]))
                over.append(values[-1] - base)
        absolute.setdefault(kind, {}).setdefault(name, []).append(values)
        excess.setdefault(kind, {}).setdefault(name, []).append(over)
        if kind == "trained":
            absolute.setdefault("plain", {}).setdefault(name, []).append(bases)


def _pairs(
    lab: Lab, layer: str, draws: list[int], measures: dict[str, Distance]
) -> dict[str, tuple[float, float]]:
    """How far apart pictures are: of two shares, and of the same shares from two starts."""
    found = {}
    for name, measure in measures.items():
        shares, starts = [], []
        for photo in lab.photos:
            made = [random_style(lab, lab.network, photo, layer, draw).image for draw in draws]
            shares += [measure(a, b) for a, b in combinations(made, 2)]
            again = random_style(lab, lab.network, photo, layer, draws[0], _START).image
            starts.append(measure(again, made[0]))
        found[name] = (float(np.mean(shares)) if shares else float("nan"), float(np.mean(starts)))
    return found


def _report(
    findings: Findings,
    lab: Lab,
    layers: list[str],
    absolute: Values,
    excess: Values,
    pairs: dict[str, dict[str, tuple[float, float]]],
) -> None:
    labels = {
        "colour": "colour distance (L*a*b*)",
        "structure": "1 − SSIM",
        "content": "content error",
    }
    plots = [
        (
            label,
            {
                KINDS[k]: [mean_interval(v) for v in absolute[k][name]]
                for k in KINDS
                if k in absolute
            },
        )
        for name, label in labels.items()
    ]
    note = "From the photograph; means with 95 % bootstrap intervals over photographs and shares."
    findings.plot("How far from the photograph", panels(plots, layers), note)
    rows: list[list[Cell]] = []
    for name in labels:
        for kind in ("trained", "plain", "random"):
            if kind in absolute:
                means: list[Cell] = [float(np.mean(v)) for v in absolute[kind][name]]
                rows.append([name, KINDS[kind], *means])
        for place, what in enumerate(("two random shares apart", "two starts apart")):
            rows.append([name, what, *[pairs[layer][name][place] for layer in layers]])
    findings.table("distances", "Distances by layer", ["measure", "what", *layers], rows)
    trends: list[list[Cell]] = []
    for name in labels:
        raw = {kind: rank_trend(values[name]) for kind, values in absolute.items()}
        beyond = {kind: rank_trend(values[name]) for kind, values in excess.items()}
        for what, found in (("", raw), (", beyond plain", beyond)):
            trends += [
                [name, KINDS[k] + what, t.value, t.low, t.high, t.n] for k, t in found.items()
            ]
        shares, starts = pairs[layers[-1]][name]
        last = f" At {layers[-1]} two shares lie {shares:.2f} apart, two starts {starts:.2f}."
        _judge(findings, name, raw, beyond, last)
    columns = ["measure", "what", "Spearman's rho", "low", "high", "pictures"]
    note = "Beyond plain: over the plain inversion of the same layer. Bootstrap over pictures."
    findings.table("trends", "Rank correlation with depth", columns, trends, note)
    findings.limits += [
        f"{len(lab.photos)} photographs × {lab.options.repeats} draws of shares: the pictures of "
        "one photograph are not independent, so intervals are narrower than they should be.",
        "A plain inversion loses content with depth by itself; the trends are of what is lost "
        "beyond it.",
    ]


def _judge(
    findings: Findings,
    name: str,
    raw: dict[str, Estimate],
    beyond: dict[str, Estimate],
    last: str,
) -> None:
    """Holds where the trend is there, beyond plain inversion too, and not with random weights."""
    claim, sign = CLAIMS[name]

    def clear(trend: Estimate | None) -> bool:
        return trend is not None and (trend.low > 0 if sign > 0 else trend.high < 0)

    both = [clear(raw["trained"]), clear(beyond["trained"])]
    outcome: Outcome = "partly" if any(both) else "not supported"
    if all(both) and not clear(beyond.get("random")):
        outcome = "holds"
    random = beyond.get("random")
    findings.judge(
        claim,
        outcome,
        f"Rank correlation with depth {raw['trained']}; of plain inversion alone {raw['plain']}; "
        f"beyond it {beyond['trained']}"
        + (f", with random weights {random}" if random else "")
        + f".{last}",
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
            tiles.append(Tile(made.image, layer))
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
        "Controls: the plain inversion of the same layer, whose distance is also subtracted "
        "before trends are taken; a network with random weights; the same shares from another "
        "start, to see how much is chance of the solver. A claim holds where its trend is clear "
        "both as it is and beyond plain inversion, and random weights do not show it; partly "
        "where one of these fails.",
    ),
    run=run,
    uses=("preset", "repeats"),
    defaults=Options(size=96, repeats=4, preset="fast"),
)
