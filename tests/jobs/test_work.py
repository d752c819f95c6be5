"""What a worker does: whose an error is, and which method makes what."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest
import torch

import texton
from tests.conftest import EXAMPLES
from texton.atlas.plan import Asked, make_plan
from texton.jobs.making import Made, PictureWork
from texton.jobs.manifest import AtlasLayer
from texton.jobs.store import Store
from texton.jobs.work import UnitWork
from texton.methods.method import SECONDS, Method, Task
from texton.methods.options import Options
from texton.methods.result import Result, Unit


@dataclass(eq=False)
class Batches(PictureWork[int]):
    """Numbers; those of a job are solved side by side on a GPU, and nothing comes of a batch that
    holds a bad one."""

    bad: set[int]
    device: str = "cuda"
    batch: int = 32
    asked: list[list[int]] = field(default_factory=list)
    kept: list[int] = field(default_factory=list)

    def task(self, keys: Sequence[int]) -> tuple[Method, Task]:
        self.asked.append(list(keys))
        units = tuple(Unit(channel=key) for key in keys)
        method = Method("n", "", "", ("channel",), Options, (), self._make)
        return method, Task(cast(texton.Network, None), units)

    def _make(self, task: Task, on_step: object) -> Iterator[Result]:
        for start in range(0, len(task.units), self.batch):
            batch = task.units[start : start + self.batch]
            if self.bad & {unit.channel for unit in batch}:
                raise ValueError("too hot")
            yield from (Result(torch.zeros(3, 16, 16), unit, {}, 0.0) for unit in batch)

    def keep(self, key: int, result: Result) -> None:
        assert result.channel == key
        self.kept.append(key)

    def give_up(self, key: int, reason: str, seconds: float = 0.0) -> Made[int]:
        return Made(key, "failed", seconds, reason)


@pytest.mark.parametrize("bad", [set(), {0}, {5}, {31}, {3, 4, 20}])
@pytest.mark.parametrize("batch", [4, 32])
def test_a_failure_in_a_batch_is_of_the_unit_whose_it_is(bad: set[int], batch: int) -> None:
    work = Batches(bad, batch=batch)
    made = list(work(range(32)))
    assert [one.unit for one in made] == list(range(32))
    assert {one.unit for one in made if one.status == "failed"} == bad
    assert work.kept == [number for number in range(32) if number not in bad]
    assert all(one.reason == "ValueError: too hot" for one in made if one.unit in bad)


def test_after_the_culprit_is_found_batches_go_on() -> None:
    work = Batches({1})
    list(work(range(8)))
    assert work.asked == [list(range(8)), [0], [1], list(range(2, 8))]


def test_one_by_one_a_failure_is_not_tried_again() -> None:
    work = Batches({1}, device="cpu", batch=1)
    assert [one.status for one in work(range(4))] == ["ok", "failed", "ok", "ok"]
    assert work.asked == [[0, 1, 2, 3], [2, 3]]


def test_what_reads_an_atlas_or_runs_an_engine_waits_for_no_torch() -> None:
    code = (
        "import sys, texton.jobs.store, texton.jobs.engines, texton.jobs.work, texton.web.server;"
        "print([m for m in ('torch', 'numpy', 'starlette', 'ray') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def _blurred(task: Task, on_step: object) -> Iterator[Result]:
    for unit in task.units:
        assert unit.layer is None and unit.channel is None
        image = texton.images.files.as_saved(torch.nn.functional.avg_pool2d(task.photo(unit), 2))
        yield Result(image[0], unit, {"sharpness": 0.5}, 0.1)


@pytest.mark.slow
def test_an_atlas_may_be_of_a_method_without_layers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blur: Any = Method("blur", "Blurred", "{photo}", ("photo",), Options, (SECONDS,), _blurred)
    for module in ("work", "store"):
        monkeypatch.setattr(f"texton.jobs.{module}.find_method", lambda _: blur)
    asked = Asked([EXAMPLES / "chelsea.jpg"], layers="relu1_1", reading={"size": 32})
    plan = make_plan(asked, tmp_path / "a")
    manifest = replace(
        plan.manifest, method="blur", options={}, layers=(AtlasLayer("blur", 1, 1, None, (0,)),)
    )
    store = Store(tmp_path / "a", manifest)
    store.save(manifest)
    work = UnitWork(store.root, manifest, plan.photos)
    work.prepare()
    assert [one.status for one in work(store.units())] == ["ok"]
    (unit,) = store.units()
    assert store.picture(unit) == store.root / "units" / "blur" / "0" / "chelsea.png"
    record = store.record(unit)
    assert record is not None and record["sharpness"] == 0.5 and record["layer"] == "blur"
    command = "texton blur chelsea.jpg --size 32 --device cpu -o chelsea-blur-0.png"
    assert record["command"] == command
    assert (texton.read_settings(store.picture(unit)) or {})["command"] == command
