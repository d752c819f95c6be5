"""Measures of a texture on textures that are known, and verdicts that follow them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from texton.experiments.catalogue import find_experiment
from texton.experiments.claims.textures import (
    MEASURES,
    PHASES,
    STATISTICS,
    Measured,
    distances,
    judge,
)
from texton.experiments.harness.run import run_experiment
from texton.experiments.measures.texture_quality import (
    Scale,
    copied,
    described,
    halves,
    without_phase,
)
from texton.experiments.report.findings import Findings
from texton.images.files import write_image
from texton.images.folder import Picture


def grain(seed: int, side: int = 64, coarse: int = 1) -> Tensor:
    noise = torch.rand(
        3, side // coarse, side // coarse, generator=torch.Generator().manual_seed(seed)
    )
    return noise.repeat_interleave(coarse, 1).repeat_interleave(coarse, 2)


def stripes(period: int, phase: int = 0, side: int = 64) -> Tensor:
    wave = torch.sin((torch.arange(side) + phase) / period * 2 * torch.pi)
    return (0.5 + 0.4 * wave).expand(3, side, side).contiguous()


def apart(a: Tensor, b: Tensor) -> dict[str, float]:
    return distances(described(a), described(b))


def test_draws_of_one_texture_are_nearer_than_other_textures() -> None:
    own, coarse = apart(grain(0), grain(1)), apart(grain(0), grain(1, coarse=4))
    assert set(apart(grain(0), grain(0)).values()) == {0}
    assert own["patches"] < 0.3 * coarse["patches"]
    pale = apart(grain(0), 0.5 + (grain(1) - 0.5) / 2)
    assert pale["patches"] > 2 * own["patches"]
    assert pale["structure"] < 1.5 * own["structure"], "a paler grain has the same structure"
    assert apart(grain(0), grain(1)[:, :, :32])["patches"] < 0.5 * coarse["patches"]


def test_repeats_are_told_by_their_period_and_not_by_their_phase() -> None:
    assert apart(stripes(8), stripes(8, 3))["repeats"] < 0.1
    assert apart(stripes(8), stripes(11))["repeats"] > 0.4
    assert apart(grain(0), grain(1))["repeats"] < 0.1


def test_copies_are_counted() -> None:
    source = grain(0)
    assert copied(source[:, 8:48, 12:60], source) == 1
    assert copied(grain(1), source) < 0.05
    patchwork = torch.cat([source[:, :32, 10:42], source[:, 20:52, 30:62]], 2)
    assert 0.7 < copied(patchwork, source) < 1


def test_phases_are_another_picture_of_the_same_spectrum() -> None:
    source = 0.5 + (grain(0, coarse=4) - 0.5) / 4
    other = without_phase(source)
    assert (source - other).abs().mean() > 0.05
    spectra = [torch.fft.rfft2(x).abs() for x in (source, other)]
    torch.testing.assert_close(*spectra, atol=0.05, rtol=0.01)
    one, half = halves(source)
    assert one.shape == half.shape == (3, 64, 32)
    assert Scale(0.1, 0.3)(0.2) == pytest.approx(0.5)
    assert Scale(0.1, 0.3).tells and not Scale(0.3, 0.3).tells


def test_random_phases_are_no_texture_by_patches() -> None:
    spots = torch.zeros(3, 64, 64)
    for seed, image in ((0, spots), (1, other := torch.zeros(3, 64, 64))):
        drawn = torch.Generator().manual_seed(seed)
        for row, column in torch.randint(0, 61, (60, 2), generator=drawn).tolist():
            image[:, row : row + 3, column : column + 3] = 1
    own = apart(spots, other)
    phases = apart(spots, without_phase(spots))
    assert phases["patches"] > 2 * own["patches"] and phases["structure"] > 2 * own["structure"]


def outcomes(**scores: float) -> list[str]:
    found = []
    for i in range(8):
        named = {
            kind: dict.fromkeys(MEASURES, scores[kind] + 0.01 * i) for kind in (*STATISTICS, PHASES)
        }
        copies = dict.fromkeys(STATISTICS, scores.get("copies", 0.1))
        found.append(Measured(Picture(str(i), torch.rand(1, 3, 8, 8)), 0.1, named, copies))
    findings = Findings()
    judge(findings, found)
    return [x.outcome for x in findings.verdicts]


def test_verdicts_follow_the_scores() -> None:
    kinds = {"means": 0.4, "moments": 0.3, "gram": 0.1, "shifted": 0.05}
    first = outcomes(**kinds, **{PHASES: 0.9})
    assert first == ["holds", "not supported", "not supported", "holds", "holds"]
    alike = {**dict.fromkeys(kinds, 0.1), PHASES: 0.9}
    assert outcomes(**alike)[1:4] == ["holds", "holds", "not supported"]
    same = dict.fromkeys(kinds, 0.1)
    assert outcomes(**same, **{PHASES: 0.1}, copies=0.9) == [
        *("not supported", "partly", "partly", "not supported", "not supported"),
    ]


NET = """
import torch
from torch import nn

def make():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU())
"""


def test_the_experiment_runs_and_writes_its_numbers(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(NET)
    for name, image in (("grain", grain(0, 48)), ("stripes", stripes(8, side=48))):
        write_image(image, tmp_path / f"{name}.png")
    photos = (tmp_path / "grain.png", tmp_path / "stripes.png")
    chosen = {"photos": photos, "network": f"{tmp_path / 'net.py'}:make", "size": 48, "steps": 2}
    made = run_experiment(find_experiment("textures"), tmp_path / "out", chosen)
    assert len(made["verdicts"]) == 5
    rows = json.loads(Path(made["data"]).read_text())["tables"]["textures"]
    assert len(rows) == 10 and {x["source"] for x in rows} == {"grain", "stripes"}
