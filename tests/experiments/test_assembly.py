"""Removing inputs of filters, and what is said of what became of their textures."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from texton.experiments.claims.assembly import Change, _outcome, _removals, _report, ablated
from texton.experiments.harness.folder import Folder
from texton.experiments.harness.lab import Lab
from texton.experiments.harness.options import Options
from texton.experiments.measures.statistics import Estimate
from texton.experiments.report.findings import Findings
from texton.methods.parts.composition import Contributions, wiring_of
from texton.network.network import Network


@pytest.fixture
def network() -> Network:
    torch.manual_seed(0)
    layers = (nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 4, 3, padding=1), nn.ReLU())
    return Network(nn.Sequential(*layers))


def test_the_strongest_and_as_many_others_are_removed(network: Network) -> None:
    mean = torch.tensor([0.0, 5, 3, 1, 1, -2, 0.5, 0])
    found = Contributions(1, range(8), mean, 1)
    removed = _removals(found, wiring_of(network, "3"), seed=0)
    assert removed["strongest"] == [1, 2]  # 8 of 10.5: one alone adds less than half
    assert {len(one) for one in removed.values()} == {2}
    assert not {1, 2} & {*removed["heaviest"], *removed["others"]}
    lengths = wiring_of(network, "3").strengths[1].abs()
    lighter = [c for c in range(8) if c not in (*removed["strongest"], *removed["heaviest"])]
    assert float(lengths[removed["heaviest"]].min()) >= float(lengths[lighter].max())


def test_an_ablated_filter_no_longer_reads_its_inputs_and_others_do(network: Network) -> None:
    image = torch.rand(1, 3, 12, 12)
    whole = network.encode(image, "3<")["3<"]
    without = ablated(network, wiring_of(network, "3"), {1: [0, 3]}).encode(image, "3<")["3<"]
    entering = network.encode(image, "1")["1"]
    weight = network.module[2].weight[1:2].clone()  # type: ignore[index, union-attr]
    kept = [0, 3]
    gone = torch.conv2d(entering[:, kept], weight[:, kept], padding=1)
    assert torch.allclose(whole[:, 1:2] - without[:, 1:2], gone, atol=1e-5)
    assert torch.equal(whole[:, [0, 2, 3]], without[:, [0, 2, 3]])


@pytest.mark.parametrize(
    ("others", "again", "outcome"),
    [((0.1, 0.5), (0.1, 0.4), "holds"), ((0.1, 0.5), (-0.1, 0.4), "partly"),
     ((-0.1, 0.5), (0.1, 0.4), "not supported")],
)  # fmt: skip
def test_what_refutes_it(
    others: tuple[float, float], again: tuple[float, float], outcome: str
) -> None:
    assert _outcome(Estimate(0.3, *others, 8), Estimate(0.2, *again, 8)) == outcome


def test_the_strongest_must_move_it_further_than_each_control(tmp_path: object) -> None:
    moved = {"again": 0.2, "strongest": 1.0, "heaviest": 1.0, "others": 0.3}
    changes = [
        Change("relu2_2", c, "cat", {k: v + 0.01 * (c % 3) * (k == "heaviest") for k, v in
               moved.items()}, dict.fromkeys(("strongest", "heaviest", "others"), 0.5), 7)
        for c in range(8)
    ]  # fmt: skip
    findings = Findings()
    lab = Lab("parts", Options(filters=8), Folder(tmp_path))  # type: ignore[arg-type]
    _report(findings, lab, ["relu2_2"], changes)
    assert [verdict.outcome for verdict in findings.verdicts] == ["holds", "not supported"]
