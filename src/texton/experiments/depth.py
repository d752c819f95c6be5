"""Are textures of higher layers richer in colours and structure?"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from torch import Tensor

from texton.experiments.directions import disjoint_blends
from texton.experiments.frame.experiment import Experiment
from texton.experiments.frame.findings import Cell, Findings, Outcome
from texton.experiments.frame.lab import Lab, need, some_channels
from texton.experiments.frame.options import Options
from texton.experiments.frame.plots import panels
from texton.experiments.frame.textures import Series, filters_of, plan, solve
from texton.experiments.measures.colour import colour_entropy, hue_count
from texton.experiments.measures.statistics import Estimate, mean_interval, rank_trend
from texton.experiments.measures.structure import (
    compressed_size,
    orientation_entropy,
    spectral_slope,
)

MEASURES: dict[str, tuple[str, Callable[[Tensor], float]]] = {
    "colour entropy": ("bits", colour_entropy),
    "hue count": ("of 24 hues", hue_count),
    "spectral slope": ("exponent; 0 is white noise", spectral_slope),
    "orientation entropy": ("bits", orientation_entropy),
    "compressed size": ("bits per pixel", compressed_size),
}
COLOURS = ("colour entropy", "hue count")
KINDS = {
    "filter": "single filters",
    "blend": "blends of a few filters",
    "random": "single filters, random weights",
}
Values = dict[str, dict[str, list[list[float]]]]  # kind → measure → layer → one per item


def run(lab: Lab) -> Findings:
    layers = lab.layers(2)
    need(len(layers) > 1, "one layer has no depth to compare: --layers takes two or more")
    findings = Findings()
    series = {layer: _series(lab, layer) for layer in layers}
    plan(lab, [s for found in series.values() for s in found])
    values: Values = {}
    for layer in layers:
        for kind in dict.fromkeys(s.kind for s in series[layer]):
            images = [
                [made.image for made in solve(lab, s)] for s in series[layer] if s.kind == kind
            ]
            for name, (_, measure) in MEASURES.items():
                found = np.array([[measure(image) for image in row] for row in images])
                per_item = [float(value) for value in found.mean(0)]
                values.setdefault(kind, {}).setdefault(name, []).append(per_item)
    _report(findings, lab, layers, values)
    return findings


def _series(lab: Lab, layer: str) -> list[Series]:
    seed, count = lab.options.seed, lab.network.layer(layer).channels
    wanted = min(lab.options.filters, count)
    channels = some_channels(count, wanted, seed)
    found = [filters_of(lab, "filter", lab.network, p, layer, channels) for p in lab.photos]
    names = tuple(f"{i}of{wanted}" for i in range(wanted))
    shares = disjoint_blends(count, wanted, seed)
    found += [Series("blend", lab.network, p, layer, names, seed, shares) for p in lab.photos]
    if lab.random_network is not None:
        twin = lab.random_network
        found += [filters_of(lab, "random", twin, p, layer, channels) for p in lab.photos]
    return found


def _report(findings: Findings, lab: Lab, layers: list[str], values: Values) -> None:
    means: list[list[Cell]] = []
    trends: dict[str, dict[str, Estimate]] = {}
    for kind, measures in values.items():
        for name, found in measures.items():
            averages: list[Cell] = [float(np.mean(group)) for group in found]
            trends.setdefault(name, {})[kind] = rank_trend(found)
            means.append([name, KINDS[kind], *averages])
    plots = [
        (
            f"{name} ({unit})",
            {KINDS[k]: [mean_interval(g) for g in values[k][name]] for k in values},
        )
        for name, (unit, _) in MEASURES.items()
    ]
    note = "Means over filters with 95 % bootstrap intervals."
    findings.plot("By layer", panels(plots, layers), note)
    rows: list[list[Cell]] = [
        [name, KINDS[kind], trend.value, trend.low, trend.high, trend.n]
        for name, by_kind in trends.items()
        for kind, trend in by_kind.items()
    ]
    findings.table(
        "trends",
        "Rank correlation with depth",
        ["measure", "what", "Spearman's rho", "low", "high", "items"],
        rows,
        "95 % bootstrap intervals over the items of each layer.",
    )
    findings.table("means", "Means by layer", ["measure", "what", *layers], sorted(means, key=str))
    for name in MEASURES:
        _judge(findings, name, trends[name])
    findings.limits += [
        f"{lab.options.filters} filters per layer, averaged over {len(lab.photos)} photographs; "
        "filters of one layer are taken as independent.",
        "A deep layer does not see fine noise, which the inversion may leave in the picture: "
        "size and slope can grow with it. Where random weights show the same trend, training "
        "does not explain it.",
    ]


def _judge(findings: Findings, name: str, trends: dict[str, Estimate]) -> None:
    """Holds where the trend is positive and random weights do not show it as strongly."""
    own, random = trends["filter"], trends.get("random")
    outcome: Outcome = "not supported"
    if own.low > 0:
        outcome = "holds" if random is None or random.high < own.low else "partly"
    what = "more colours" if name in COLOURS else "more intricate structure"
    against = "" if random is None else f" Random weights: {random}."
    findings.judge(
        f"Textures of higher layers have {what}: {name} grows with depth.",
        outcome,
        f"Rank correlation with depth {own} over {own.n} filters.{against} "
        f"Blends of filters: {trends['blend']}.",
    )


EXPERIMENT = Experiment(
    name="depth",
    title="Are textures of higher layers richer?",
    section="section 3.1",
    question="The paper sees more colours and more intricate structure in the textures of higher "
    "layers. Do measures of colour and structure grow with depth?",
    method=(
        "Filters of five layers are drawn at random and inverted on every photograph; each "
        "measure is averaged over photographs, so that a filter counts once.",
        "Colours: the entropy of the colour histogram, and how many of 24 hues cover 2 % of the "
        "picture each. Structure: the slope of the power spectrum (nearer 0 is finer), in how "
        "many directions edges run, and the size of the picture as a JPEG.",
        "Controls: the same filters of a network with random weights, where depth is the same "
        "but nothing was learnt, and blends of a few filters. The trend is Spearman's rank "
        "correlation with the number of the layer. A claim holds where the interval is above 0 "
        "and the random network's interval lies below it; it holds partly where random weights "
        "may show it as well.",
    ),
    run=run,
    uses=("preset", "filters"),
    defaults=Options(size=96, filters=8, preset="fast"),
)
