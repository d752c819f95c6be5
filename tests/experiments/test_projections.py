"""What is said of projections whose likeness is planted; networks that forget from the top."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tests.helpers import EXAMPLES
from texton import Network
from texton.experiments.catalogue import find_experiment
from texton.experiments.claims.projection_verdicts import (
    Values,
    judge_filter,
    judge_learnt,
    judge_upper,
)
from texton.experiments.claims.projections import COMPARISONS, MEASURES
from texton.experiments.harness.randomised import randomised
from texton.experiments.harness.run import run_experiment
from texton.experiments.measures.likeness import moved_onto, rank_correlation
from texton.experiments.report.findings import Findings

CENTRE = (20.0, 20.0)


def field(seed: int, channels: int = 1) -> Tensor:
    """Noise under a bell, as fields are, and 0 beyond."""
    drawn = torch.rand(channels, 41, 41, generator=torch.Generator().manual_seed(seed))
    return drawn * torch.exp(-((away() / 6) ** 2)) * (away() < 14)


def away() -> Tensor:
    at = torch.arange(41) - 20.0
    return torch.hypot(at[:, None], at[None]).round()


def test_a_common_shape_is_no_likeness() -> None:
    a, b = field(0), field(1)
    assert abs(rank_correlation(a, b, CENTRE)) < 0.15, "of plain ranks 0.9"
    assert rank_correlation(a, a, CENTRE) == pytest.approx(1)
    assert rank_correlation(a, 3 * a.square(), CENTRE) == pytest.approx(1), "ranks alone count"
    assert 0.3 < rank_correlation(a, a + b, CENTRE) < 0.95
    signed = field(0, 3) - 0.3 * field(7, 3)
    assert rank_correlation(signed, -signed, CENTRE) < -0.9
    assert math.isnan(rank_correlation(a, torch.zeros_like(a), CENTRE))
    bell = (away() < 9).float()[None]
    assert math.isnan(rank_correlation(a, bell, CENTRE)), "nothing but a shape"


def test_a_moved_map_lies_on_its_place() -> None:
    a = field(0)
    wide = torch.zeros(1, 50, 45)
    wide[:, 4:45, 2:43] = a
    back = moved_onto(wide, a, -4, -2)
    torch.testing.assert_close(back, a)
    part = moved_onto(a, a, 30, 0)
    assert part[:, :30].isnan().all() and torch.equal(part[:, 30:], a[:, :11])
    assert moved_onto(a, a, 99, 0).isnan().all()
    assert math.isnan(rank_correlation(a, moved_onto(a, a, 99, 0), CENTRE))


class Chain(nn.Sequential):
    def __init__(self, seed: int) -> None:
        torch.manual_seed(seed)
        parts: list[nn.Module] = []
        for _ in range(4):
            parts += [nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU()]
        super().__init__(*parts)
        for part in self:
            if isinstance(part, nn.BatchNorm2d):
                nn.init.uniform_(part.running_mean)
        self.eval().requires_grad_(False)


@pytest.mark.parametrize(("share", "forgotten"), [(0.25, 1), (0.5, 2), (1.0, 4)])
def test_a_network_forgets_from_the_top(share: float, forgotten: int) -> None:
    own, twin = Chain(1), Chain(2)
    kept = {key: value.clone() for key, value in own.state_dict().items()}
    network = Network(own, mean=0.4, std=0.5)
    made = randomised(network, Network(twin), "11", share)
    state = made.module.state_dict()
    for key, value in state.items():
        number = int(key.partition(".")[0]) // 3
        source = twin.state_dict() if number >= 4 - forgotten else kept
        assert torch.equal(value, source[key]), key
    assert all(torch.equal(own.state_dict()[key], value) for key, value in kept.items())
    assert made.preprocessing == network.preprocessing
    lower = randomised(network, Network(twin), "5", share).module.state_dict()
    assert torch.equal(lower["6.weight"], kept["6.weight"]), "above the layer nothing counts"


def values(**means: float) -> dict[str, Values]:
    """Two layers of eight filters that scatter a little around planted means."""
    scatter = [0.01 * ((7 * i) % 5 - 2) for i in range(8)]
    found = {
        name: {m: [means.get(name, 0.0) + x * (1 + i) for x in scatter] for m in MEASURES}
        for i, name in enumerate(COMPARISONS)
    }
    return {"a": found, "b": found}


@pytest.mark.parametrize(
    ("filters", "picture", "outcome"),
    [(0.2, 0.6, "holds"), (0.9, 0.1, "not supported"), (0.4, 0.405, "partly")],
)
def test_of_whom_a_projection_is(filters: float, picture: float, outcome: str) -> None:
    findings = Findings()
    judge_filter(findings, "guided", values(filter=filters, picture=picture))
    assert findings.verdicts[0].outcome == outcome


@pytest.mark.parametrize(
    ("random", "shape", "outcome"),
    [(0.12, 0.1, "holds"), (0.5, 0.1, "not supported"), (0.2, 0.1, "partly")],
)
def test_what_was_learnt(random: float, shape: float, outcome: str) -> None:
    findings = Findings()
    judge_learnt(findings, "deconv", values(random=random, shape=shape))
    assert findings.verdicts[0].outcome == outcome
    upper = {"random 50%": random + 0.2 if outcome == "not supported" else random}
    judge_upper(findings, "deconv", values(shape=shape, **upper))
    assert findings.verdicts[1].outcome == outcome


def test_filters_without_a_value_are_left_out() -> None:
    planted = values(filter=0.2, picture=0.6)
    for by_name in planted.values():
        by_name["filter"]["size"][3] = math.nan
    findings = Findings()
    judge_filter(findings, "guided", planted)
    assert findings.verdicts[0].outcome == "holds" and "nan" not in findings.verdicts[0].evidence


@pytest.mark.slow
def test_the_experiment_runs(tmp_path: Path) -> None:
    chosen = {"size": 32, "filters": 2, "layers": ("relu2_1",)}
    photos = (EXAMPLES / "chelsea.jpg", EXAMPLES / "coffee.jpg")
    told: list[int] = []
    made = run_experiment(
        find_experiment("projections"),
        tmp_path / "run",
        {**chosen, "photos": photos},
        on_unit=lambda what, done, of: told.append(done),
    )
    assert len(made["verdicts"]) == 9 and told == [1, 2, 3]
    data = json.loads(Path(made["data"]).read_text())
    rows = {(row["rule"], row["compared with"]): row for row in data["tables"]["likeness"]}
    other = "another filter, same place"
    assert rows["guided", other]["all"] > rows["gradient", other]["all"]
    for row in rows.values():
        assert -1 <= row["low"] <= row["all"] <= row["high"] <= 1
