"""The engines, tested alike: results, workers that are killed, work that fails."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from multiprocessing.context import SpawnProcess
from pathlib import Path

import pytest

from tests.atlases import CAT, QUICK, build, check_complete, until
from texton.errors import TextonError
from texton.jobs.engines import Engine, Ledger, LocalEngine, RayEngine, local

pytestmark = pytest.mark.slow


class Squares:
    """Squares numbers; what some of them do to their worker first is up to a test."""

    def __init__(
        self,
        folder: Path,
        deadly: dict[int, int] | None = None,
        evil: int = -1,
        starts: bool = True,
        pace: float = 0.0,
    ) -> None:
        self.folder, self.deadly, self.evil = folder, deadly or {}, evil
        self.starts, self.pace, self.together = starts, pace, False

    def prepare(self) -> None:
        if not self.starts:
            (self.folder / f"started {os.getpid()}").touch()
            os.kill(os.getpid(), signal.SIGKILL)

    def __call__(self, items: Sequence[int]) -> Iterator[tuple[int, int | str]]:
        for item in items:
            with (self.folder / f"{item}").open("a") as file:
                file.write("x")
            if len((self.folder / f"{item}").read_text()) <= self.deadly.get(item, 0):
                os.kill(os.getpid(), signal.SIGKILL)
            if item == self.evil:
                raise TextonError("no space left")
            time.sleep(self.pace)
            yield item, item * item

    def give_up(self, item: int, reason: str) -> tuple[int, int | str]:
        return item, reason


JOBS = [range(5), range(5, 6), range(6, 12), []]


@pytest.fixture(scope="module", params=["local", "ray"])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    made: Engine = LocalEngine(2) if request.param == "local" else RayEngine(workers=2)
    with closing(made):
        yield made


def test_killed_workers_lose_nothing_and_a_killing_item_is_given_up(
    engine: Engine, tmp_path: Path
) -> None:
    assert engine.workers == 2
    assert list(engine.run([], Squares(tmp_path))) == []
    made = list(engine.run(JOBS, Squares(tmp_path, deadly={3: 1, 5: 99})))
    assert [item for item, _ in sorted(made)] == list(range(12))
    for item, result in made:
        if item == 5:
            assert str(result).startswith("3 workers"), result
        else:
            assert result == item * item
    tries = Counter({int(path.name): len(path.read_text()) for path in tmp_path.iterdir()})
    lost = {}
    if isinstance(engine, RayEngine):  # what was just made may be lost with the worker: made again
        lost = {item: tries[item] for item in (0, 1, 2) if tries[item] == 2}
    assert tries == {**dict.fromkeys(range(12), 1), 3: 2, 5: 3, **lost}


def test_a_job_is_done_in_order(engine: Engine, tmp_path: Path) -> None:
    made = list(engine.run([range(9)], Squares(tmp_path)))
    assert made == [(item, item * item) for item in range(9)]


def test_what_the_work_raises_ends_the_run(engine: Engine, tmp_path: Path) -> None:
    with pytest.raises(TextonError, match="no space left"):
        list(engine.run(JOBS, Squares(tmp_path, evil=4)))


def test_a_run_can_be_closed_early(engine: Engine, tmp_path: Path) -> None:
    run = engine.run([range(10_000), range(10_000, 20_000)], Squares(tmp_path, pace=0.01))
    assert next(run)[0] in (0, 10_000)
    run.close()  # type: ignore[attr-defined]
    assert not multiprocessing.active_children()

    def nobody_works() -> bool:
        before = len(list(tmp_path.iterdir()))
        time.sleep(0.3)
        return len(list(tmp_path.iterdir())) == before

    until(nobody_works)
    assert len(list(tmp_path.iterdir())) < 10_000


def test_workers_that_end_as_they_start_end_the_run_and_cost_no_item(tmp_path: Path) -> None:
    with pytest.raises(TextonError, match=r"workers end as they start \(were killed .*fewer"):
        list(LocalEngine(1).run(JOBS, Squares(tmp_path, starts=False)))
    assert len(list(tmp_path.glob("started *"))) == len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize("engine", ["ray"], indirect=True)
def test_a_build_joins_a_running_cluster_by_its_address(engine: Engine, tmp_path: Path) -> None:
    import ray

    address = ray.get_runtime_context().gcs_address
    words = (CAT, "--out", "a", "--layers", "relu1_1", "--channels", "0-3", *QUICK)
    done = build(*words, "--engine", "ray", "--address", address, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    check_complete(tmp_path / "a", 4)
    (tmp_path / "later").mkdir()  # the build has left the cluster, and left it running
    assert len(list(engine.run([range(3)], Squares(tmp_path / "later")))) == 3


def test_the_ledger_tries_a_suspect_alone_and_thrice() -> None:
    ledger = Ledger([(1, 2, 3), (4,)])
    assert ledger.take() == (1, 2, 3)
    assert ledger.died((2, 3)) is None
    assert [ledger.take(), ledger.take(), ledger.take()] == [(3,), (4,), (2,)]
    assert ledger.died((2,)) is None and ledger.take() == (2,)
    assert ledger.died((2,)) == 2 and ledger.take() is None


def test_the_ledger_halves_those_who_worked_together() -> None:
    ledger, culprit = Ledger([range(8)], together=True), 5
    finished, lost, deaths = [], [], 0
    while job := ledger.take():
        if culprit in job:  # a batch: nothing of it is finished before all is
            deaths += 1
            if (given_up := ledger.died(job)) is not None:
                lost.append(given_up)
        else:
            finished += job
    assert lost == [culprit] and sorted(finished) == [0, 1, 2, 3, 4, 6, 7] and deaths == 3 + 3


class Batches(Squares):
    """All of a job at once: an item that kills takes its whole job with it."""

    def __init__(self, folder: Path, deadly: int) -> None:
        super().__init__(folder)
        self.culprit, self.together = deadly, True

    def __call__(self, items: Sequence[int]) -> Iterator[tuple[int, int | str]]:
        if self.culprit in items:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(items)


@pytest.mark.parametrize("engine", ["local"], indirect=True)  # Ray's shares the ledger
def test_an_item_that_kills_a_batch_is_found_and_no_other_is_given_up(
    engine: Engine, tmp_path: Path
) -> None:
    made = dict(engine.run([range(2, 4), range(4, 6)], Batches(tmp_path, deadly=3)))
    assert sorted(made) == list(range(2, 6)) and str(made.pop(3)).startswith("3 workers")
    assert made == {item: item * item for item in made}


def test_ctrl_c_while_a_worker_is_hired_is_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = SpawnProcess.start

    def pressed(process: SpawnProcess) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        start(process)

    monkeypatch.setattr(local, "_START", "spawn")
    monkeypatch.setattr(SpawnProcess, "start", pressed)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            list(LocalEngine(2).run(JOBS, Squares(tmp_path, pace=0.1)))
    finally:
        signal.signal(signal.SIGINT, before)
    assert not multiprocessing.active_children() and len(list(tmp_path.iterdir())) < 12


def test_no_cluster_at_an_address_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", lambda **_: (_ for _ in ()).throw(ConnectionError("nobody")))
    with pytest.raises(TextonError, match=r"no Ray cluster answers at '127\.0\.0\.1:1': nobody"):
        RayEngine("127.0.0.1:1")
