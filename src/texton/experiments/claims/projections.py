"""Is a projection about the filter, and about what was learnt, or about the picture?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from texton.experiments.claims.projection_verdicts import (
    LEARNT,
    MOST,
    Values,
    judge_filter,
    judge_learnt,
    judge_upper,
    known,
    pooled,
)
from texton.experiments.harness.experiment import Experiment
from texton.experiments.harness.lab import Lab, need, some_channels
from texton.experiments.harness.options import Options
from texton.experiments.harness.randomised import randomised
from texton.experiments.measures.likeness import moved_onto, rank_correlation
from texton.experiments.report.findings import Cell, Findings
from texton.experiments.report.plots import panels
from texton.images.sheets import make_rows
from texton.methods.parts.projecting import Projector, Seen, shown
from texton.methods.parts.rectifying import Rule
from texton.network.network import Network

RULES: tuple[Rule, ...] = ("guided", "gradient", "deconv")
STAGES = (0.25, 0.5, 0.75, 1.0)  # of the convolutions, from the top, that have random weights
COMPARISONS = {
    "filter": "another filter, same place",
    "picture": "same filter, another picture",
    **{f"random {share:.0%}": f"random weights in the upper {share:.0%}" for share in STAGES[:-1]},
    "random": "random weights, same place",
    "shape": "random weights, another picture",
}
MEASURES = {"size": "|R| summed over colours", "colours": "R, signed"}


def run(lab: Lab) -> Findings:
    layers = lab.layers(2)
    twin = lab.random_network
    need(len(lab.photos) > 1, "one photograph has no other to compare with: --photos takes several")
    need(twin is not None, f"{lab.network.name} has no twin with random weights: use vgg19")
    assert twin is not None
    findings = Findings()
    values: dict[Rule, dict[str, Values]] = {}
    sheet: list[list[tuple[str, Tensor]]] = []
    shown_layer = layers[-2] if len(layers) > 1 else layers[0]
    steps = [(rule, layer) for rule in RULES for layer in layers]
    for done, (rule, layer) in enumerate(steps, 1):
        place = _Place(lab, twin, layer, rule)
        values.setdefault(rule, {})[layer] = place.compare()
        if layer == shown_layer:
            sheet.append(place.row())
        lab.reach(f"{rule} {layer}", done, len(steps))
    findings.show(
        f"Projections of one filter of {shown_layer}, and what is left of them",
        make_rows(sheet, 110),
        "From the left: the photograph; trained; with random weights in more and more layers, "
        "from the top; another filter at the same place.",
    )
    _report(findings, layers, values)
    findings.limits += [
        f"{lab.options.filters} filters a layer, averaged over {len(lab.photos)} photographs; "
        "filters are taken as independent.",
        "Rank correlations over the pixels that a projection reaches, given the distance from its "
        "centre; 'random weights, another picture' tells how much of a field's shape is left in.",
    ]
    return findings


@dataclass(frozen=True, eq=False)
class _Network:
    """What one network made of every photograph."""

    seen: list[Seen]

    @classmethod
    def of(cls, network: Network, layer: str, rule: Rule, lab: Lab) -> _Network:
        projector = Projector(network, layer, rule, lab.options.device)
        return cls([projector.look(photo.image) for photo in lab.photos])

    def peak(self, photo: int, channel: int) -> tuple[Tensor, float]:
        """A filter's strongest position in the middle half of its map, away from the padding."""
        code = self.seen[photo].code[0, channel]
        top, left = (extent // 4 for extent in code.shape)
        inner = code[top : code.shape[0] - top, left : code.shape[1] - left]
        place = int(inner.argmax())
        row, column = divmod(place, inner.shape[1])
        return torch.tensor([top + row, left + column]), float(inner.max())

    def active(self, photo: int, cell: Tensor, order: Sequence[int]) -> int | None:
        """The first filter of an order that is active at a position."""
        code = self.seen[photo].code[0, :, cell[0], cell[1]]
        return next((channel for channel in order if float(code[channel]) > 0), None)

    def map(self, photo: int, channel: int | None, cell: Tensor) -> Tensor | None:
        if channel is None:
            return None
        return self.seen[photo].project([channel], cell[None]).slopes[0]


class _Place:
    """A layer under a rule: the trained network, those that are random from the top."""

    def __init__(self, lab: Lab, twin: Network, layer: str, rule: Rule) -> None:
        self.rule, self.photos = rule, lab.photos
        network = lab.network
        self.trained = _Network.of(network, layer, rule, lab)
        self.random = {
            share: _Network.of(randomised(network, twin, layer, share), layer, rule, lab)
            for share in STAGES
        }
        self.stride = network.layer(layer).stride
        self.order = some_channels(network.layer(layer).channels, 10**6, lab.options.seed)
        every = range(len(self.photos))
        live = [c for c in self.order if all(self.trained.peak(i, c)[1] > 0 for i in every)]
        need(bool(live), f"no filter of {layer} is active on every photograph: use other --layers")
        self.channels = live[: lab.options.filters]

    def compare(self) -> Values:
        values: Values = {name: {measure: [] for measure in MEASURES} for name in COMPARISONS}
        for channel in self.channels:
            found = [self._of(photo, channel) for photo in range(len(self.photos))]
            for name, by_measure in values.items():
                for measure, kept in by_measure.items():
                    there = [x for one in found if math.isfinite(x := one[name, measure])]
                    kept.append(float(np.mean(there)) if there else math.nan)
        return values

    def row(self) -> list[tuple[str, Tensor]]:
        """The first filter on the first photograph."""
        channel, photo = self.channels[0], 0
        cell, _ = self.trained.peak(photo, channel)
        maps = {str(self.rule): self.trained.map(photo, channel, cell)}
        for share in STAGES:
            maps[f"random {share:.0%}"] = self._random(share, photo, channel, cell)
        maps["other filter"] = self._other(photo, channel, cell)
        picture = self.photos[photo]
        made = [(name, shown(one[None])[0]) for name, one in maps.items() if one is not None]
        return [(picture.name, picture.image[0]), *made]

    def _of(self, photo: int, channel: int) -> dict[tuple[str, str], float]:
        """Every comparison of one filter at its strongest place of one photograph."""
        other = (photo + 1) % len(self.photos)
        (cell, _), (away, _) = (self.trained.peak(i, channel) for i in (photo, other))
        here, there = (
            self.trained.seen[i].project([channel], at[None]).slopes[0]
            for i, at in ((photo, cell), (other, away))
        )
        centre = self.trained.seen[photo].centre(cell)
        apart = ((cell - away) * self.stride).tolist()
        pairs = {
            "filter": (here, self._other(photo, channel, cell)),
            "picture": (here, moved_onto(there, here, *apart)),
        }
        if (found := self._shape(other, channel, cell)) is not None:
            pairs["shape"] = here, moved_onto(found, here, 0, 0)
        for share in STAGES:
            name = "random" if share == 1 else f"random {share:.0%}"
            pairs[name] = here, self._random(share, photo, channel, cell)
        return {
            (name, measure): _likeness(*pairs.get(name, (here, None)), centre, measure)
            for name in COMPARISONS
            for measure in MEASURES
        }

    def _from(self, channel: int) -> list[int]:
        """The order of filters, begun behind one and without it."""
        at = self.order.index(channel)
        return [*self.order[at + 1 :], *self.order[:at]]

    def _other(self, photo: int, channel: int, cell: Tensor) -> Tensor | None:
        found = self.trained.active(photo, cell, self._from(channel))
        return self.trained.map(photo, found, cell)

    def _random(self, share: float, photo: int, channel: int, cell: Tensor) -> Tensor | None:
        network = self.random[share]
        return network.map(photo, network.active(photo, cell, self._from(channel)), cell)

    def _shape(self, other: int, channel: int, cell: Tensor) -> Tensor | None:
        """What random weights make of the same place of another photograph."""
        rows, columns = self.random[1.0].seen[other].code.shape[2:]
        inside = bool(cell[0] < rows and cell[1] < columns)
        return self._random(1.0, other, channel, cell) if inside else None


def _likeness(a: Tensor, b: Tensor | None, centre: tuple[float, float], measure: str) -> float:
    if b is None:
        return math.nan
    if measure == "size":
        a, b = (one.abs().sum(0, keepdim=True) for one in (a, b))
    return rank_correlation(a, b, centre)


def _report(
    findings: Findings, layers: Sequence[str], values: Mapping[Rule, Mapping[str, Values]]
) -> None:
    plots = [
        (
            f"{rule}: rank correlation of |R|",
            {
                text: [known(values[rule][layer][name]["size"]) for layer in layers]
                for name, text in COMPARISONS.items()
                if not name.startswith("random ")
            },
        )
        for rule in values
    ]
    findings.plot("With what a projection agrees", panels(plots, layers), "Means over filters.")
    rows: list[list[Cell]] = []
    for rule, by_layer in values.items():
        for name, text in COMPARISONS.items():
            means = [known(by_layer[layer][name]["size"]).value for layer in layers]
            size, colours = (pooled(by_layer, name, measure) for measure in MEASURES)
            rows.append([rule, text, *means, size.value, size.low, size.high, colours.value])
    columns = ["rule", "compared with", *layers, "all", "low", "high", "signed"]
    note = "|R| summed over colours, by layer and over all with its interval; R signed, over all."
    findings.table("likeness", "Rank correlations with a filter's projection", columns, rows, note)
    for rule, by_layer in values.items():
        judge_filter(findings, rule, by_layer)
        judge_upper(findings, rule, by_layer)
        judge_learnt(findings, rule, by_layer)


EXPERIMENT = Experiment(
    name="projections",
    title="Is a projection about the filter, or about the picture?",
    section="section 1",
    question="Deconvnets and guided backpropagation are shown as what a filter responds to. Does "
    "their picture depend on the filter and on what the network learnt, or would any filter of "
    "any network draw it?",
    method=(
        "Filters drawn at random among those active on every photograph are projected by each rule "
        "(guided backpropagation, gradient, deconvnet with max pooling) from their strongest "
        "place in the middle half of their maps, and compared by Spearman's rank correlation "
        "over the pixels reached: of |R| summed over colours, and of R signed. Ranks are taken "
        "less the mean of those as far from the field's centre: all fields are strong in their "
        "middle, so that of plain ranks any two projections of a place share most.",
        "Compared with: another filter that is active at the same place; the same filter's own "
        "strongest place on another photograph, laid over it; a filter of the same network with "
        "random weights at the same place, in the upper quarter, half, three quarters of the "
        "convolutions and in all (Adebayo et al. 2018); and random weights on another "
        "photograph, which share nothing but that fields are strong in their middle.",
        "That a projection is the filter's holds where the same filter on another picture is "
        "more like it than another filter on the same picture, is refuted where it is less, over "
        "filters with a 95 % interval. That it shows what was learnt holds where random weights "
        f"on the same picture are at most {LEARNT} nearer to it than random weights on another "
        "picture, and is refuted where they are nearer by more; that it hangs on the layers next "
        "to the filter, likewise with random weights in the upper half, and is refuted where these "
        f"give more than {MOST}.",
    ),
    run=run,
    uses=("filters",),
    defaults=Options(size=96, filters=6),
)
