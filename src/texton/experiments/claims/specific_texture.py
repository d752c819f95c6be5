"""Does the same filter yield the same texture, whatever the photograph? Is it the filter?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import permutations

import numpy as np
from PIL.Image import Image
from torch import Tensor

from texton.experiments.harness.experiment import Experiment
from texton.experiments.harness.lab import Lab, need, some_channels
from texton.experiments.harness.options import Options
from texton.experiments.harness.series import directions_of, filters_of
from texton.experiments.harness.work import Series
from texton.experiments.measures.blends import dense_blends, disjoint_blends, overlap
from texton.experiments.measures.describer import (
    Array,
    colour_only,
    describe,
    distances,
    greyed,
    held_out,
)
from texton.experiments.measures.statistics import (
    Estimate,
    difference_p,
    identification,
    separation,
    wilson,
)
from texton.experiments.report.findings import Cell, Findings, Outcome
from texton.experiments.report.plots import by_layer
from texton.images.sheets import Tile, make_sheet
from texton.network.network import Network

KINDS = {
    "filter": "single filters",
    "blend": "blends of a few filters",
    "dense": "directions over all filters",
    "random": "single filters, random weights",
}
_START = "another start"
_COLUMNS = 6


@dataclass(frozen=True)
class _Scores:
    """One value per item (filter or direction) of a layer: hits over pairs of photographs."""

    hits: Array
    auc: float
    dead: int = 0


def run(lab: Lab) -> Findings:
    need(len(lab.photos) > 1, "one photograph is given: --photos takes two or more")
    findings, describer = Findings(), held_out(lab.network)
    layers = lab.layers(2)
    series = {layer: _series(lab, layer) for layer in layers}
    lab.make([s for found in series.values() for s in found])
    scores: dict[str, list[_Scores]] = {}
    rows: list[list[Cell]] = []
    sheets: dict[str, Image] = {}
    for layer in layers:
        pictures = {(s.kind, s.photo.name, s.seed): lab.made(s) for s in series[layer]}
        images = {key: [made.image for made in found] for key, found in pictures.items()}
        dead = {
            kind: sum(
                m.figures["status"] == "dead"
                for k, f in pictures.items()
                if k[0] == kind
                for m in f
            )
            for kind in KINDS
        }
        found = _scores(lab, images, describer)
        for name, score in found.items():
            kept = replace(score, dead=dead.get(name, 0))
            scores.setdefault(name, []).append(kept)
            rows.append(_row(layer, name, kept))
        shares = {s.kind: s.shares for s in series[layer] if s.shares is not None}
        findings.data.setdefault("overlap", {})[layer] = {k: overlap(v) for k, v in shares.items()}
        sheets[layer] = _sheet(lab, images)
    _tables(findings, lab, layers, scores, rows)
    for layer, sheet in sheets.items():
        findings.show(f"{layer}: the same item on each photograph", sheet)
    _judge(findings, lab, scores)
    return findings


def _series(lab: Lab, layer: str) -> list[Series]:
    """Every series of a layer: each kind on each photograph, and filters from another start."""
    seed, count = lab.options.seed, lab.network.layer(layer).channels
    alone = "one filter cannot be mistaken for another"
    need(lab.options.filters > 1, f"{alone}: --filters takes 2 or more")
    need(count > 3, f"{layer} has {count} filters, too few to make two blends: use other --layers")
    wanted = min(lab.options.filters, count // 2)  # as many of each kind; blends share no filter
    channels = some_channels(count, wanted, seed)
    made = [filters_of(lab, "filter", lab.network, p, layer, channels) for p in lab.photos]
    names = tuple(f"{i}of{wanted}" for i in range(wanted))
    blends = {
        "blend": disjoint_blends(count, wanted, seed),
        "dense": dense_blends(count, wanted, seed),
    }
    for kind, shares in blends.items():
        made += [directions_of(lab, kind, p, layer, names, shares) for p in lab.photos]
    if lab.random_network is not None:
        twin = lab.random_network
        made += [filters_of(lab, "random", twin, p, layer, channels) for p in lab.photos]
    again = filters_of(lab, "filter", lab.network, lab.photos[0], layer, channels, start=1)
    return [*made, again]


def _scores(
    lab: Lab, images: dict[tuple[str, str, int], list[Tensor]], describer: Network
) -> dict[str, _Scores]:
    seed, photos = lab.options.seed, [p.name for p in lab.photos]
    found: dict[str, _Scores] = {}
    for kind in KINDS:
        if (kind, photos[0], seed) not in images:
            continue
        groups = [images[kind, name, seed] for name in photos]
        found[kind] = _identify(groups, describe([x for g in groups for x in g], describer))
        if kind == "filter":
            flat = [x for g in groups for x in g]
            found["in grey"] = _identify(groups, describe([greyed(x) for x in flat], describer))
            found["by colour alone"] = _identify(groups, colour_only(flat))
            again = [groups[0], images[kind, photos[0], seed + 1]]
            found[_START] = _identify(again, describe([x for g in again for x in g], describer))
    return found


def _identify(groups: Sequence[Sequence[Tensor]], described: Array) -> _Scores:
    """Name each picture of one group by its nearest in another, over all pairs of groups."""
    count = len(groups[0])
    parts = [described[i * count : (i + 1) * count] for i in range(len(groups))]
    hits, same, different = [], [], []
    for a, b in permutations(range(len(parts)), 2):
        apart = distances(parts[a], parts[b])
        hits.append(identification(apart)[0])
        same.append(np.diag(apart))
        different.append(apart[~np.eye(count, dtype=bool)])
    return _Scores(np.mean(hits, 0), separation(np.concatenate(same), np.concatenate(different)))


def _row(layer: str, name: str, score: _Scores) -> list[Cell]:
    share = wilson(float(score.hits.mean()), len(score.hits))
    name = KINDS.get(name, f"single filters, {name}")
    cells: list[Cell] = [layer, name, share.value, share.low, share.high]
    return [*cells, 1 / len(score.hits), len(score.hits), score.auc, score.dead]


def _tables(
    findings: Findings,
    lab: Lab,
    layers: Sequence[str],
    scores: dict[str, list[_Scores]],
    rows: list[list[Cell]],
) -> None:
    lines: dict[str, list[Estimate]] = {
        KINDS[kind]: [wilson(float(s.hits.mean()), len(s.hits)) for s in scores[kind]]
        for kind in KINDS
        if kind in scores
    }
    chances = {1 / len(s.hits) for s in scores["filter"]}
    chance = chances.pop() if len(chances) == 1 else None  # the table has each layer's own
    note = "Bars: 95 % Wilson intervals over filters or directions."
    findings.plot(
        "Identified from another photograph", by_layer(lines, layers, "accuracy", chance), note
    )
    columns = ["layer", "what", "accuracy", "low", "high", "chance", "items", "AUC", "dead"]
    findings.table(
        "identification",
        "Which one made this picture?",
        columns,
        rows,
        f"An item's score is the mean over {len(lab.photos) * (len(lab.photos) - 1)} ordered "
        "pairs of photographs, so items are what is independent. AUC: the chance that two "
        "pictures of one item are nearer than two of different items (0.5 is chance).",
    )


def _pooled(scores: Sequence[_Scores]) -> Estimate:
    hits = np.concatenate([s.hits for s in scores])
    return wilson(float(hits.mean()), len(hits))


def _judge(findings: Findings, lab: Lab, scores: dict[str, list[_Scores]]) -> None:
    own = _pooled(scores["filter"])
    # a layer of n items has n of the items and chance 1/n: the mean over all items
    chance = len(scores["filter"]) / own.n
    every = all(_pooled([s]).low > 1 / len(s.hits) for s in scores["filter"])
    findings.data["pooled"] = {name: vars(_pooled(found)) for name, found in scores.items()}
    findings.judge(
        "The same filter yields the same texture on different photographs.",
        "holds"
        if every and own.value >= 0.75
        else "partly"
        if own.low > chance
        else "not supported",
        f"A filter is identified from another photograph's picture with accuracy {own} over "
        f"{own.n} filters of all layers; chance {chance:.3g}. From another start on the same "
        f"photograph: {_pooled(scores[_START])}.",
    )
    hits = np.concatenate([s.hits for s in scores["filter"]])
    claims = {
        "blend": "It is the filter that is special, not any direction in channel space "
        "(blends of a few filters).",
        "dense": "It is the filter that is special, not any direction in channel space "
        "(directions over all filters).",
        "random": "The network has to be trained for it.",
    }
    for kind, claim in claims.items():
        if kind not in scores:
            continue
        others = np.concatenate([s.hits for s in scores[kind]])
        p = difference_p(hits, others)
        special = p < 0.05 and hits.mean() > others.mean()
        # a control that is recognised too, only less often, shows no need for what it lacks
        outcome: Outcome = "holds" if _pooled(scores[kind]).low <= chance else "partly"
        findings.judge(
            claim,
            outcome if special else "not supported",
            f"{KINDS[kind].capitalize()}: {_pooled(scores[kind])}, single filters: {own}; "
            f"permutation p = {p:.4f} over {len(hits)} and {len(others)} items.",
        )
    if "random" not in scores:
        findings.limits.append("There is no twin with random weights: training is not judged.")
    findings.limits += [
        f"{len(lab.photos)} photographs: what holds for these may not hold for all.",
        "Blends share no filters and are orthogonal, as single filters are; directions over "
        "all filters are much alike (their mean cosine is in data.json under `overlap`), which "
        "alone makes them harder to tell apart.",
        "Not to be told apart is not to be the same, and the describer has its own blind spots.",
    ]


def _sheet(lab: Lab, images: dict[tuple[str, str, int], list[Tensor]]) -> Image:
    rows = []
    for kind, title in KINDS.items():
        for photo in lab.photos[:2]:
            found = images.get((kind, photo.name, lab.options.seed))
            if found:
                tiles = [Tile(image, f"{i}") for i, image in enumerate(found[:_COLUMNS])]
                rows.append((f"{title}: {photo.name}", tiles))
    return make_sheet(rows)


EXPERIMENT = Experiment(
    name="specific-texture",
    title="Does every filter extract one specific texture?",
    section="sections 2.1 and 3.1",
    question="If a filter extracts one texture whatever the photograph, its picture from one "
    "photograph must tell which filter made a picture from another. Does it, and is it the "
    "filter that matters or would any direction in channel space do?",
    method=(
        "Filters of every layer are drawn at random and inverted on every photograph. Each "
        "picture is named after its nearest among the pictures from another photograph.",
        "Textures are compared by EfficientNet-lite0, which no inversion has seen: every "
        "channel's mean and standard deviation over positions at four depths, so that where "
        "something stands does not count.",
        "Controls, solved by the same code from the same kind of start in as many steps: blends "
        "of a few filters that share none, directions spread over all filters, the same filters "
        "of a network with random weights, and the same filter from another start. Chance is one "
        "over the number of items.",
    ),
    run=run,
    uses=("preset", "filters"),
    defaults=Options(size=96, filters=8, preset="fast"),
)
