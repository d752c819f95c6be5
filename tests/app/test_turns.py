"""Two solves by turns: as long each, one at a time, ended together."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from texton.app.turns import SLICE, Turns

Turn = Callable[[Callable[[], None]], None]


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def job(clock: Clock, name: str, steps: int, each: float, told: list[str]) -> Callable[[Turn], str]:
    def run(turn: Turn) -> str:
        for _ in range(steps):
            clock.now += each  # it computes
            told.append(name)
            turn(lambda: None)
        return name

    return run


def test_each_computes_as_long_however_long_its_steps_are() -> None:
    clock, told = Clock(), list[str]()
    slow, quick = job(clock, "slow", 10, 0.2, told), job(clock, "quick", 40, 0.05, told)
    turns = Turns([slow, quick], clock)
    halves = []
    for at, name in turns.results():
        halves.append((at, name))
    assert sorted(halves) == [(0, "slow"), (1, "quick")]
    assert turns.spent == pytest.approx([2.0, 2.0])
    for upto in range(8, len(told) + 1):
        spent = 0.2 * told[:upto].count("slow"), 0.05 * told[:upto].count("quick")
        if max(spent) < 2.0 - 1e-9:
            assert abs(spent[0] - spent[1]) <= SLICE + 0.2 + 1e-9


def test_what_is_done_aside_is_on_no_clock() -> None:
    clock = Clock()

    def run(turn: Turn) -> None:
        for _ in range(3):
            clock.now += 0.1
            turn(lambda: setattr(clock, "now", clock.now + 5.0))

    turns = Turns([run], clock)
    list(turns.results())
    assert turns.spent == pytest.approx([0.3])


def test_what_ends_early_leaves_the_clock_to_the_other() -> None:
    clock, told = Clock(), list[str]()
    turns = Turns([job(clock, "a", 2, 0.3, told), job(clock, "b", 9, 0.3, told)], clock)
    assert [name for _, name in turns.results()] == ["a", "b"]
    assert told.count("b") == 9


def test_an_error_of_one_ends_both() -> None:
    clock, told = Clock(), list[str]()

    def fails(turn: Turn) -> str:
        turn(lambda: None)
        raise ValueError("no memory")

    before = threading.active_count()
    turns = Turns([fails, job(clock, "b", 10**9, 0.3, told)], clock)
    with pytest.raises(ValueError, match="no memory"):
        list(turns.results())
    assert threading.active_count() == before


def test_leaving_ends_both() -> None:
    clock, told = Clock(), list[str]()
    before = threading.active_count()
    turns = Turns([job(clock, "a", 1, 0.3, told), job(clock, "b", 10**9, 0.3, told)], clock)
    results = turns.results()
    assert next(results) == (0, "a")
    results.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before
