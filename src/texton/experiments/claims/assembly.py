"""Is a filter's texture assembled of its strongest inputs' patterns?"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from texton.experiments.harness.experiment import Experiment
from texton.experiments.harness.lab import Lab, need, some_channels
from texton.experiments.harness.options import Options
from texton.experiments.harness.series import filters_of
from texton.experiments.harness.work import Series
from texton.experiments.measures.describer import describe, held_out
from texton.experiments.measures.statistics import Array, Estimate, mean_interval
from texton.experiments.report.findings import Cell, Findings, Outcome
from texton.images.folder import Picture
from texton.images.sheets import Tile, make_sheet
from texton.methods.parts.composition import (
    Contributions,
    Peak,
    Wiring,
    contributions,
    wiring_of,
)
from texton.network.network import Network

REMOVED = {
    "strongest": "without the inputs that add half",
    "heaviest": "without as many others, those of the largest kernels",
    "others": "without as many others, drawn at random",
}
_AGAIN = "again"
_PLACES = 16
_TILES = 4


@dataclass(frozen=True)
class Change:
    """What became of one filter's texture on one photograph.

    Attributes:
        moved: how far the picture is from that of the whole filter, by kind of removal; ``again``
            is another start of the whole filter.
        left: what is left of the filter's mean activation on its own texture.
        removed: how many of its inputs.
    """

    layer: str
    channel: int
    photo: str
    moved: dict[str, float]
    left: dict[str, float]
    removed: int


def run(lab: Lab) -> Findings:
    need(len(lab.photos) > 1, "inputs are ranked on another photograph: --photos takes two or more")
    describer = held_out(lab.network)
    findings, changes = Findings(), list[Change]()
    layers = [name for name in lab.layers(2) if wiring_of(lab.network, name).source]
    need(bool(layers), "every layer reads the image itself: --layers takes a deeper one")
    for layer in layers:
        wanted = some_channels(
            lab.network.layer(layer).channels, lab.options.filters, lab.options.seed
        )
        for photo, ranked in zip(lab.photos, [*lab.photos[1:], lab.photos[0]], strict=True):
            changes += _changes(lab, findings, layer, wanted, photo, ranked, describer)
    _report(findings, lab, layers, changes)
    return findings


def _changes(
    lab: Lab,
    findings: Findings,
    layer: str,
    channels: Sequence[int],
    photo: Picture,
    ranked: Picture,
    describer: Network,
) -> list[Change]:
    wiring = wiring_of(lab.network, layer)
    found = {c: _ranked(lab, wiring, c, ranked.image) for c in channels}
    known = {c: one for c, one in found.items() if one is not None and one.for_half()}
    if not known:
        return []
    removed = {c: _removals(one, wiring, lab.options.seed) for c, one in known.items()}
    kept = list(known)
    whole = filters_of(lab, "filter", lab.network, photo, layer, kept)
    series = {"whole": whole}
    series[_AGAIN] = filters_of(lab, "filter", lab.network, photo, layer, kept, start=1)
    networks = {}
    for kind in REMOVED:
        without = {channel: removed[channel][kind] for channel in kept}
        networks[kind] = ablated(lab.network, wiring, without)
        series[kind] = _without(whole, kind, networks[kind], ranked)
    lab.make(list(series.values()))
    pictures = {kind: [made.image for made in lab.made(one)] for kind, one in series.items()}
    _show(findings, layer, photo.name, kept, pictures)
    moved = _moved(pictures, describer)
    left = _left(lab, layer, kept, pictures["whole"], networks)
    return [
        Change(
            layer,
            channel,
            photo.name,
            {kind: float(values[at]) for kind, values in moved.items()},
            {kind: values[at] for kind, values in left.items()},
            len(removed[channel]["strongest"]),
        )
        for at, channel in enumerate(kept)
    ]


def _ranked(lab: Lab, wiring: Wiring, channel: int, image: Tensor) -> Contributions | None:
    """What the inputs add where a photograph excites the filter most; None if it is silent."""
    with torch.no_grad():
        plane = lab.network.encode(image, wiring.layer)[wiring.layer][0, channel]
    values, order = plane.flatten().topk(min(_PLACES, plane.numel()))
    width = plane.shape[1]
    peaks: list[Peak] = [
        (image, int(at) // width, int(at) % width)
        for value, at in zip(values, order, strict=True)
        if value > 0
    ]
    if not peaks:
        return None
    return contributions(lab.network, wiring, channel, peaks, lab.compute)


def _removals(found: Contributions, wiring: Wiring, seed: int) -> dict[str, list[int]]:
    """The inputs to remove, by kind: of each kind as many, and none of the others a strongest."""
    count = min(found.for_half(), len(found.inputs) // 2)
    strongest = found.adding[:count]
    rest = [channel for channel in found.inputs if channel not in strongest]
    lengths = wiring.strengths[found.channel].abs()
    heavy = sorted(rest, key=lambda c: -float(lengths[c - found.inputs.start]))
    generator = torch.Generator().manual_seed(7919 * seed + found.channel)
    drawn = torch.randperm(len(rest), generator=generator)[:count].tolist()
    return {
        "strongest": strongest,
        "heaviest": heavy[:count],
        "others": [rest[at] for at in drawn],
    }


def ablated(network: Network, wiring: Wiring, removed: Mapping[int, Sequence[int]]) -> Network:
    """A copy of the network in which some filters no longer read some of their inputs."""
    module = copy.deepcopy(network.module)
    weight = module.get_submodule(wiring.conv).weight
    assert isinstance(weight, Tensor)
    with torch.no_grad():
        for channel, inputs in removed.items():
            places = [one - wiring.inputs(channel).start for one in inputs]
            weight[channel, places] = 0
    about = network.preprocessing
    return Network(module, name=network.name, bands=network.bands, details=network.details, **about)


def _without(whole: Series, kind: str, network: Network, ranked: Picture) -> Series:
    """The same pictures of filters that lack some of their inputs."""
    keys = tuple(f"{kind}/by-{ranked.name}/{key}" for key in whole.keys)
    source = f"{whole.source} {kind} {whole.layer} {whole.photo.name}"
    return replace(whole, kind=kind, network=network, source=source, keys=keys, here=True)


def _moved(pictures: Mapping[str, Sequence[Tensor]], describer: Network) -> dict[str, Array]:
    """How far each picture is from the whole filter's, for each kind but that."""
    count = len(pictures["whole"])
    described = describe([image for found in pictures.values() for image in found], describer)
    parts = {kind: described[at * count : (at + 1) * count] for at, kind in enumerate(pictures)}
    return {
        kind: np.linalg.norm(found - parts["whole"], axis=1)
        for kind, found in parts.items()
        if kind != "whole"
    }


