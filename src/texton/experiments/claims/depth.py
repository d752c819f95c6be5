"""Are textures of higher layers richer in colours and structure?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import chain

import numpy as np
from torch import Tensor

from texton.experiments.harness.experiment import Experiment
from texton.experiments.harness.folder import Made
from texton.experiments.harness.lab import Lab, need, some_channels
from texton.experiments.harness.options import Options
from texton.experiments.harness.series import directions_of, filters_of
from texton.experiments.harness.work import Series
from texton.experiments.measures.blends import disjoint_blends
from texton.experiments.measures.colour import colour_entropy, hue_count
from texton.experiments.measures.statistics import Estimate, mean_interval, rank_trend
from texton.experiments.measures.structure import (
    compressed_size,
    orientation_entropy,
    spectral_slope,
)
from texton.experiments.report.findings import Cell, Findings, Outcome
from texton.experiments.report.plots import panels

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
    measures = {k: m for k, m in MEASURES.items() if lab.network.channels == 3 or k not in COLOURS}
    series = {layer: _series(lab, layer) for layer in layers}
    lab.make([s for found in series.values() for s in found])
    values: Values = {}
    left_out: Counter[str] = Counter()
    for layer in layers:
        for kind in dict.fromkeys(s.kind for s in series[layer]):
            made = [lab.made(s) for s in series[layer] if s.kind == kind]
            left_out[f"{KINDS[kind]} that stayed silent"] += sum(map(_dead, chain(*made)))
            for name, (_, measure) in measures.items():
                per_item, flat = _per_item(made, measure)
                values.setdefault(kind, {}).setdefault(name, []).append(per_item)
                left_out[f"flat pictures of {KINDS[kind]}, in {name}"] += flat
    _report(findings, lab, layers, values)
    findings.limits += [f"Left out: {count} {what}." for what, count in left_out.items() if count]
    return findings


def _dead(made: Made) -> bool:
    return bool(made.figures["status"] == "dead")


def _per_item(
    made: list[list[Made]], measure: Callable[[Tensor], float]
) -> tuple[list[float], int]:
    """A measure of each item's live pictures, averaged; and how many of these it cannot judge.

    The picture of a filter that stayed silent is the noise it started from.
    """
    found = []
    flat = 0
    for item in zip(*made, strict=True):
        values = [measure(picture.image) for picture in item if not _dead(picture)]
        known = [value for value in values if np.isfinite(value)]
        flat += len(values) - len(known)
        if known:
            found.append(float(np.mean(known)))
    return found, flat


def _series(lab: Lab, layer: str) -> list[Series]:
    seed, count = lab.options.seed, lab.network.layer(layer).channels
    need(count > 1, f"{layer} has one filter, which makes no blend: use other --layers")
    wanted = min(lab.options.filters, count // 2)  # as many of each kind; blends share no filter
    channels = some_channels(count, wanted, seed)
    found = [filters_of(lab, "filter", lab.network, p, layer, channels) for p in lab.photos]
    names = tuple(f"{i}of{wanted}" for i in range(wanted))
    shares = disjoint_blends(count, wanted, seed)
    found += [directions_of(lab, "blend", p, layer, names, shares) for p in lab.photos]
    if lab.random_network is not None:
        twin = lab.random_network
        found += [filters_of(lab, "random", twin, p, layer, channels) for p in lab.photos]
    return found


def _report(findings: Findings, lab: Lab, layers: list[str], values: Values) -> None:
    means: list[list[Cell]] = []
    trends: dict[str, dict[str, Estimate]] = {}
    for kind, measures in values.items():
        for name, found in measures.items():
            averages: list[Cell] = [float(np.mean(g)) if g else None for g in found]
            trends.setdefault(name, {})[kind] = rank_trend(found)
            means.append([name, KINDS[kind], *averages])
    plots = [
        (
            f"{name} ({unit})",
            {KINDS[k]: [mean_interval(g) for g in values[k][name]] for k in values},
        )
        for name, (unit, _) in MEASURES.items()
        if name in trends
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
        "95 % bootstrap intervals over the items of each layer; −1 to 1 where they are too few.",
    )
    findings.table("means", "Means by layer", ["measure", "what", *layers], sorted(means, key=str))
    for name in trends:
        _judge(findings, name, trends[name])
    if "random" not in values:
        findings.limits.append(
            "There is no twin with random weights, whose trend could be the architecture's own: "
            "claims hold partly at most."
        )
    findings.limits += [
        f"At most {lab.options.filters} filters per layer, averaged over {len(lab.photos)} "
        "photographs; filters of one layer are taken as independent.",
        "A deep layer does not see fine noise, which the inversion may leave in the picture: "
        "size and slope can grow with it. Where random weights show the same trend, training "
        "does not explain it.",
    ]


def _judge(findings: Findings, name: str, trends: dict[str, Estimate]) -> None:
    """Holds where the trend is positive and random weights do not show it as strongly."""
    own, random = trends["filter"], trends.get("random")
    outcome: Outcome = "not supported"
    if own.low > 0:
        outcome = "holds" if random is not None and random.high < own.low else "partly"
    what = "more colours" if name in COLOURS else "more intricate structure"
    against = "" if random is None else f" Random weights: {random}."
    few = " Too few in a layer, or all alike." if (own.low, own.high) == (-1, 1) else ""
    findings.judge(
        f"Textures of higher layers have {what}: {name} grows with depth.",
        outcome,
        f"Rank correlation with depth {own} over {own.n} filters.{few}{against} "
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
        "Controls, solved by the same code: the same filters of a network with random weights, "
        "where depth is the same but nothing was learnt, and blends of a few filters. The trend "
        "is Spearman's rank correlation with the number of the layer. A claim holds where the "
        "interval is above 0 and the random network's interval lies below it; it holds partly "
        "where random weights may show it as well. Filters that stayed silent and flat pictures "
        "are left out.",
    ),
    run=run,
    uses=("preset", "filters"),
    defaults=Options(size=96, filters=8, preset="fast"),
)
