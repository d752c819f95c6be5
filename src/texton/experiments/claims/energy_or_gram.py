"""How far do PMCI and Gatys agree, and why do Gram matrices work?"""

from __future__ import annotations

import hashlib
from itertools import product

import numpy as np
import torch

from texton.experiments.claims.gram_explained import explain
from texton.experiments.claims.style_pairs import (
    MEASURES,
    SHOWN,
    TITLES,
    WEIGHTS,
    WRONG,
    Pair,
    agreement,
    compare,
    control,
)
from texton.experiments.harness.experiment import Experiment
from texton.experiments.harness.lab import Lab, need
from texton.experiments.harness.options import Options
from texton.experiments.harness.series import content_layer, styled
from texton.experiments.harness.work import Series
from texton.experiments.measures.describer import LAYERS, greyed, held_out
from texton.experiments.measures.statistics import identification
from texton.experiments.measures.structure import patch_distance
from texton.experiments.measures.style_statistics import Curve, apart_over_layers, measure
from texton.experiments.report.findings import Cell, Findings
from texton.experiments.report.plots import curves
from texton.images.folder import Picture
from texton.images.sheets import make_rows
from texton.methods.parts.fingerprint import Fingerprint, fingerprint
from texton.network.network import Network

Every = dict[tuple[str, str, str, float], Series]  # by photograph, style, method, weight


def run(lab: Lab) -> Findings:
    need(len(lab.styles) > 1, "one style is given: --styles takes two or more")
    findings, describer = Findings(), held_out(lab.network)
    every = _every(lab)
    lab.make(list(every.values()))
    pairs = [_pair(lab, p, s, every, describer) for p in lab.photos for s in lab.styles]
    _tables(findings, pairs)
    compare(findings, pairs)
    control(findings, pairs)
    agreement(findings, _recognised(lab, every, describer), 1 / len(lab.styles))
    _plot(findings, pairs, content_layer(lab))
    _show(findings, lab, every)
    explain(findings, lab)
    findings.limits += [
        f"{len(lab.photos)} photographs × {len(lab.styles)} styles: pairs that share a photograph "
        "or a style are not independent, so intervals are narrower than they should be.",
        "Moments of the held-out network resemble what PMCI matches, its Gram matrices what "
        "Gatys match; patches resemble neither.",
        "Both methods get the same number of steps; Gram matrices take more steps to match, so "
        "few --steps favour PMCI.",
    ]
    return findings


def _every(lab: Lab) -> Every:
    """All pictures; those of the control to its own target."""
    every = {}
    for style in lab.styles:
        wrong = _wrong_filters(lab, style)
        for photo, method, weight in product(lab.photos, TITLES, WEIGHTS):
            if method == WRONG:
                name = _wrong_name(style)
                one = styled(lab, photo, style, "pmci", weight, target=wrong, name=name)
            else:
                one = styled(lab, photo, style, method, weight)
            every[photo.name, style.name, method, weight] = one
    return every


def _pair(lab: Lab, photo: Picture, style: Picture, every: Every, describer: Network) -> Pair:
    found: dict[str, Curve] = {}
    for method in TITLES:
        found[method] = []
        for weight in WEIGHTS:
            (made,) = lab.made(every[photo.name, style.name, method, weight])
            distances = _distances(made.image, style, describer)
            found[method].append((made.figures["content"], distances))
    return Pair(photo, style, _distances(photo.image[0], style, describer), found)


