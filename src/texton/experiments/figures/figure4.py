"""Figure 4: two random reallocations of energy at five layers."""

from __future__ import annotations

from texton.experiments.harness.experiment import Experiment
from texton.experiments.harness.lab import Lab
from texton.experiments.harness.options import Options
from texton.experiments.harness.series import random_style
from texton.experiments.report.findings import Cell, Findings
from texton.images.sheets import Tile, make_sheet


def run(lab: Lab) -> Findings:
    findings, options = Findings(), lab.options
    layers = lab.layers(1)
    draws = list(range(options.repeats))
    every = [(p, layer, draw) for p in lab.photos for layer in layers for draw in draws]
    lab.make([random_style(lab, lab.network, *which) for which in every])
    rows: list[list[Cell]] = []
    for photo in lab.photos:
        sheet = []
        for draw in draws:
            tiles = [Tile(photo.image[0], "photograph")]
            for layer in layers:
                (made,) = lab.made(random_style(lab, lab.network, photo, layer, draw))
                tiles.append(Tile(made.image, layer))
                rows.append([photo.name, draw, layer, made.figures["error"]])
            sheet.append((f"v {draw}", tiles))
        findings.show(f"Random styles of {photo.name}", make_sheet(sheet))
    columns = ["photograph", "shares", "layer", "error"]
    findings.table("styles", "Every picture", columns, rows)
    findings.judge(
        "Random shares change colours at low layers, structure at high layers.",
        "shown",
        f"{len(rows)} inversions. The claim is measured by the experiment reallocation.",
    )
    return findings


EXPERIMENT = Experiment(
    name="figure4",
    title="Figure 4: random reallocations",
    section="figure 4 and section 3.2",
    question="What becomes of a photograph whose energy is shared out to filters at random?",
    method=(
        "Randomly modified code inversion: every feature map keeps its pattern and gets a random "
        "share of the code's energy; the code is inverted. Two draws of the shares (rows) at "
        "relu1_1, relu2_1, relu3_1, relu4_1 and relu5_1 (columns).",
        "Shares are half-normal over the maps that are active. The authors' program drew from "
        "N(3, 1000²), where half the shares are negative, which no rectified map can have.",
    ),
    run=run,
    uses=("preset", "repeats"),
    defaults=Options(size=192, repeats=2, preset="fast"),
)
