"""Figure 1: ψ, shown on a real code."""

from __future__ import annotations

import torch
from torch import Tensor

from texton.experiments.harness.experiment import Experiment
from texton.experiments.harness.lab import Lab
from texton.experiments.harness.options import Options
from texton.experiments.report.findings import Cell, Findings
from texton.images.sheets import Tile, make_sheet
from texton.network.codes import isolate, strongest, total_map

_MAPS = 5
_CHANNEL = 4


def run(lab: Lab) -> Findings:
    findings = Findings()
    layers = lab.layers(2)
    if not lab.options.layers:
        layers = layers[2:4] or layers[-1:]
    rows: list[list[Cell]] = []
    kept: list[float] = []
    for photo in lab.photos:
        for layer in layers:
            with torch.no_grad():
                code = lab.network.encode(photo.image, layer)[layer]
            channel = min(_CHANNEL, code.shape[1] - 1)
            shown = [c for c in strongest(code, _MAPS) if c != channel][: _MAPS - 1]
            target = isolate(code, channel)
            total = float(total_map(code).sum())
            kept.append(float(total_map(target).sum()) / total)
            before = [("all maps", total_map(code)[0])]
            before += [(f"map {c}", code[0, c]) for c in sorted([*shown, channel])]
            after = [("all maps", total_map(target)[0])]
            after += [(f"map {c}", target[0, c]) for c in sorted([*shown, channel])]
            first = Tile(photo.image[0], photo.name)
            size = photo.image.shape[2:]
            scales = [max(float(m.max()) for _, m in before[1:]), float(before[0][1].max())]
            sheet = make_sheet(
                [
                    ("code", [first, *(_tile(n, m, size, scales) for n, m in before)]),
                    ("target", [first, *(_tile(n, m, size, scales) for n, m in after)]),
                ],
                f"{layer} of {photo.name}",
            )
            findings.show(f"{layer}, filter {channel}, {photo.name}", sheet)
            own = float(code[0, channel].clamp_min(0).sum()) / total
            rows.append([photo.name, layer, channel, own, kept[-1]])
    findings.table(
        "psi",
        "What ψ does to the energy",
        ["photograph", "layer", "filter", "its share before", "energy kept"],
        rows,
        "Share: the filter's map over the sum of all maps.",
    )
    findings.judge(
        "ψ moves all activity, position by position, into one map.",
        "shown" if min(kept) > 0.9999 else "not supported",
        f"Energy kept: {min(kept):.4f} of 1 or more, in every case shown.",
    )
    return findings


def _tile(name: str, values: Tensor, size: torch.Size, scales: list[float]) -> Tile:
    """A map as a grey picture of the photograph's size; sums of all maps by a scale of their own.

    An isolated map holds the sum of all: it is drawn on the scale of the sum.
    """
    top = scales[1] if "all" in name or float(values.max()) > scales[0] else scales[0]
    grey = (values / max(top, 1e-9)).clamp(0, 1)[None, None]
    wide = torch.nn.functional.interpolate(grey, size, mode="nearest")[0]
    return Tile(wide.expand(3, -1, -1), name)


EXPERIMENT = Experiment(
    name="figure1",
    title="Figure 1: one feature map takes all",
    section="figure 1 and section 2.1",
    question="What does ψ, the modification behind feature map inversion, do to a real code?",
    method=(
        "A photograph goes through the network up to a layer. The first row shows its code: the "
        "sum of all feature maps, then the strongest maps and the one of the chosen filter.",
        "The second row shows the code that is inverted: at every position, the chosen filter's "
        "map holds the sum of all maps; the others hold nothing. Black is zero; the sum of all "
        "maps, and a map that holds it, are drawn on a scale of their own.",
    ),
    run=run,
    uses=(),
    defaults=Options(size=224),
)
