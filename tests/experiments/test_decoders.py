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
from texton.experiments.report.findings import Findings
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


def test_verdicts_follow_the_figures() -> None:
    def outcomes(code: float, pixels: float, seconds: float) -> list[str]:
        """The decoder's figures, of a solver whose own are 1."""
        noise = np.geomspace(0.9, 1.1, 6)
        ones = dict.fromkeys(("code", "pixels", "seconds", "steps", "saved"), noise)
        decoded = ones | {"code": code * noise[::-1], "pixels": pixels * noise[::-1]}
        decoded["seconds"] = seconds * noise
        measured = {claim.SOLVER: ones, claim.DECODER: decoded}
        measured |= dict.fromkeys(claim.polishes(100), decoded)
        findings = Findings()
        claim.report(findings, {"a": measured, "b": measured}, 100)
        return [verdict.outcome for verdict in findings.verdicts]

    assert outcomes(9.0, 0.2, 0.01) == ["holds", "holds", "holds", "not supported", "holds"]
    assert outcomes(0.1, 5.0, 2.0) == [
        *("not supported", "not supported", "not supported", "holds", "not supported")
    ]
    assert outcomes(1.0, 1.0, 1.0)[0] == "partly"
    assert list(claim.polishes(100).values()) == [10, 20, 40, 100]
    assert list(claim.polishes(2).values()) == [1, 2]


def test_measures() -> None:
    photo = torch.rand(3, 8, 8)
    assert claim.pixel_error(photo, photo) == 0
    plain = photo.mean((1, 2), keepdim=True).expand_as(photo)
    assert claim.pixel_error(plain, photo) == pytest.approx(1)

    alone = [1.0, 0.5, 0.3, 0.2]
    assert claim.steps_saved(alone, [0.4]) == 2
    assert claim.steps_saved(alone, [0.4, 0.01]) == 3  # never reached: all of its steps
    assert claim.steps_saved(alone, [0.8, 0.7, 0.6, 0.55]) == -2


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


def test_it_runs(place: Path, tmp_path: Path) -> None:
    unseen = tuple(sorted((place / "photos").glob("*.png"))[:3])
    told = {"network": f"{place / 'net.py'}:make", "photos": unseen, "styles": unseen[:1]}
    told |= {"size": 48, "steps": 10, "device": "cpu", "decoders": (_file(place),)}
    made = run_experiment(find_experiment("decoders"), tmp_path / "out", told)
    assert len(made["verdicts"]) == 5
    by = {x["claim"]: x["outcome"] for x in made["verdicts"]}
    assert by["The decoder is the faster."] == "holds"
    found = json.loads((tmp_path / "out" / "data.json").read_text())["compared"]["1"]
    assert [len(x["code"]) for x in found.values()] == [3] * 6
    code = {name: np.mean(x["code"]) for name, x in found.items()}
    assert code["decoder + solver, 10 steps"] < code["decoder + solver, 1 steps"] < code["decoder"]
    assert found["decoder"]["steps"] == [0, 0, 0]


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
