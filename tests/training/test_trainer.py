"""What a training promises: the same bytes, nothing lost, one line where it cannot go on."""

from __future__ import annotations

import multiprocessing
import os
import signal
from pathlib import Path

import pytest
import torch

from tests.training.recipes import Blur, trained, write_photographs
from texton.errors import TextonError
from texton.images import place
from texton.images.files import read_image, read_settings
from texton.learned.file import load_trained
from texton.training import trainer
from texton.training.options import TrainingOptions
from texton.training.state import Progress, keep_state, read_state
from texton.training.trainer import Report, check_out


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_photographs(tmp_path_factory.mktemp("photographs"))


@pytest.fixture(scope="module")
def whole(photographs: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The file of a training that nobody interrupts."""
    out = tmp_path_factory.mktemp("whole") / "a.safetensors"
    trained(photographs, out)
    return out.read_bytes()


def _killed_at(step: int, photographs: Path, out: Path) -> None:
    def die(report: Report) -> None:
        if report.step == step:
            os.kill(os.getpid(), signal.SIGKILL)

    trainer.KEEP_SECONDS = 0.0
    trained(photographs, out, on_step=die)


@pytest.mark.parametrize("step", [5, 7])
def test_a_kill_costs_nothing(step: int, photographs: Path, whole: bytes, tmp_path: Path) -> None:
    out = tmp_path / "a.safetensors"
    child = multiprocessing.get_context("fork").Process(
        target=_killed_at, args=(step, photographs, out)
    )
    child.start()
    child.join(60)
    assert child.exitcode == -signal.SIGKILL and not out.exists()
    steps: list[int] = []
    outcome = trained(photographs, out, on_step=lambda report: steps.append(report.step))
    assert steps == list(range(step + 1, 13)) and outcome.steps == 12
    assert out.read_bytes() == whole
    assert sorted(x.name for x in (tmp_path / "a.training").glob("*.png")) == [
        *("0000005.png", "0000010.png", "0000012.png")
    ]
    assert not (tmp_path / "a.training" / "state.safetensors").exists()


def test_ctrl_c_writes_what_is_trained(photographs: Path, whole: bytes, tmp_path: Path) -> None:
    out = tmp_path / "a.safetensors"

    def interrupt(report: Report) -> None:
        if report.step == 3:
            signal.raise_signal(signal.SIGINT)

    outcome = trained(photographs, out, on_step=interrupt)
    assert outcome.interrupted and outcome.steps == 3
    assert load_trained(out, "decoder").header.steps == 3
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    check_out(out, force=False)  # an unfinished training's own file may be replaced
    assert not trained(photographs, out).interrupted
    assert out.read_bytes() == whole
    with pytest.raises(TextonError, match="is trained already: add --force"):
        check_out(out, force=False)


def test_it_learns_and_tells(photographs: Path, tmp_path: Path) -> None:
    reports: list[Report] = []
    outcome = trained(
        photographs,
        tmp_path / "a.safetensors",
        steps=80,
        every=40,
        rate=0.02,
        on_step=reports.append,
    )
    header = load_trained(outcome.path, "decoder").header
    assert header.steps == 80 and header.photos == 11 and header.options["rate"] == 0.02
    assert [row[0] for row in header.trace] == [40, 80]
    assert outcome.held == pytest.approx(header.trace[-1][2], rel=1e-4)
    assert outcome.held < 0.5 * reports[0].loss
    sample = tmp_path / "a.training" / "0000080.png"
    assert reports[-1].sample == sample and reports[-1].done == 1
    assert read_image(sample).std() > 0.01
    assert read_settings(sample)["step"] == 80  # type: ignore[index]


def test_minutes_end_a_training(photographs: Path, tmp_path: Path) -> None:
    told = TrainingOptions.of({"minutes": 0.005})
    assert told.steps is None and told.rate_at(0) == 1e-3 and told.rate_at(1) < 3e-5
    outcome = trained(photographs, tmp_path / "a.safetensors", steps=None, minutes=0.005)
    assert 0.3 <= outcome.seconds < 3 and outcome.steps > 1


def test_a_state_that_does_not_say_an_option_is_another_training_s(
    photographs: Path, tmp_path: Path
) -> None:
    """It is of before there was that option: a default of None is not what it was made with."""
    model, state = torch.nn.Linear(1, 1), tmp_path / "state.safetensors"
    optimiser = torch.optim.Adam(model.parameters())
    keep_state(model, optimiser, Progress(step=1), {"seed": 0}, state)
    assert read_state(model, optimiser, {"seed": 0}, state).step == 1
    with pytest.raises(TextonError, match="is there, with style_blur unsaid, not None"):
        read_state(model, optimiser, {"seed": 0, "style_blur": None}, state)


@pytest.mark.parametrize(
    ("told", "says"),
    [
        ({"seed": 1}, "an unfinished training is there, with seed 0, not 1"),
        ({"crop": 40}, "with crop 32, not 40"),
        ({"batch": 3}, "with batch 2, not 3"),
    ],
)
def test_another_training_s_state_is_refused(
    told: dict[str, int], says: str, photographs: Path, tmp_path: Path
) -> None:
    out = tmp_path / "a.safetensors"

    def stop(report: Report) -> None:
        signal.raise_signal(signal.SIGINT)

    trained(photographs, out, on_step=stop)
    with pytest.raises(TextonError, match=says):
        trained(photographs, out, **told)
    more = write_photographs(tmp_path / "more", 13)
    with pytest.raises(TextonError, match="with photographs"):
        trained(more, out)
    state = tmp_path / "a.training" / "state.safetensors"
    content = state.read_bytes()
    for broken in (content[:-30], b"", content.replace(b"texton-training-1", b"texton-training-2")):
        state.write_bytes(broken)
        with pytest.raises(TextonError, match=r"state\.safetensors'"):
            trained(photographs, out)


def test_a_loss_that_is_no_number(
    photographs: Path, whole: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer, "KEEP_SECONDS", 0.0)
    out = tmp_path / "a.safetensors"
    with pytest.raises(TextonError, match=r"no number at step 9: use a smaller --rate"):
        trained(photographs, out, Blur(poison=8))
    assert not out.exists()
    assert trained(photographs, out).steps == 12  # from step 8, which was the last good one
    assert out.read_bytes() == whole


def test_a_full_disk(
    photographs: Path, whole: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer, "KEEP_SECONDS", 0.0)
    out = tmp_path / "a.safetensors"
    synced = os.fsync
    calls = 0

    def full(file: int) -> None:
        nonlocal calls
        calls += 1
        if calls > 3:
            raise OSError(28, "No space left on device")
        synced(file)

    monkeypatch.setattr(place.os, "fsync", full)
    with pytest.raises(TextonError, match=r"cannot write .*No space left"):
        trained(photographs, out)
    assert not out.exists() and not list(tmp_path.rglob("*.tmp"))
    monkeypatch.setattr(place.os, "fsync", synced)
    trained(photographs, out)
    assert out.read_bytes() == whole


def test_places_and_options_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TextonError, match=r"name the file '.*a\.safetensors'"):
        check_out(tmp_path / "a.pth", force=False)
    foreign = tmp_path / "b.safetensors"
    foreign.write_bytes(b"mine")
    with pytest.raises(TextonError, match="texton did not make it: add --force"):
        check_out(foreign, force=False)
    check_out(foreign, force=True)
    with pytest.raises(TextonError, match="give one of them"):
        TrainingOptions.of({"steps": 5, "minutes": 1.0})
    assert TrainingOptions().steps == 4000


def test_two_at_once_are_refused(photographs: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.safetensors"

    def another(report: Report) -> None:
        if report.step == 1:
            with pytest.raises(TextonError, match="another process is training"):
                trained(photographs, out)

    trained(photographs, out, steps=2, on_step=another)


def test_the_process_s_own_draws_stay(photographs: Path, tmp_path: Path) -> None:
    recipe = Blur()
    torch.manual_seed(3)
    trained(photographs, tmp_path / "a.safetensors", recipe, steps=2)
    drawn = torch.rand(2)
    torch.manual_seed(3)
    torch.empty((), dtype=torch.int64).random_()  # a data loader's own
    assert torch.equal(drawn, torch.rand(2))
