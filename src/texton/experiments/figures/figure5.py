"""Figure 5: paintings × photographs, PMCI beside Gatys."""

from __future__ import annotations

from torch import Tensor

from texton.experiments.harness.experiment import Experiment
from texton.experiments.harness.lab import Lab
from texton.experiments.harness.options import Options
from texton.experiments.harness.series import METHODS, styled
from texton.experiments.report.findings import Cell, Findings
from texton.images.sheets import make_rows


def run(lab: Lab) -> Findings:
    findings = Findings()
    lab.make([styled(lab, p, s, m) for p in lab.photos for s in lab.styles for m in METHODS])
    rows: list[list[Cell]] = []
    hung: list[list[tuple[str, Tensor]]] = [
        [("", lab.photos[0].image[0].new_ones(3, 8, 8)), *_twice(lab)]
    ]
    for style in lab.styles:
        row = [(style.name, style.image[0])]
        for photo in lab.photos:
            for method in METHODS:
                (made,) = lab.made(styled(lab, photo, style, method))
                row.append((method.upper() if method == "pmci" else "Gatys", made.image))
                after = made.figures
                rows.append([style.name, photo.name, method, after["content"], after["style"]])
        hung.append(row)
    size = lab.options.size
    findings.show("Paintings × photographs", make_rows(hung, height=size * 3 // 4, width=size))
    findings.table(
        "pictures",
        "Every picture",
        ["style", "photograph", "method", "content term", "style term"],
        rows,
        "Terms are divided by their targets; the style term is each method's own statistic.",
    )
    findings.judge(
        "Matching the filters' sums gives pictures like those of Gram matrices.",
        "shown",
        f"{len(rows)} pictures. The claim is measured by the experiment energy-or-gram.",
    )
    return findings


def _twice(lab: Lab) -> list[tuple[str, Tensor]]:
    """Every photograph above its two columns."""
    blank = lab.photos[0].image[0].new_ones(3, 8, 8)
    return [item for p in lab.photos for item in ((p.name, p.image[0]), ("", blank))]


EXPERIMENT = Experiment(
    name="figure5",
    title="Figure 5: two style transfers",
    section="figure 5 and section 3.3",
    question="Do the sums of feature maps carry a style over as Gram matrices do?",
    method=(
        "Purposefully modified code inversion (PMCI) matches the photograph's code at relu2_2 "
        "and every filter's mean at relu1_1, relu2_1, relu3_1, relu4_1 and relu5_1 to the "
        "style's; Gatys et al. match Gram matrices at the same layers. Every term is divided by "
        "its own target, so that the same weights mean the same for both.",
        "A row is a style, the columns are the photographs, PMCI on the left of Gatys.",
    ),
    run=run,
    defaults=Options(size=192, preset="fast"),
)
