"""Pictures of a running solve: seldom enough, and of no consequence for what is solved."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

import texton
from tests.app.live import LAYER, SMALL
from texton.app.frames import INTERVAL, SHARE, Pace
from texton.app.work import Told
from texton.methods.catalogue import find_method
from texton.solve.solver import Step


@pytest.mark.parametrize("cost", [0.001, 0.02, 0.3])
@pytest.mark.parametrize("step", [0.01, 0.5])
def test_frames_take_a_share_of_the_time_and_no_more(cost: float, step: float) -> None:
    now = 0.0
    pace = Pace(lambda: now)
    shown: list[float] = []
    while now < 60:
        now += step
        if pace.due():
            shown.append(now)
            now += cost
            pace.spent(cost)
    assert shown[0] == step, "the first is what somebody waits for"
    assert cost * (len(shown) - 1) <= SHARE * now
    gaps = [after - before for before, after in pairwise(shown)]
    assert all(gap >= INTERVAL for gap in gaps)
    assert len(gaps) >= 0.5 * min(60 / max(INTERVAL, step), SHARE * 60 / cost) - 1


def test_a_side_does_not_take_the_others_frames() -> None:
    now = 0.0
    pace = Pace(lambda: now)
    assert pace.due("left") and pace.due("right")
    pace.spent(0.001, "left")
    assert pace.due("right") and not pace.due("left")


def test_what_is_not_due_is_not_computed() -> None:
    now, posted = 0.0, []

    def image() -> Tensor:
        posted.append("computed")
        return torch.zeros(3, 16, 16)

    told = Told(lambda frame: posted.append(frame["step"]), lambda: None, lambda: now)
    for step in range(1, 4):
        told.frame(image, step, 3, lambda: torch.tensor(0.5))
    assert posted == ["computed", 1]


def test_a_solve_that_is_watched_gives_the_same_picture(cat: Tensor) -> None:
    found: dict[str, Any] = {}
    exec(SMALL, found)
    net = texton.load_network(found["made"]())
    seen: list[Tensor] = []

    def watch(step: Step) -> None:
        seen.append(step.images())
        share = step.achieved()
        assert share is not None and share.shape == (1,)

    method = find_method("filter")
    told = {"layer": LAYER, "channel": 4, "steps": 6}
    plain = method.picture(cat, net, **told)
    watched = method.picture(cat, net, **told, on_step=watch)
    assert torch.equal(plain.image, watched.image) and plain.trace == watched.trace
    assert len(seen) == 6 and seen[0].shape == cat.shape
    assert not torch.equal(seen[0], seen[-1]), "each is of its own step"
    assert torch.allclose(seen[-1][0], watched.image, atol=0.003)
