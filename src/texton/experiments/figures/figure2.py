"""Figure 2: the pictures that go in."""

from __future__ import annotations

from texton.experiments.harness.experiment import Experiment
from texton.experiments.harness.lab import Lab
from texton.experiments.harness.options import Options
from texton.experiments.report.findings import Cell, Findings
from texton.images.sheets import make_rows


def run(lab: Lab) -> Findings:
    findings = Findings()
    for title, pictures in (("Photographs", lab.photos), ("Styles", lab.styles)):
        findings.show(title, make_rows([[(p.name, p.image[0]) for p in pictures]], height=180))
    rows: list[list[Cell]] = [
        [kind, p.name, p.image.shape[3], p.image.shape[2]]
        for kind, pictures in (("photograph", lab.photos), ("style", lab.styles))
        for p in pictures
    ]
    findings.table("inputs", "Sizes as used", ["kind", "name", "width", "height"], rows)
    return findings


EXPERIMENT = Experiment(
    name="figure2",
    title="Figure 2: the inputs",
    section="figure 2",
    question="Which pictures do the other figures start from?",
    method=(
        "The paper shows two photographs, used for every figure. Without --photos and --styles "
        "these are the samples that come with scikit-image; see NOTICE for who made them.",
    ),
    run=run,
    uses=(),
    defaults=Options(size=224),
)
