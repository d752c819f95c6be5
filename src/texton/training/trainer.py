"""A small trainer: a recipe says what is learnt, this file when, how long, and what is kept."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader

from texton.errors import TextonError
from texton.images.files import write_image
from texton.images.place import check_file, check_place
from texton.learned.file import SUFFIX, Header, is_trained, save_trained
from texton.lock import hold
from texton.network.device import Compute, is_out_of_memory
from texton.training.interrupt import interruptible
from texton.training.options import MAX_STEPS, TrainingOptions
from texton.training.photos import Crops, Photos, seed_of
from texton.training.state import Progress, keep_state, read_state

KEEP_SECONDS = 60.0  # what a kill costs at most
_LONGEST_SLOPE = 10.0  # gradients longer than this are cut: one bad batch must not undo the rest
_LATEST = 0.02  # weight of a step in the average loss
_LOOK = {"cpu": 1}  # steps from one look at the loss to the next; a GPU waits for each
_LOOK_ELSEWHERE = 20


class Recipe(Protocol):
    """What is learnt."""

    @property
    def model(self) -> nn.Module:
        """Its parameters are trained, its state is what is kept and written."""
        ...

    def loss(self, images: Tensor, step: int) -> Tensor:
        """A number to be made smaller, for crops (B, C, H, W) in [0, 1].

        It may draw with torch's own generator, which begins every step from the training's seed.
        """
        ...

    def sample(self, images: Tensor) -> Tensor | Image.Image:
        """A picture, (C, H, W) in [0, 1] or Pillow's, of held-out crops (n, C, H, W)."""
        ...

    def identity(self) -> dict[str, Any]:
        """What has to be the same where a training is gone on with, as JSON has it."""
        ...

    def header(self, **made: Any) -> Header:
        """Of the file: ``made`` are its ``steps``, ``photos``, ``options`` and ``trace``."""
        ...


@dataclass(frozen=True)
class Report:
    """One step.

    Attributes:
        step: how many are done, ``done`` which share of the training that is.
        loss: the average over the latest steps.
        held: the loss on held-out photographs, where it was measured in this step.
        sample: the picture that was written in this step.
    """

    step: int
    done: float
    loss: float
    held: float | None = None
    sample: Path | None = None


@dataclass(frozen=True)
class Outcome:
    """What a training left behind.

    Attributes:
        held: the loss on held-out photographs in the end.
        seconds: spent training, in all runs together.
    """

    path: Path
    steps: int
    seconds: float
    loss: float
    held: float
    interrupted: bool

    @property
    def samples(self) -> Path:
        """The folder of the sample pictures."""
        return folder_of(self.path)


def train(
    recipe: Recipe,
    photos: Photos,
    told: TrainingOptions,
    out: Path,
    compute: Compute,
    on_step: Callable[[Report], None] = lambda _: None,
) -> Outcome:
    """Train, or go on with a training of the same name, and write the file.

    The state is kept in ``OUT.training/`` every minute and where it is interrupted; samples lie
    beside it. Ctrl-C ends after the step at hand and writes the file as far as it is trained.
    On one machine the same seed and ``steps`` give the same bytes, interrupted or not.

    Raises:
        TextonError: what cannot be written; a state of another training; a loss that is no number.
    """
    with hold(folder_of(out), f"another process is training '{out}'"):
        return _Training(recipe, photos, told, out, compute, on_step).run()


def check_out(out: Path, force: bool) -> None:
    """Refuse, before anything is computed, a place that could not be written in the end.

    Raises:
        TextonError: of another ending; a folder; there is a file that is no unfinished training's.
    """

    def finished(out: Path) -> str:
        if _state_of(out).exists():
            return ""
        return "is trained already" if is_trained(out) else "exists and texton did not make it"

    check_file(out, SUFFIX, "texton writes safetensors", force, finished)
    check_place(folder_of(out) / "state")


def folder_of(out: Path) -> Path:
    """Where a training keeps its state and its samples."""
    return out.with_suffix(".training")


def forget(out: Path) -> None:
    """Throw an unfinished training away: it begins anew."""
    _state_of(out).unlink(missing_ok=True)


def _state_of(out: Path) -> Path:
    return folder_of(out) / f"state{SUFFIX}"