@torch.no_grad()
def _left(
    lab: Lab,
    layer: str,
    channels: Sequence[int],
    textures: Sequence[Tensor],
    networks: Mapping[str, Network],
) -> dict[str, list[float]]:
    """What a filter without some inputs answers to the texture of the whole one, as a share."""
    found: dict[str, list[float]] = {kind: [] for kind in networks}
    for channel, image in zip(channels, textures, strict=True):
        whole = float(lab.network.encode(image[None], layer)[layer][0, channel].mean())
        for kind, network in networks.items():
            rest = float(network.encode(image[None], layer)[layer][0, channel].mean())
            found[kind].append(rest / whole if whole > 0 else 1.0)
    return found


def _show(
    findings: Findings,
    layer: str,
    photo: str,
    channels: Sequence[int],
    pictures: Mapping[str, Sequence[Tensor]],
) -> None:
    names = {"whole": "whole", _AGAIN: "whole, another start", **REMOVED}
    rows = [
        (names[kind], [Tile(x, str(c)) for c, x in zip(channels, found, strict=True)][:_TILES])
        for kind, found in pictures.items()
    ]
    findings.show(f"{layer} on {photo}", make_sheet(rows))


def _by_filter(changes: Sequence[Change], kind: str, against: str) -> list[float]:
    """How much further one removal moves a filter's picture than another; a value a filter."""
    found: dict[tuple[str, int], list[float]] = {}
    for one in changes:
        found.setdefault((one.layer, one.channel), []).append(one.moved[kind] - one.moved[against])
    return [float(np.mean(values)) for values in found.values()]


