"""The desk's and the duel's works: what is seen, what is kept, what is refused."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
import torch

import texton
from tests.helpers import EXAMPLES
from texton.app.desk import DeskRun
from texton.app.duel import Duel
from texton.app.house import Given, House
from texton.app.kinds import run_of
from texton.app.sessions import Sessions
from texton.app.work import Cancelled, Told, Work
from texton.app.worker import Worker
from texton.methods.command import NetworkOptions

SIZE, LAYER = 72, "1"
_NETWORK = """
import torch
from torch import nn

def small():
    torch.manual_seed(5)
    first, second = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 8, 3, 2, 1)
    return nn.Sequential(first, nn.ReLU(), second, nn.ReLU())
"""


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> House:
    folder = tmp_path_factory.mktemp("house")
    (folder / "small.py").write_text(_NETWORK, encoding="utf-8")
    chosen = NetworkOptions(network=f"{folder / 'small.py'}:small", device="cpu")
    photos = [EXAMPLES / "chelsea.jpg", EXAMPLES / "coffee.jpg"]
    return House(Given(folder / "history", photos, chosen, device="cpu"))


def body(house: House, method: str, **options: Any) -> dict[str, Any]:
    told = {"photo": house.photos.listed()[0].id, "layer": LAYER, "size": SIZE}
    return {**told, "method": method, "options": {"steps": 6, **options}}


def desk(house: House, method: str, keep: bool = True, **options: Any) -> dict[str, Any]:
    return {"desk": {**body(house, method, **options), "board": "b", "keep": keep}}


def told(frames: list[dict[str, Any]], clock: Iterator[float] | None = None) -> Told:
    times = clock or iter(range(10**6))
    return Told(frames.append, lambda: None, lambda: float(next(times)))


def photo(house: House) -> torch.Tensor:
    return texton.read_image(house.photos.listed()[0].file, SIZE)


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("mix", {"energy": {"0": 0.0, "3": 2.0}}),
        ("invert", {"modify": "random", "shares_seed": 7, "seed": 1}),
        ("filter", {"direction": {"1": 0.5, "3": 0.5}}),
    ],
)
def test_the_kept_picture_is_the_commands(
    house: House, method: str, options: dict[str, Any]
) -> None:
    frames: list[dict[str, Any]] = []
    run = run_of(desk(house, method, **options), house)
    assert isinstance(run, DeskRun)
    (kept,) = run.run(told(frames))
    net = house.network(house.default)
    if method == "mix":
        energy = {0: 0.0, 3: 2.0}
        same = texton.mix(photo(house), net, LAYER, energy, steps=6, device="cpu")
    elif method == "invert":
        seeds = {"shares_seed": 7, "seed": 1, "steps": 6}
        same = texton.invert_random(photo(house), net, LAYER, device="cpu", **seeds)
    else:
        direction = {1: 0.5, 3: 0.5}
        label = "1=0.5,3=0.5"
        told_of = {"name": label, "steps": 6, "device": "cpu"}
        same = texton.invert_direction(photo(house), net, LAYER, direction, **told_of)
    assert torch.equal(kept.image, same.image)
    sides = [frame["side"] for frame in frames]
    assert sides[0] is None and sides[-1] == "right"  # the preview, then what is kept
    assert sides == sorted(sides, key=lambda x: x == "right")
    about = run.about(kept)
    assert about.command.startswith(f"texton {method} chelsea.jpg {LAYER} ")
    assert run_of(about.request, house).about(kept).command == about.command


def test_a_hand_that_moves_keeps_nothing_and_goes_on_from_where_it_is(house: House) -> None:
    def errors(board: str, factor: float) -> list[float]:
        frames: list[dict[str, Any]] = []
        asked = desk(house, "mix", keep=False, energy={"2": factor})
        run = run_of({"desk": {**asked["desk"], "board": board}}, house)
        assert list(run.run(told(frames))) == []
        return [frame["error"] for frame in frames]

    errors("moves", 1.0001)
    assert errors("moves", 1.5)[0] < errors("anew", 1.5)[0]


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"method": "dream", "options": {}}, "the desk turns"),
        ({"method": "invert", "options": {"modify": "ranks"}}, "Style"),
        ({"method": "filter", "options": {}}, "blend"),
        ({"method": "mix", "options": {}}, "energy"),
        ({"board": ["b"]}, "board"),
        ({"board": "b" * 100}, "board"),
        ({"keep": "yes"}, "keep"),
        ({"layer": None}, "layer"),
        ({"photo": "../chelsea.jpg"}, "photograph"),
        ({"size": 10**6}, "size"),
        ({"options": {"energy": {"2": -1}}}, "energy"),
        ({"options": {"energy": [1]}}, "number"),
    ],
)
def test_what_the_desk_refuses(house: House, changed: dict[str, Any], says: str) -> None:
    asked = desk(house, "mix", energy={"2": 2.0})
    asked["desk"].update(changed)
    with pytest.raises(texton.TextonError, match=says):
        run_of(asked, house)


def test_a_hundred_moves_end_in_the_last_and_nothing_runs(house: House) -> None:
    kept: list[str] = []

    def keep(work: Any, result: Any) -> dict[str, Any]:
        kept.append(work.run.about(result).command)
        return {}

    worker = Worker(keep, str, lambda line: None)
    sessions = Sessions(worker, grace=60)
    session = sessions.of("one")
    for move in range(100):
        asked = desk(house, "mix", keep=True, energy={"2": round(0.1 + move / 50, 3)})
        work = session.begin(run_of(asked, house), "desk")
    until = time.monotonic() + 60
    while not work.ended and time.monotonic() < until:
        time.sleep(0.01)
    every = [one.state for one in session.works.values()]
    worker.close()
    assert every[-1] == "done" and set(every[:-1]) == {"displaced"}
    assert "--energy 2=2.08" in kept[-1]


def test_what_has_ended_is_not_cancelled(house: House) -> None:
    worker = Worker(lambda work, result: {}, str, lambda line: None)
    told: list[str] = []

    def post(event: str, data: dict[str, Any]) -> None:
        if event == "work":
            told.append(data["state"])
            if data["state"] == "done":
                worker.cancel(work)

    work = Work("1", "desk", run_of(desk(house, "mix", keep=False, energy={"2": 2.0}), house), post)
    worker.submit(work)
    until = time.monotonic() + 60
    while "done" not in told and time.monotonic() < until:
        time.sleep(0.01)
    worker.close()
    assert told[-1] == "done" == work.state and told.count("done") == 1 and not work.message


def style(house: House, **options: Any) -> dict[str, Any]:
    content, painting = house.photos.listed()
    layers = {"content_layer": LAYER, "style_layers": ["1", "3"], "styles": [painting.id]}
    told = {"photo": content.id, "size": SIZE, "method": "stylize"}
    return {**told, "options": {"steps": 5, **layers, **options}}


def test_a_duel_makes_what_each_makes_alone(house: House) -> None:
    bodies = [style(house), style(house, statistic="gatys", style_weight=3.0)]
    frames: list[dict[str, Any]] = []
    run = run_of({"duel": {"sides": bodies}}, house)
    assert isinstance(run, Duel)
    both = {run.about(one).request["duel"]["side"]: one for one in run.run(told(frames))}
    for side, asked in zip(("left", "right"), bodies, strict=True):
        (alone,) = run_of(asked, house).run(told([]))
        assert torch.equal(both[side].image, alone.image)
    assert {frame["side"] for frame in frames} == {"left", "right"}
    assert (
        "--method gatys" in run.about(both["right"]).command
        or "gatys" in run.about(both["right"]).command
    )


def test_a_duel_that_is_left_ends_both(house: House) -> None:
    steps = iter(range(4))

    def check() -> None:
        if next(steps, None) is None:
            raise Cancelled

    run = run_of({"duel": {"sides": [style(house, steps=900), style(house, steps=900)]}}, house)
    with pytest.raises(Cancelled):
        list(run.run(Told(lambda frame: None, check)))


@pytest.mark.parametrize("sides", [None, [], [1], [{}, {}, {}], "left"])
def test_what_a_duel_refuses(house: House, sides: Any) -> None:
    with pytest.raises(texton.TextonError):
        run_of({"duel": {"sides": sides}}, house)