class _Training:
    """One run of a training."""

    def __init__(
        self,
        recipe: Recipe,
        photos: Photos,
        told: TrainingOptions,
        out: Path,
        compute: Compute,
        on_step: Callable[[Report], None],
    ) -> None:
        self.recipe, self.photos, self.told, self.out = recipe, photos, told, out
        self.compute, self.on_step = compute, on_step
        self.model = recipe.model.to(compute.device).train()
        self.optimiser = torch.optim.Adam(self.model.parameters(), told.rate)
        self.held = photos.held_crops(told.crop).to(compute.device)
        self.decides = {**told.decides(), "photographs": photos.identity, **recipe.identity()}
        self.progress = Progress()
        if (state := _state_of(out)).exists():
            self.progress = read_state(self.model, self.optimiser, self.decides, state)
        self._unread: list[Tensor] = []

    def run(self) -> Outcome:
        now = self.progress
        started = kept = time.monotonic()
        before, held = now.seconds, float("nan")
        batches = self._batches()
        with interruptible() as interrupted:
            while not interrupted() and self._share() < 1:
                self._step(next(batches))
                now.step += 1
                now.seconds = before + time.monotonic() - started
                done, sampled = self._share() >= 1, now.step % self.told.every == 0
                if done or interrupted() or sampled or now.step % self._look == 0:
                    self._read_losses()
                sample = None
                if done or sampled:
                    held, sample = self._sample()
                if time.monotonic() - kept >= KEEP_SECONDS:
                    self._keep()
                    kept = time.monotonic()
                told = held if sample else None
                self.on_step(Report(now.step, self._share(), now.average, told, sample))
            stopped = interrupted() and self._share() < 1
        return self._finish(held, stopped)

    def _finish(self, held: float, stopped: bool) -> Outcome:
        """The state stays where there is more to come; it is written before the file."""
        now = self.progress
        if stopped:
            self._read_losses()
            self._keep()
        if held != held or stopped:
            held = self._held_loss()
        made = {"steps": now.step, "photos": len(self.photos.seen), "trace": tuple(now.trace)}
        header = self.recipe.header(**made, options=self.told.as_json())
        save_trained(self.model, header, self.out)
        if not stopped:
            _state_of(self.out).unlink(missing_ok=True)
        return Outcome(self.out, now.step, now.seconds, now.average, held, stopped)

    def _batches(self) -> Iterator[Tensor]:
        """From where the training stands."""
        first, batch = self.progress.step * self.told.batch, self.told.batch
        crops = Crops(self.photos.seen, self.told.crop, self.told.seed)
        order = range(first, MAX_STEPS * batch)
        return iter(DataLoader(crops, batch, sampler=order))

    def _share(self) -> float:
        return self.told.progress(self.progress.step, self.progress.seconds)

    @property
    def _look(self) -> int:
        return _LOOK.get(self.compute.device.type, _LOOK_ELSEWHERE)

    def _step(self, images: Tensor) -> None:
        step = self.progress.step
        for group in self.optimiser.param_groups:
            group["lr"] = self.told.rate_at(self._share())
        self.optimiser.zero_grad(set_to_none=True)
        try:
            with self._drawing(step), self._mixed():
                loss = self.recipe.loss(images.to(self.compute.device), step)
            loss.backward()  # type: ignore[no-untyped-call]
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            raise TextonError(
                f"'{self.compute.device}' has no memory for a step: use a smaller --batch or --crop"
            ) from None
        slope = nn.utils.clip_grad_norm_(self.model.parameters(), _LONGEST_SLOPE)
        self.optimiser.step()
        self._unread.append(torch.where(slope.isfinite(), loss.detach().float(), float("nan")))

    def _read_losses(self) -> None:
        """Bring the average up to date.

        Raises:
            TextonError: a loss, or the gradient's length, is no number: the state stays as kept.
        """
        now = self.progress
        if not self._unread:
            return
        losses = torch.stack(self._unread).tolist()
        self._unread.clear()
        for before, loss in zip(range(now.step - len(losses), now.step), losses, strict=True):
            if not -1e30 < loss < 1e30:
                kept = f"'{_state_of(self.out)}'"
                raise TextonError(
                    f"the loss is no number at step {before + 1:,}: use a smaller --rate "
                    f"(what {kept} keeps of before is gone on with)"
                )
            now.average += (loss - now.average) * max(_LATEST, 1 / (before + 1))

    def _held_loss(self) -> float:
        """The mean over held-out crops, the same ones every time."""
        self.model.eval()
        with torch.no_grad(), self._drawing(0), self._mixed():
            parts = torch.split(self.held, self.told.batch)
            losses = [float(self.recipe.loss(part, self.progress.step)) for part in parts]
        self.model.train()
        weights = [len(part) for part in parts]
        return sum(x * n for x, n in zip(losses, weights, strict=True)) / sum(weights)

    def _sample(self) -> tuple[float, Path]:
        """The loss on held-out photographs, and a picture of some of them, written."""
        now, held = self.progress, self._held_loss()
        now.trace.append((float(now.step), round(now.average, 6), round(held, 6)))
        self.model.eval()
        with torch.no_grad(), self._drawing(0):
            picture = self.recipe.sample(self.held)
        self.model.train()
        path = folder_of(self.out) / f"{now.step:07}.png"
        told = {"step": now.step, "loss": now.average, "held_out": held}
        return held, write_image(picture, path, told)

    def _keep(self) -> None:
        """Write the state, once the losses of all its steps are known to be numbers."""
        self._read_losses()
        keep_state(self.model, self.optimiser, self.progress, self.decides, _state_of(self.out))

    @contextmanager
    def _drawing(self, step: int) -> Iterator[None]:
        """Torch's generators begin from the seed and the step, and are put back."""
        device = self.compute.device
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            torch.manual_seed(seed_of(self.told.seed, "step", step))
            yield

    def _mixed(self) -> AbstractContextManager[Any]:
        if self.compute.dtype == torch.float32:
            return nullcontext()
        return torch.autocast(self.compute.device.type, self.compute.dtype)
