"""Update rules on problems whose answer is known."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

import texton
from tests.helpers import EXAMPLES
from texton import Network
from texton.methods import style as style_transfer
from texton.methods.parts.paper2016 import Sgd2016
from texton.solve.canvas import Canvas, PixelCanvas
from texton.solve.history import GREY, Historical
from texton.solve.presets import SolverSettings
from texton.solve.rules import Adam, Ascent, Following, Lbfgs, Rule


def test_lbfgs_finds_the_bounded_minimum_of_an_ill_conditioned_quadratic() -> None:
    generator = torch.Generator().manual_seed(0)
    scale = torch.logspace(0, 4, 48).reshape(1, 3, 4, 4)
    goal = torch.rand(1, 3, 4, 4, generator=generator) * 2 - 0.5  # a half lies out of bounds
    canvas = PixelCanvas(torch.full((1, 3, 4, 4), 0.5))
    rule = Lbfgs(canvas, SolverSettings(learning_rate=0.3))
    for _ in range(150):
        loss = (scale * (canvas() - goal).square()).sum()
        rule.move(torch.autograd.grad(loss, canvas.values)[0], torch.ones(1))
        canvas.bound()
    torch.testing.assert_close(canvas.images(), goal.clamp(0, 1), atol=1e-3, rtol=0)


def test_lbfgs_keeps_the_images_of_a_batch_apart() -> None:
    start = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    found = []
    for chosen in ([0, 1], [1]):
        canvas = PixelCanvas(start[chosen])
        rule = Lbfgs(canvas, SolverSettings(learning_rate=0.05))
        for _ in range(5):
            loss = (canvas().sin() * start[chosen]).sum() + canvas().pow(4).sum()
            rule.move(torch.autograd.grad(loss, canvas.values)[0], torch.ones(len(chosen)))
            canvas.bound()
        found.append(canvas.images()[-1])
    torch.testing.assert_close(found[0], found[1])


def _paper(canvas: Canvas, settings: SolverSettings) -> Rule:
    return Sgd2016(canvas, settings, torch.full((1, 3, 1, 1), 0.5), torch.ones(1))


def _ascent(canvas: Canvas, settings: SolverSettings) -> Rule:
    return Ascent(canvas, settings, blur=1.0)


@pytest.mark.parametrize("kind", [Adam, Lbfgs, Following, _ascent, Historical, _paper])
def test_a_rule_goes_on_from_its_state_as_if_nothing_had_happened(kind: Any) -> None:
    settings = SolverSettings(steps=30, learning_rate=0.05)
    rates, start = torch.full((2,), 0.9), torch.rand(2, 3, 8, 8)

    def moved(canvas: PixelCanvas, rule: Rule, steps: int) -> None:
        for _ in range(steps):
            loss = (canvas().sin() * start).sum() + canvas().pow(4).sum()
            rule.move(torch.autograd.grad(loss, canvas.values)[0], rates)
            canvas.bound()

    first = PixelCanvas(start)
    moved(first, rule := kind(first, settings), 25)  # more than L-BFGS remembers
    state = {name: tensor.clone() for name, tensor in rule.state().items()}
    second = PixelCanvas(first.values)
    (other := kind(second, settings)).restore(state)
    moved(first, rule, 3)
    moved(second, other, 3)
    assert torch.equal(first.values, second.values)
    for name in state:
        with pytest.raises(ValueError, match=r"fit|something else|there is no"):
            kind(second, settings).restore({k: v for k, v in state.items() if k != name})
    some = {k: v for k, v in state.items() if k not in ("image", "slope")}
    if some != state:
        with pytest.raises(ValueError, match="something else"):
            kind(second, settings).restore(some)


@pytest.mark.parametrize("method", ["gatys", "pmci"])
@pytest.mark.slow
def test_lbfgs_beats_adam_at_style_transfer(
    net: Network, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cat, coffee = (texton.read_image(EXAMPLES / f"{x}.jpg", 40) for x in ("chelsea", "coffee"))
    quasi_newton = texton.stylize(cat, [coffee], net, statistic=method, steps=12)
    real = style_transfer._settings
    monkeypatch.setattr(
        style_transfer,
        "_settings",
        lambda *args: replace(real(*args), rule="adam", betas=(0.9, 0.99), final_rate=0.0),
    )
    adam = texton.stylize(cat, [coffee], net, statistic=method, steps=12)
    assert quasi_newton.total < 0.95 * adam.total


def test_layer_weights_turn_a_layer_up(
    net: Network, cat: torch.Tensor, coffee: torch.Tensor
) -> None:
    layers = ("relu1_1", "relu3_1")

    def left(weights: tuple[float, ...]) -> dict[str, float]:
        wanted = {"style_layers": layers, "layer_weights": weights}
        terms = texton.stylize(cat, [coffee], net, **wanted, steps=12).settings["terms"]
        found: dict[str, float] = terms["after"]["style"]
        return found

    shallow, deep = left((20, 1)), left((1, 20))
    assert shallow["relu1_1"] < deep["relu1_1"] and shallow["relu3_1"] > deep["relu3_1"]


def test_lbfgs_remembers_no_more_of_a_large_picture_than_there_is_room_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def pairs(room: int) -> int:
        monkeypatch.setattr(Lbfgs, "room", room)
        canvas = PixelCanvas(torch.rand(2, 3, 8, 8))
        rule = Lbfgs(canvas, SolverSettings(learning_rate=0.01))
        for _ in range(30):
            rule.move(canvas.values.detach() - 0.5, torch.ones(2, dtype=torch.float64))
        return len(rule._pairs)

    each = 2 * 3 * 8 * 8 * 4
    assert [pairs(room * each) for room in (1, 7, 1000)] == [4, 7, 20]


def _old_ways(gradient: torch.Tensor, start: torch.Tensor, field: float = 100) -> torch.Tensor:
    """As far from grey as pixels are after the first blur."""
    canvas = PixelCanvas(start)
    settings = SolverSettings(learning_rate=1e-6, steps=5, rule="history")
    rule = Historical(canvas, settings, field)
    for _ in range(4):
        rule.move(gradient, torch.ones(len(start)))
    return canvas.images() - GREY


def test_old_ways_leave_no_specks_and_keep_what_is_fine() -> None:
    bright = torch.full((1, 3, 24, 24), 0.9)
    random = torch.rand(1, 1, 24, 24, generator=torch.Generator().manual_seed(0))
    specks = _old_ways(random.expand_as(bright), bright)
    assert 0.2 < float(specks.min()) < 0.39  # set to grey, and blurred: no pixel is left alone
    alike = _old_ways((1 + 0.01 * random).expand_as(bright), bright)
    assert float(alike.min()) > 0.399  # in one colour no pixel counts for less
    stripes = (GREY + 0.4 * (torch.arange(24) % 4 < 2).float()).expand_as(bright)
    one = torch.ones_like(bright)
    assert float(_old_ways(one, stripes, 5).std()) > 1.5 * float(_old_ways(one, stripes).std())
