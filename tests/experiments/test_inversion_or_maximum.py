"""Pictures whose filter is known, and what is said of kinds that are recognised more or less."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from texton import Network
from texton.experiments.catalogue import find_experiment
from texton.experiments.claims import inversion_or_maximum as claim
from texton.experiments.harness.run import run_experiment
from texton.experiments.report.findings import Findings

FILTERS = 5


@pytest.fixture
def judge(monkeypatch: pytest.MonkeyPatch) -> Network:
    monkeypatch.setattr(claim.describe, "__defaults__", (("0",),))
    torch.manual_seed(0)
    return Network(nn.Sequential(nn.Conv2d(3, 12, 3)), name="judge")


def textures(seed: int, stray: float) -> list[Tensor]:
    """A colour and a grain per filter, and as much that is the draw's own."""
    drawn = torch.Generator().manual_seed(seed)
    made = []
    for number in range(FILTERS):
        own = torch.Generator().manual_seed(number)
        colour = torch.rand(3, 1, 1, generator=own)
        grain = torch.rand(3, 1, 1, generator=own) * torch.randn(3, 24, 24, generator=drawn) / 4
        made.append(colour + grain + stray * torch.rand(3, 1, 1, generator=drawn))
    return made


def test_kinds_are_recognised_as_far_as_they_show_their_filter(judge: Network) -> None:
    clear, vague = ([textures(seed, stray) for seed in (10, 11)] for stray in (0.0, 5.0))
    pictures = {"inversion": vague, "again": clear, "maximum": clear, "natural": vague}
    hits, agree, separated = claim.judged({**pictures, claim.PATCH: clear}, judge)
    assert hits["maximum"].shape == (FILTERS,)
    assert hits["maximum"].mean() == hits[claim.PATCH].mean() == 1 == separated["maximum"]
    assert hits["inversion"].mean() < 0.7 and separated["inversion"] < 0.9
    assert hits["maximum to patch"].mean() == 1 > hits["inversion to patch"].mean()
    _, alike, _ = claim.judged({**pictures, "inversion": clear, claim.PATCH: clear}, judge)
    assert alike == pytest.approx(1) and agree < 0.9


def test_verdicts_follow_the_filters() -> None:
    def outcomes(maximum: float, inversion: float) -> list[str]:
        shares = np.tile([0.0, 1.0], 10)
        hits = dict.fromkeys(claim.KINDS, shares)
        hits |= {f"{kind} to patch": shares for kind in claim.KINDS}
        hits["maximum"], hits["inversion"] = np.full(20, maximum), np.full(20, inversion)
        hits["maximum to patch"] = np.where(np.arange(20) < 2, 0.0, maximum)
        hits["inversion to patch"] = np.full(20, inversion)
        findings = Findings()
        claim.report(findings, ["a"], {"a": hits}, {"a": 0.5}, [])
        return [x.outcome for x in findings.verdicts][:2]

    assert outcomes(1.0, 0.25) == ["holds", "holds"]
    assert outcomes(0.25, 1.0) == ["not supported", "not supported"]
    assert outcomes(0.5, 0.5)[0] == "partly"


@pytest.mark.slow
def test_it_runs_and_goes_on(tmp_path: Path) -> None:
    told = {"layers": ("relu1_2",), "filters": 2, "steps": 2, "size": 48, "device": "cpu"}
    experiment = find_experiment("inversion-or-maximum")
    made = run_experiment(experiment, tmp_path / "out", told)
    assert len(made["verdicts"]) == 3
    data = json.loads((tmp_path / "out" / "data.json").read_text())
    assert json.dumps(data).count("maxima, two starts") >= 1
    kept = sorted((tmp_path / "out" / "units").rglob("*.png"))
    assert len(kept) == 7 * 2  # of seven series: one inversion is of two kinds
