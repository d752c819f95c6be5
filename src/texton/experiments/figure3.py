"""Figure 3: what filters 0 to 4 of five layers extract from two photographs."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor

from texton.experiments.frame.experiment import Experiment
from texton.experiments.frame.findings import Cell, Findings
from texton.experiments.frame.lab import Lab, Work, in_turn
from texton.experiments.frame.options import Options
from texton.experiments.frame.workbench import Made
from texton.methods.filters import iter_filters
from texton.presets import solver_settings
from texton.sheets import Tile, make_sheet


def run(lab: Lab) -> Findings:
    findings, options, network = Findings(), lab.options, lab.network
    layers = lab.layers(2)
    steps = solver_settings(options.preset, steps=options.steps).steps
    channels = {x: list(range(min(options.filters, network.layer(x).channels))) for x in layers}
    works = {
        (photo.name, layer): Work(
            network, layer, tuple(f"{layer}/{c}/{photo.name}" for c in channels[layer]), steps
        )
        for photo in lab.photos
        for layer in layers
    }
    lab.plan(list(works.values()))
    rows: list[list[Cell]] = []
    for photo in lab.photos:
        sheet = []
        for layer in layers:
            keys = works[photo.name, layer].keys

            def make(
                missing: list[str], photo: Tensor = photo.image, layer: str = layer
            ) -> Iterable[tuple[str, Made]]:
                wanted = [int(key.split("/")[1]) for key in missing]
                solved = iter_filters(
                    photo, network, layer, wanted, seed=options.seed, **lab.solving
                )
                return in_turn(solved, missing)

            made = lab.pictures(keys, make)
            tiles = []
            for channel, key in zip(channels[layer], keys, strict=True):
                figures = made[key].figures
                dead = figures["status"] == "dead"
                label = f"{channel} · {figures['error']:.2f}"
                tiles.append(Tile(made[key].image, label, "dead" if dead else ""))
                row = [photo.name, layer, channel, figures["error"], figures["achieved"]]
                rows.append([*row, figures["status"]])
            sheet.append((layer, tiles))
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
    defaults=Options(size=160, filters=5, preset="fast"),
)