def _report(findings: Findings, lab: Lab, layers: Sequence[str], changes: Sequence[Change]) -> None:
    need(bool(changes), "every filter stayed silent on the photographs: use other --layers")
    rows: list[list[Cell]] = []
    for layer in layers:
        own = [one for one in changes if one.layer == layer]
        if not own:
            continue
        for kind in (_AGAIN, *REMOVED):
            moved = float(np.mean([one.moved[kind] for one in own]))
            left = None if kind == _AGAIN else float(np.mean([one.left[kind] for one in own]))
            gone = 0.0 if kind == _AGAIN else float(np.mean([one.removed for one in own]))
            rows.append([layer, REMOVED.get(kind, "whole, another start"), gone, moved, left])
    findings.table(
        "changes",
        "How far the texture moves",
        ["layer", "what", "inputs removed", "distance", "left of the activation"],
        rows,
        "Distance: from the picture of the whole filter, as EfficientNet-lite0 describes pictures, "
        "a mean over filters and photographs. Left: what the filter without those inputs answers "
        "to the texture of the whole one.",
    )
    against = {kind: mean_interval(_by_filter(changes, "strongest", kind)) for kind in
               (_AGAIN, "heaviest", "others")}  # fmt: skip
    for kind in ("others", "heaviest"):
        findings.judge(
            "A filter's texture is assembled of its strongest inputs' patterns: to remove them "
            f"changes it more than to remove as many others ({_SAID[kind]}).",
            _outcome(against[kind], against[_AGAIN]),
            f"The picture moves further by {against[kind]} where the strongest are removed, over "
            f"{against[kind].n} filters; beyond another start of the whole filter by "
            f"{against[_AGAIN]}.",
        )
    findings.data["changes"] = [vars(one) for one in changes]
    findings.limits += [
        f"{lab.options.filters} filters a layer on {len(lab.photos)} photographs; of a layer all "
        "tested filters lose inputs in one copy of the network.",
        "Inputs are removed from one filter alone; the layer's other filters still read them, and "
        "so keep their patterns away from the picture or let them in as before.",
        "That the texture changes more says that it depends on these inputs, not that it looks "
        "like a patchwork of their textures.",
    ]


_SAID = {"others": "drawn at random", "heaviest": "those of the largest kernels"}


def _outcome(others: Estimate, again: Estimate) -> Outcome:
    """Holds where the change is larger than the control's, and than another start's."""
    if not others.low > 0:
        return "not supported"
    return "holds" if again.low > 0 else "partly"


EXPERIMENT = Experiment(
    name="parts",
    title="Are textures assembled of the strongest inputs?",
    section="section 3.1",
    question="The paper says that higher filters assemble lower ones' patterns. Does removing the "
    "inputs that add most change a filter's texture more than removing as many others?",
    method=(
        "Filters of every layer that reads another are drawn at random. On one photograph the "
        "inputs are ranked by what they add at the filter's 16 strongest places; the fewest that "
        "add half are set to zero in the filter's kernel, and its texture is made anew from "
        "another photograph by the network so changed.",
        "Controls, by the same code: as many of the other inputs drawn at random; as many others "
        "of the largest kernels, for what adds most has large kernels too; and the whole filter "
        "from another start, which moves the picture without any removal.",
        "Pictures are compared by EfficientNet-lite0, which no inversion has seen. The claim holds "
        "where the strongest inputs' removal moves the picture further than the control's and "
        "further than another start does, both with an interval above 0 over filters; it is "
        "refuted by an interval that reaches 0, and holds partly where another start moves the "
        "picture as far.",
    ),
    run=run,
    uses=("preset", "filters"),
    defaults=Options(size=96, filters=4, preset="fast"),
)
