"""Decoder against solver: what is measured, and claims that can fail."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.training.recipes import CPU, write_photographs
from texton import TextonError
from texton.experiments.catalogue import find_experiment
from texton.experiments.claims import decoders as claim
from texton.experiments.harness.run import run_experiment
from texton.experiments.report.findings import Findings, Table
from texton.network.load import load_network
from texton.training.decoder import DecoderRecipe
from texton.training.options import DecoderOptions
from texton.training.photos import Photos
from texton.training.trainer import train

SOURCE = """
import torch
from torch import nn

def make():
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU())
"""


@pytest.mark.slow
def test_verdicts_follow_the_figures() -> None:
    def outcomes(decoder: float, both: float, pixels: float) -> list[str]:
        """Of a solver whose error is 1 over its steps, and in pixels 1."""
        noise = np.geomspace(0.9, 1.1, 6)
        ones = dict.fromkeys(("code", "pixels", "seconds"), noise)
        back = noise[::-1]
        measured: claim.Measured = {}
        for who, steps in claim.whos(100):
            code = {claim.DECODER: decoder, claim.BOTH: both / max(1, steps)}
            measured[who, steps] = ones | {"code": code.get(who, 1 / max(1, steps)) * back}
            if who != claim.SOLVER:
                measured[who, steps]["pixels"] = pixels * back
        findings = Findings()
        claim.report(findings, {"a": measured, "b": measured})
        table = next(x for x in findings.blocks if isinstance(x, Table))
        saved = {str(row[1]): row[-1] for row in table.rows if row[0] == "a"}
        assert saved["solver, 10 steps"] is None
        assert saved["decoder"] == pytest.approx(min(100, max(10, 1 / decoder)), rel=0.05)
        return [verdict.outcome for verdict in findings.verdicts]

    yes, no = "holds", "not supported"
    assert outcomes(0.05, 0.1, 0.2) == [yes, yes, yes, yes, yes, yes]
    assert outcomes(0.001, 9.0, 5.0) == [no, no, yes, no, no, no]
    assert outcomes(0.5, 1.0, 1.0)[3] == outcomes(0.5, 1.0, 1.0)[5] == "partly"


def test_measures() -> None:
    photo = torch.rand(3, 8, 8)
    assert claim.pixel_error(photo, photo) == 0
    plain = photo.mean((1, 2), keepdim=True).expand_as(photo)
    assert claim.pixel_error(plain, photo) == pytest.approx(1)
    assert claim.whos(100)[:3] == [("decoder", 0), ("decoder + solver", 10), (claim.BOTH, 20)]
    assert claim.whos(2) == [
        ("decoder", 0),
        *((by, n) for by in (claim.BOTH, claim.SOLVER) for n in (1, 2)),
    ]
    alone = [(10, 0.1), (100, 0.001)]
    assert claim.steps_saved(alone, 5, 0.1) == pytest.approx(5)
    assert claim.steps_saved(alone, 5, 0.01) == pytest.approx(10**1.5 - 5)
    assert claim.steps_saved(alone, 5, 1e-9) == pytest.approx(95)  # no more than it was given
    assert claim.steps_saved(alone, 20, 0.5) == pytest.approx(-10)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("place")
    (folder / "net.py").write_text(SOURCE)
    network = load_network(f"{folder / 'net.py'}:make")
    photos = Photos.read(write_photographs(folder / "photos"), 32)
    told = DecoderOptions(steps=60, batch=2, crop=32, rate=0.01, every=60)
    train(DecoderRecipe(network, "1", told, photos, CPU), photos, told, _file(folder), CPU)
    return folder


def _file(folder: Path) -> Path:
    return folder / "one.safetensors"


@pytest.mark.slow
def test_it_runs(place: Path, tmp_path: Path) -> None:
    unseen = tuple(sorted((place / "photos").glob("*.png"))[:3])
    told = {"network": f"{place / 'net.py'}:make", "photos": unseen, "styles": unseen[:1]}
    told |= {"size": 48, "steps": 10, "device": "cpu", "decoders": (_file(place),)}
    made = run_experiment(find_experiment("decoders"), tmp_path / "out", told)
    assert len(made["verdicts"]) == 6
    found = json.loads((tmp_path / "out" / "data.json").read_text())["compared"]["1"]
    assert [len(x["code"]) for x in found.values()] == [3] * 9
    code = {name: np.mean(x["code"]) for name, x in found.items()}
    assert code["decoder + solver, 10 steps"] < code["decoder + solver, 1 steps"] < code["decoder"]
    kept = {x: x.stat().st_mtime_ns for x in (tmp_path / "out" / "units").rglob("*.png")}
    assert len(kept) == 27
    run_experiment(find_experiment("decoders"), tmp_path / "out", told)  # goes on: nothing is left
    assert {x: x.stat().st_mtime_ns for x in kept} == kept


@pytest.mark.parametrize(
    ("decoders", "says"),
    [((), "name decoders to compare"), (2, "two decoders of one layer"), (("x",), "cannot read")],
)
def test_what_is_refused(decoders: object, says: str, place: Path, tmp_path: Path) -> None:
    files = (_file(place),) * decoders if isinstance(decoders, int) else decoders
    told = {"network": f"{place / 'net.py'}:make", "decoders": files, "size": 48}
    with pytest.raises(TextonError, match=says):
        run_experiment(find_experiment("decoders"), tmp_path / "out", told)
    if files:
        with pytest.raises(TextonError, match="figure1 does not use --decoders"):
            run_experiment(find_experiment("figure1"), tmp_path / "two", told)
