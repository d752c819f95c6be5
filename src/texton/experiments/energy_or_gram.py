"""How far do PMCI and Gatys agree, and why do Gram matrices work?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from texton.experiments.frame.experiment import Experiment
from texton.experiments.frame.findings import Cell, Findings, Outcome
from texton.experiments.frame.lab import Lab, need
from texton.experiments.frame.options import Options
from texton.experiments.frame.plots import curves
from texton.experiments.frame.samples import Picture
from texton.experiments.frame.styled import METHODS, key_of, plan, styled
from texton.experiments.frame.wall import wall
from texton.experiments.frame.workbench import Made
from texton.experiments.gram_explained import explain
from texton.experiments.measures.describer import LAYERS, greyed, held_out
from texton.experiments.measures.statistics import (
    Estimate,
    identification,
    mean_interval,
    wilson,
)
from texton.experiments.measures.structure import patch_distance
from texton.experiments.measures.style_statistics import (
    Curve,
    apart_over_layers,
    at_equal_content,
    measure,
)
from texton.methods.fingerprint import Fingerprint, fingerprint
from texton.network import Network

WEIGHTS = (1.0, 5.0, 25.0)
WRONG = "wrong"
TITLES = {"pmci": "PMCI", "gatys": "Gatys", WRONG: "wrong filters"}
MEASURES = {
    "moments": "held-out moments",
    "gram": "held-out Gram",
    "patches": "sliced Wasserstein of patches",
    "grey": "the same in grey",
}
_SHOWN = WEIGHTS[1]
_MARGIN = 1.1  # nearer than a tenth counts as alike


@dataclass(frozen=True)
class _Pair:
    """A photograph in a style: the photograph's own distances, and each method's curve."""

    photo: Picture
    style: Picture
    untouched: dict[str, float]
    curves: dict[str, Curve]

    def ratio(self, a: str, b: str, name: str) -> tuple[float, float, float] | None:
        """Content error that methods a and b both reach, and their distances there."""
        return at_equal_content(self.curves[a], self.curves[b], name)


def run(lab: Lab) -> Findings:
    need(len(lab.styles) > 1, "one style is given: --styles takes two or more")
    findings, describer = Findings(), held_out(lab.network)
    wrong = [
        key_of(p, _shuffled_name(s), "pmci", w)
        for p in lab.photos
        for s in lab.styles
        for w in WEIGHTS
    ]
    plan(lab, lab.photos, lab.styles, METHODS, WEIGHTS, wrong)
    pairs = [_pair(lab, photo, style, describer) for photo in lab.photos for style in lab.styles]
    _tables(findings, pairs)
    _compare(findings, pairs)
    _control(findings, pairs)
    _agreement(findings, lab, describer)
    _plot(findings, pairs)
    _show(findings, lab)
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


def _pair(lab: Lab, photo: Picture, style: Picture, describer: Network) -> _Pair:
    found: dict[str, Curve] = {}
    for method in TITLES:
        found[method] = []
        for weight in WEIGHTS:
            made = _made(lab, photo, style, method, weight)
            distances = _distances(made.image, style, describer)
            found[method].append((made.figures["terms"]["content"], distances))
    return _Pair(photo, style, _distances(photo.image[0], style, describer), found)


def _made(lab: Lab, photo: Picture, style: Picture, method: str, weight: float) -> Made:
    if method != WRONG:
        return styled(lab, photo, style, method, weight)
    name, target = _shuffled_name(style), _wrong_filters(lab, style)
    return styled(lab, photo, style, "pmci", weight, target=target, name=name)


def _wrong_filters(lab: Lab, style: Picture) -> Fingerprint:
    """The style's sums, dealt out to the wrong filters of each layer: the control."""
    found = fingerprint(style.image, lab.network, lab.layers(1))
    generator = torch.Generator().manual_seed(lab.options.seed)
    mixed = {}
    for layer, values in found.moments.items():
        mean, spread = values.chunk(2, 1)
        order = torch.randperm(mean.shape[1], generator=generator)
        mixed[layer] = torch.cat([mean[:, order], spread[:, order]], 1)
    return Fingerprint(found.network, found.weights_hash, mixed)


def _shuffled_name(style: Picture) -> str:
    return f"{style.name}-shuffled"


def _distances(image: torch.Tensor, style: Picture, describer: Network) -> dict[str, float]:
    """How far a picture is from a style by statistics that no method has optimised."""
    found = measure([image, style.image[0]], describer, LAYERS, ("moments", "gram"))
    apart = {name: float(apart_over_layers(found[name])[0, 1]) for name in ("moments", "gram")}
    other = style.image[0]
    grey = patch_distance(greyed(image), greyed(other))
    return {**apart, "patches": patch_distance(image, other), "grey": grey}


def _ratios(pairs: list[_Pair], a: str, b: str) -> dict[str, Estimate]:
    """Geometric mean of a's distance over b's at equal content error, by measure.

    Measures are left out where no pair has a content error that both methods reach.
    """
    found = {}
    for name in MEASURES:
        shared = [pair.ratio(a, b, name) for pair in pairs]
        logs = [np.log(x[1] / x[2]) for x in shared if x is not None]
        if logs:
            found[name] = _geometric(logs)
    return found


def _gains(pairs: list[_Pair], method: str) -> dict[str, Estimate]:
    """Distance over that of the photograph itself, at the middle weight."""
    place = WEIGHTS.index(_SHOWN)
    return {
        name: _geometric(
            [np.log(pair.curves[method][place][1][name] / pair.untouched[name]) for pair in pairs]
        )
        for name in MEASURES
    }