def _wrong_filters(lab: Lab, style: Picture) -> Fingerprint:
    """The style's sums, dealt out to the wrong filters of each layer: the control."""
    found = fingerprint(style.image, lab.network, lab.layers(1))
    # one order for all styles would let their chance resemblances add up
    digest = hashlib.sha256(f"{lab.options.seed}/{style.name}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:6], "big"))
    mixed = {}
    for layer, values in found.moments.items():
        mean, spread = values.chunk(2, 1)
        order = torch.randperm(mean.shape[1], generator=generator)
        mixed[layer] = torch.cat([mean[:, order], spread[:, order]], 1)
    return Fingerprint(found.network, found.weights_hash, mixed)


def _wrong_name(style: Picture) -> str:
    return f"{WRONG}/{style.name}"  # no file's name has a slash


def _distances(image: torch.Tensor, style: Picture, describer: Network) -> dict[str, float]:
    """How far a picture is from a style by statistics that no method has optimised."""
    found = measure([image, style.image[0]], describer, LAYERS, ("moments", "gram"))
    apart = {name: float(apart_over_layers(found[name])[0, 1]) for name in ("moments", "gram")}
    other = style.image[0]
    grey = patch_distance(greyed(image), greyed(other))
    return {**apart, "patches": patch_distance(image, other), "grey": grey}


def _tables(findings: Findings, pairs: list[Pair]) -> None:
    rows: list[list[Cell]] = []
    every: list[list[Cell]] = []
    for pair in pairs:
        for name, title in MEASURES.items():
            both, wrong = pair.ratio("pmci", "gatys", name), pair.ratio(WRONG, "pmci", name)
            row: list[Cell] = [pair.photo.name, pair.style.name, title, pair.untouched[name]]
            row += [*both, both[1] / both[2]] if both else [None] * 4
            rows.append([*row, wrong[1] / wrong[2] if wrong else None])
        for method, curve in pair.curves.items():
            for weight, (content, found) in zip(WEIGHTS, curve, strict=True):
                where: list[Cell] = [pair.photo.name, pair.style.name, TITLES[method], weight]
                every.append([*where, content, *[found[name] for name in MEASURES]])
    columns = ["photograph", "style", "measure", "photograph itself", "content error"]
    columns += ["PMCI", "Gatys", "PMCI / Gatys", "wrong filters / PMCI"]
    note = (
        "Distances from the style, at the same content error; below 1, the first is nearer. A "
        "dash: the two reach no content error in common."
    )
    findings.table("distances", "Who comes nearer to the style?", columns, rows, note)
    columns = ["photograph", "style", "method", "style weight", "content error", *MEASURES.values()]
    findings.table("pictures", "Every picture", columns, every)


def _recognised(lab: Lab, every: Every, describer: Network) -> dict[str, list[float]]:
    """Is the Gatys picture nearest to a PMCI picture that of the same style? And the control's?"""
    count = len(lab.styles)
    hits: dict[str, list[float]] = {"gatys": [], WRONG: []}
    for other, found in hits.items():
        for photo in lab.photos:
            images = [
                lab.picture(every[photo.name, style.name, method, SHOWN])
                for method in ("pmci", other)
                for style in lab.styles
            ]
            apart = apart_over_layers(measure(images, describer, LAYERS, ("moments",))["moments"])
            found += identification(apart[:count, count:])[0].tolist()
    return hits


def _plot(findings: Findings, pairs: list[Pair], content_layer: str) -> None:
    lines = {}
    for method, title in TITLES.items():
        for name in ("moments", "patches"):
            points = []
            for place in range(len(WEIGHTS)):
                at = [(pair, *pair.curves[method][place]) for pair in pairs]
                content = float(np.mean([error for _, error, _ in at]))
                style = float(np.mean([d[name] / pair.untouched[name] for pair, _, d in at]))
                points.append((content, style))
            lines[f"{title}, {MEASURES[name]}"] = points
    plot = curves(
        lines, f"content error at {content_layer}", "distance from the style (photograph = 1)"
    )
    weights = ", ".join(f"{w:g}" for w in WEIGHTS)
    findings.plot("Style against content", plot, f"Means over all pairs, style weights {weights}.")


def _show(findings: Findings, lab: Lab, every: Every) -> None:
    rows = []
    for style in lab.styles:
        row = [(style.name, style.image[0])]
        for photo in lab.photos[:2]:
            for method, title in TITLES.items():
                row.append((title, lab.picture(every[photo.name, style.name, method, SHOWN])))
        rows.append(row)
    sheet = make_rows(rows, height=lab.options.size, width=max(150, lab.options.size))
    findings.show(f"Style weight {SHOWN:g}", sheet)


EXPERIMENT = Experiment(
    name="energy-or-gram",
    title="Sums of energy, or Gram matrices?",
    section="section 3.3 and figure 5",
    question="The paper matches sums of feature maps where Gatys et al. match Gram matrices, and "
    "holds that the sums are why Gram matrices work. Do both carry a style over as well?",
    method=(
        "Photographs are stylised by both methods at three style weights, in as many steps. How "
        "near a picture is to its style is measured by what neither has optimised: moments and "
        "Gram matrices of EfficientNet-lite0, and the sliced Wasserstein distance of patches at "
        "two scales, in colour and in grey. The two are compared at the same error of the "
        "content's code, at the layer where both methods hold it (relu2_2 of VGG-19), "
        "interpolated between the weights, because a method may always buy style with content. "
        "Two methods that both leave the photograph as it is are as near as each other: the "
        "claim holds only where both come nearer to the style than the photograph is, and where "
        "at least half of the pairs reach a content error in common.",
        "Controls: the photograph itself, and PMCI to the style's sums dealt out to the wrong "
        "filters of each layer: the same numbers, in a random order of each style's own; it too "
        "is compared at the same content error, and a PMCI picture has to find its style among "
        "the Gatys pictures oftener than among the control's.",
        "Why Gram matrices work: how much of a Gram matrix, and of the differences between "
        "images' matrices, follows from the sums alone. Controls: the sums in wrong order, one "
        "image having more of everything, the matrix without its sums (the covariance), and a "
        "network with random weights. Where random weights are explained as well, the claim is "
        "at most partly borne out.",
    ),
    run=run,
    defaults=Options(size=112, preset="fast", steps=80),
)
