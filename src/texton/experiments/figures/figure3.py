"""Figure 3: what filters 0 to 4 of five layers extract from two photographs."""

from __future__ import annotations

from collections.abc import Sequence

from texton.experiments.harness.experiment import Experiment
from texton.experiments.harness.folder import Made
from texton.experiments.harness.lab import Lab
from texton.experiments.harness.options import Options
from texton.experiments.harness.series import filters_of
from texton.experiments.report.findings import Cell, Findings
from texton.images.sheets import Tile, make_sheet


def run(lab: Lab) -> Findings:
    findings, network = Findings(), lab.network
    series = {
        (photo.name, layer): filters_of(
            lab, "filter", network, photo, layer, _first(network.layer(layer).channels, lab)
        )
        for photo in lab.photos
        for layer in lab.layers(2)
    }
    lab.make(list(series.values()))
    rows: list[list[Cell]] = []
    for photo in lab.photos:
        sheet = []
        for layer in lab.layers(2):
            found = lab.made(series[photo.name, layer])
            sheet.append((layer, _tiles(found)))
            rows += [[photo.name, *_figures(made)] for made in found]
        findings.show(f"From {photo.name}", make_sheet(sheet), "Above a tile: filter · error.")
    columns = ["photograph", "layer", "filter", "error", "achieved", "status"]
    findings.table("filters", "Every tile", columns, rows)
    dead = sum(row[5] == "dead" for row in rows)
    findings.judge(
        "Every filter extracts one specific texture; textures of higher layers are richer.",
        "shown",
        f"{len(rows)} inversions, {dead} dead. The claim is measured by the experiments "
        "specific-texture and depth.",
    )
    return findings


def _first(count: int, lab: Lab) -> Sequence[int]:
    return range(min(lab.options.filters, count))


def _figures(made: Made) -> list[Cell]:
    return [made.figures[key] for key in ("layer", "channel", "error", "achieved", "status")]


def _tiles(found: Sequence[Made]) -> list[Tile]:
    return [
        Tile(
            made.image,
            f"{made.figures['channel']} · {made.figures['error']:.2f}",
            "dead" if made.figures["status"] == "dead" else "",
        )
        for made in found
    ]


EXPERIMENT = Experiment(
    name="figure3",
    title="Figure 3: textures of filters",
    section="figure 3 and section 3.1",
    question="What do the first filters of five layers extract from two photographs?",
    method=(
        "Feature map inversion of filters 0 to 4 of relu1_2, relu2_2, relu3_2, relu4_2 and "
        "relu5_2: all activity of the photograph's code is given to one filter, and an image is "
        "sought whose code is that.",
        "A row is a layer, a tile a filter; the number is the error of the picture as saved. No "
        "image reaches such a target: 0.5 to 0.99 is normal.",
    ),
    run=run,
    uses=("preset", "filters"),
    defaults=Options(size=192, filters=5, preset="fast"),
)