def _geometric(logs: list[float]) -> Estimate:
    found = mean_interval(logs)
    low, value, high = (float(np.exp(x)) for x in (found.low, found.value, found.high))
    return Estimate(value, low, high, found.n)


def _tables(findings: Findings, pairs: list[_Pair]) -> None:
    rows: list[list[Cell]] = []
    every: list[list[Cell]] = []
    for pair in pairs:
        for name, title in MEASURES.items():
            both, control = pair.ratio("pmci", "gatys", name), pair.ratio(WRONG, "pmci", name)
            row: list[Cell] = [pair.photo.name, pair.style.name, title, pair.untouched[name]]
            row += [*both, both[1] / both[2]] if both else [None] * 4
            rows.append([*row, control[1] / control[2] if control else None])
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


def _compare(findings: Findings, pairs: list[_Pair]) -> None:
    found, gained = _ratios(pairs, "pmci", "gatys"), _gains(pairs, "pmci")
    findings.data["ratio"] = {k: vars(e) for k, e in found.items()}
    findings.data["gain"] = {m: {k: vars(e) for k, e in _gains(pairs, m).items()} for m in TITLES}
    if not found:
        findings.limits.append("The two methods reach no content error in common.")
        return
    as_near = all(e.high <= _MARGIN for e in found.values())
    near = all(e.high < 1 for e in gained.values())
    outcome: Outcome = "holds" if as_near else "partly" if near else "not supported"
    used = next(iter(found.values())).n
    findings.judge(
        "Matching the sums carries a style over as well as matching Gram matrices.",
        outcome,
        "Distance from the style, PMCI over Gatys at equal content error (below 1, PMCI is "
        f"nearer): {_said(found)}; {used} of {len(pairs)} pairs reach a content error in common. "
        f"PMCI over the photograph itself, at style weight {_SHOWN:g}: {_said(gained)}.",
    )


def _control(findings: Findings, pairs: list[_Pair]) -> None:
    found, gained = _ratios(pairs, WRONG, "pmci"), _gains(pairs, WRONG)
    findings.data["wrong_filters"] = {k: vars(e) for k, e in found.items()}
    if not found:
        findings.limits.append("The control reaches no content error in common with PMCI.")
        return
    further = [e.low > 1 for e in found.values()]
    findings.judge(
        "A style is which filters carry the energy, not how unevenly it is spread.",
        "holds" if all(further) else "partly" if any(further) else "not supported",
        "Distance from the style with the sums dealt out to the wrong filters, over the right "
        f"ones at equal content error: {_said(found)}. Wrong filters over the photograph itself, "
        f"at style weight {_SHOWN:g}: {_said(gained)}.",
    )


def _said(found: dict[str, Estimate]) -> str:
    return "; ".join(f"{MEASURES[name]} {estimate}" for name, estimate in found.items())


def _agreement(findings: Findings, lab: Lab, describer: Network) -> None:
    """Is the Gatys picture nearest to a PMCI picture that of the same style?"""
    scores = {}
    for other in ("gatys", WRONG):
        hits: list[float] = []
        for photo in lab.photos:
            images = [
                _made(lab, photo, style, method, _SHOWN).image
                for method in ("pmci", other)
                for style in lab.styles
            ]
            apart = apart_over_layers(measure(images, describer, LAYERS, ("moments",))["moments"])
            count = len(lab.styles)
            hits += identification(apart[:count, count:])[0].tolist()
        scores[other] = wilson(float(np.mean(hits)), len(hits))
    findings.data["agreement"] = {name: vars(score) for name, score in scores.items()}
    chance, own = 1 / len(lab.styles), scores["gatys"]
    findings.judge(
        "Both methods make pictures of the same style.",
        "holds" if own.low > chance else "not supported",
        "A PMCI picture's nearest Gatys picture of the same photograph has its style with "
        f"accuracy {own}; nearest picture of wrong filters: {scores[WRONG]}; chance "
        f"{chance:.2f}, {own.n} pictures.",
    )


def _plot(findings: Findings, pairs: list[_Pair]) -> None:
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
    plot = curves(lines, "content error at relu2_2", "distance from the style (photograph = 1)")
    weights = ", ".join(f"{w:g}" for w in WEIGHTS)
    findings.plot("Style against content", plot, f"Means over all pairs, style weights {weights}.")


def _show(findings: Findings, lab: Lab) -> None:
    rows = []
    for style in lab.styles:
        row = [(style.name, style.image[0])]
        for photo in lab.photos[:2]:
            row += [(t, _made(lab, photo, style, m, _SHOWN).image) for m, t in TITLES.items()]
        rows.append(row)
    sheet = wall(rows, height=lab.options.size, width=max(150, lab.options.size))
    findings.show(f"Style weight {_SHOWN:g}", sheet)


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
        "content's code at relu2_2, interpolated between the weights, because a method may "
        "always buy style with content.",
        "Controls: the photograph itself, and PMCI to the style's sums dealt out to the wrong "
        "filters of each layer: the same numbers, in random order; it too is compared at the same "
        "content error.",
        "Why Gram matrices work: how much of a Gram matrix, and of the differences between "
        "images' matrices, follows from the sums alone. Controls: the sums in wrong order, the "
        "matrix without its sums (the covariance), and a network with random weights.",
    ),
    run=run,
    defaults=Options(size=112, preset="fast", steps=80),
)
