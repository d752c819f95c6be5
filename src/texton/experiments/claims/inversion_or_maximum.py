"""Which picture tells more of a filter: an inversion, a maximum, or what excites it?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from PIL.Image import Image
from torch import Tensor

from texton.experiments.harness.experiment import Experiment
from texton.experiments.harness.lab import Lab, need, some_channels
from texton.experiments.harness.options import Options
from texton.experiments.harness.series import filters_of, maxima_of
from texton.experiments.harness.work import Series
from texton.experiments.measures.describer import Array, describe, distances, held_out
from texton.experiments.measures.statistics import (
    Estimate,
    identification,
    matrix_correlation,
    mean_interval,
    separation,
)
from texton.experiments.report.findings import Cell, Findings, Outcome
from texton.experiments.report.plots import panels
from texton.images.sheets import Tile, make_sheet
from texton.methods.parts.answers import Answers
from texton.network.network import Network

PATCH = "patch"
KINDS = {
    "inversion": "inversions of two photographs",
    "again": "inversions of one photograph, two starts",
    "maximum": "maxima, two starts",
    "natural": "natural maxima, two starts",
    PATCH: "patches of different photographs",
}
_LEAST = 32  # pixels of a patch that the describer still sees something in
_COLUMNS = 6

Pictures = dict[str, list[list[Tensor]]]  # by kind, two draws of a picture per filter


def run(lab: Lab) -> Findings:
    need(len(lab.photos) > 1, "one photograph is given: --photos takes two or more")
    need(lab.options.filters > 1, "one filter cannot be mistaken: --filters takes 2 or more")
    findings, judge = Findings(), held_out(lab.network)
    layers = lab.layers(2)
    if not lab.options.layers:
        layers = layers[1::2]
    chosen = {x: _active(lab, x) for x in layers}
    series = {layer: _series(lab, layer, list(chosen[layer])) for layer in layers}
    lab.make([s for kinds in series.values() for draws in kinds.values() for s in draws])
    told: dict[str, dict[str, Array]] = {}
    agreement: dict[str, float] = {}
    rows: list[list[Cell]] = []
    for layer in layers:
        channels = list(chosen[layer])
        pictures: Pictures = {
            kind: [[made.image for made in lab.made(draw)] for draw in draws]
            for kind, draws in series[layer].items()
        }
        strength = _strength(lab, layer, channels, pictures)
        pictures[PATCH] = [list(pair) for pair in zip(*chosen[layer].values(), strict=True)]
        told[layer], agreement[layer], separated = judged(pictures, judge)
        for kind, what in KINDS.items():
            own, patch = told[layer][kind], told[layer].get(f"{kind} to patch")
            shown: list[Cell] = [layer, what, float(own.mean()), separated[kind]]
            to_patch = None if patch is None else float(patch.mean())
            rows.append([*shown, to_patch, *strength.get(kind, (None, None)), 1 / len(own)])
        findings.show(f"{layer}: the same filters by each", _sheet(pictures, channels))
    report(findings, layers, told, agreement, rows)
    findings.limits += [
        f"{lab.options.filters} filters a layer, {len(lab.photos)} photographs; filters are taken "
        "as independent.",
        "Two starts of a maximum share all but their noise; two inversions see different "
        "photographs, two patches are of them. The judge reads textures: place does not count.",
    ]
    return findings


def _series(lab: Lab, layer: str, channels: Sequence[int]) -> dict[str, list[Series]]:
    """Two draws of every kind that is solved for."""
    one, two = lab.photos[:2]

    def inverted(kind: str, photo: int, start: int) -> Series:
        picture = (one, two)[photo]
        return filters_of(lab, kind, lab.network, picture, layer, channels, start)

    first = inverted("inversion", 0, 0)
    return {
        "inversion": [first, inverted("inversion", 1, 0)],
        "again": [first, inverted("inversion", 0, 1)],
        "maximum": [maxima_of(lab, "maximum", layer, channels, start) for start in (0, 1)],
        "natural": [maxima_of(lab, "natural", layer, channels, start, True) for start in (0, 1)],
    }


def _active(lab: Lab, layer: str) -> dict[int, tuple[Tensor, Tensor]]:
    """Filters drawn at random among those active in both halves of the photographs, and their
    strongest patches in the even and in the odd ones."""
    count = lab.network.layer(layer).channels
    with torch.no_grad():
        codes = [
            lab.network.encode(p.image, layer, lab.compute.exact())[layer][0].float().cpu()
            for p in lab.photos
        ]
    peaks = torch.stack([code.flatten(1).amax(1) for code in codes])  # (photographs, C)
    found: dict[int, tuple[Tensor, Tensor]] = {}
    for channel in some_channels(count, count, lab.options.seed):
        best = [half + 2 * int(peaks[half::2, channel].argmax()) for half in (0, 1)]
        if all(float(peaks[number, channel]) > 0 for number in best):
            even, odd = (_patch(lab, layer, x, codes[x][channel]) for x in best)
            found[channel] = even, odd
        if len(found) == lab.options.filters:
            break
    need(len(found) > 1, f"no two filters of {layer} are active on the photographs")
    return found


def _patch(lab: Lab, layer: str, photo: int, own: Tensor) -> Tensor:
    """(C, h, w) around the strongest place of a map, as large as a receptive field."""
    image = lab.photos[photo].image[0]
    known = lab.network.layer(layer)
    side = max(_LEAST, known.receptive_field or max(image.shape))
    row, column = divmod(int(own.argmax()), own.shape[1])
    for axis, (at, cells) in enumerate(((row, own.shape[0]), (column, own.shape[1])), 1):
        extent = image.shape[axis]
        first = round((at + 0.5) * extent / cells - side / 2)
        image = image.narrow(axis, max(0, min(first, extent - side)), min(side, extent))
    return image


def _strength(
    lab: Lab, layer: str, channels: list[int], pictures: Pictures
) -> dict[str, tuple[float, float]]:
    """By kind the mean activation, in units of pink noise, and how much of it is transferred."""
    scale = Answers(lab.network, layer, (lab.options.size, lab.options.size), lab.compute)
    found = {}
    for kind, draws in pictures.items():
        pairs = [
            scale.measure(torch.stack(draw).to(lab.compute.device), channels) for draw in draws
        ]
        own, seen = (np.concatenate(each) for each in zip(*pairs, strict=True))
        found[kind] = float(own.mean()), float(seen.sum() / max(own.sum(), 1e-12))
    return found


def judged(pictures: Pictures, judge: Network) -> tuple[dict[str, Array], float, dict[str, float]]:
    """Which filters are recognised, (filters,) in [0, 1]: from another picture of the kind, and
    among patches; how alike inversions and maxima lay filters out; and separations (AUC).

    Every kind is standardised by itself: that all maxima look like maxima tells nothing.
    """
    filters = len(pictures[PATCH][0])
    described = {kind: _described(draws, judge) for kind, draws in pictures.items()}
    hits, separated = {}, {}
    for kind, (a, b) in described.items():
        apart = distances(a, b)
        hits[kind] = (identification(apart)[0] + identification(apart.T)[0]) / 2
        separated[kind] = separation(np.diag(apart), apart[~np.eye(filters, dtype=bool)])
        if kind != PATCH:
            found = [identification(distances(x, y))[0] for x in (a, b) for y in described[PATCH]]
            hits[f"{kind} to patch"] = np.mean(found, 0)
    inverted, maximal = (np.mean(described[kind], 0) for kind in ("inversion", "maximum"))
    layouts = distances(inverted, inverted), distances(maximal, maximal)
    agree = matrix_correlation(*layouts) if filters > 2 else 0.0  # one distance is no layout
    return hits, agree, separated


def _described(draws: Sequence[Sequence[Tensor]], judge: Network) -> tuple[Array, Array]:
    both = describe([image for draw in draws for image in draw], judge)
    return both[: len(draws[0])], both[len(draws[0]) :]


def report(
    findings: Findings,
    layers: Sequence[str],
    told: Mapping[str, Mapping[str, Array]],
    agreement: Mapping[str, float],
    rows: Sequence[Sequence[Cell]],
) -> None:
    """Tables, plots and verdicts, from hits per layer."""
    lines = {
        what: [mean_interval(told[layer][kind]) for layer in layers] for kind, what in KINDS.items()
    }
    findings.plot("Recognised from another picture", panels([("accuracy", lines)], layers))
    columns = ["layer", "pictures", "accuracy", "AUC", "among patches", "activation"]
    findings.table(
        "recognised",
        "Whose picture is it?",
        [*columns, "transfer", "chance"],
        rows,
        "Accuracy: named after the nearest of the other draw; among patches: after the nearest "
        "patch. Activation in units of the layer's by pink noise.",
    )
    findings.data["agreement"] = dict(agreement)
    claims = {
        "A maximum tells its filter better than an inversion does.": ("maximum", "inversion"),
        "A maximum tells which photographs excite the filter better than an inversion does.": (
            "maximum to patch",
            "inversion to patch",
        ),
        "A natural maximum tells which photographs excite the filter better than a free one.": (
            "natural to patch",
            "maximum to patch",
        ),
    }
    for claim, (a, b) in claims.items():
        _judge(findings, claim, *(np.concatenate([told[x][key] for x in layers]) for key in (a, b)))


def _judge(findings: Findings, claim: str, a: Array, b: Array) -> None:
    """Holds where the first is ahead over filters, refuted where it is behind."""
    one, other, lead = (mean_interval(x) for x in (a, b, a - b))
    findings.judge(claim, _outcome(lead), f"{one} against {other}; {lead.lead()}, of {lead.n}.")


def _outcome(lead: Estimate) -> Outcome:
    return "holds" if lead.low > 0 else "not supported" if lead.high < 0 else "partly"


def _sheet(pictures: Pictures, channels: Sequence[int]) -> Image:
    rows = []
    for kind, draws in pictures.items():
        for number, draw in enumerate(draws):
            if kind == "again" and not number:
                continue  # the inversions' first
            tiles = [Tile(x, str(c)) for x, c in zip(draw, channels, strict=True)]
            rows.append((KINDS[kind], tiles[:_COLUMNS]))
    return make_sheet(rows)


EXPERIMENT = Experiment(
    name="inversion-or-maximum",
    title="What tells more of a filter: its inversion, or its maximum?",
    section="beside section 2.1",
    question="Feature map inversion shows what a filter takes out of a photograph, activation "
    "maximisation what it would like best. Of which can a stranger tell the filter, and the "
    "photographs that excite it?",
    method=(
        "Filters drawn at random, among those active in both halves of the photographs, are shown "
        "by two pictures each of every kind: inversions of two photographs, and of one from two "
        "starts; maxima from two starts, free and natural (phases alone); and their strongest "
        "patches in the even and in the odd photographs, cut at the receptive field.",
        "EfficientNet-lite0, which none of them was made with, names each picture after the "
        "nearest of the other draw, and after the nearest patch; every kind is standardised by "
        "itself. Activation and transfer, the share left under eight views never solved for, are "
        "measured alike for all that is solved.",
        "That one kind tells more than another holds where it recognises more, over filters with "
        "a 95 % interval of the difference, and is refuted where it recognises fewer.",
    ),
    run=run,
    uses=("preset", "filters"),
    defaults=Options(size=80, filters=6),
)
