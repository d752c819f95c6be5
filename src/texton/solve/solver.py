"""The optimisation loop, as an iterator of steps."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from texton.solve.canvas import Canvas
from texton.solve.objective import Codes, Objective
from texton.solve.presets import SolverSettings
from texton.solve.priors import add_variation
from texton.solve.rules import Rule, fitting, per_image, real
from texton.solve.views import Rolls, View, Views

if TYPE_CHECKING:
    from texton.network.network import Encoder

MAX_STARTS = 3
FLOOR = 0.01  # of the energy asked for: below it a filter is lifted; below half of it, dead
_ENDS = "ends"  # in a state
_WINDOW = 5
_LONGER = 0.08  # of all steps, where that is more: over so many an error must have fallen
_TAIL, _LONGER_TAIL = 8, 0.25  # how many steps, or what share of all, an image settles in
_SETTLED = 0.7  # of the way along the learning rate's cosine: where settling begins

EncoderOf = Callable[[Iterable[str]], "Encoder"]


@dataclass(frozen=True, eq=False)
class Step:
    """One evaluation of the network: ``errors`` (B,) is the objective before the step's move.

    ``images()`` (B, C, H, W) in [0, 1] is the canvas after it, and ``achieved()`` (B,), or None,
    the share that the opening last saw of how alive the filters are: both as long as the step is
    the latest, and computed only where they are called.
    """

    index: int
    steps: int
    errors: Tensor
    images: Callable[[], Tensor]
    achieved: Callable[[], Tensor | None] = lambda: None


@dataclass(frozen=True)
class Opening:
    """How a silent filter is brought to life before, and kept alive during, the solving.

    ``objective`` is minimised first; ``share(codes)`` (B,) says how alive each filter is, from
    codes of the layers that are solved for.
    """

    objective: Objective
    share: Callable[[Codes], Tensor]


class Solver:
    """``for step in Solver(...)``: minimise an objective over a canvas.

    Every image of the batch has its own noise, learning rate, starts and end, so that none
    depends on its neighbours. They are tensors (B,) beside the canvas, and what is decided for
    the whole batch is decided from them: in every step where that is free, every `_WINDOW` steps
    on a device that would have to be waited for. After the loop, ``canvas.images()`` is the
    result; ``steps``, ``starts`` (B,) and ``traces`` say what it took.

    Args:
        encoder: makes the encoder of some layers: ``Network.encoder`` with all else told.
        rule: turns the canvas.
        generators: one per image, for restarts and jitter.
        opening: for objectives whose gradient vanishes on a silent image.
        smooth: with total variation, which weighs ``settings.tv`` at first and fades away with
            the learning rate: it clears what the objective is blind to, and costs the objective
            nothing in the end. For canvases whose values are pixels.
        arithmetic: in which slopes are taken: ``Compute.arithmetic``.
        views: how the canvas is seen; shifted by ``settings.jitter``, if by anything, without it.
    """

    def __init__(
        self,
        encoder: EncoderOf,
        objective: Objective,
        canvas: Canvas,
        rule: Rule,
        settings: SolverSettings,
        generators: Sequence[torch.Generator],
        opening: Opening | None = None,
        smooth: bool = False,
        arithmetic: Callable[[], AbstractContextManager[None]] = nullcontext,
        views: Views | None = None,
    ) -> None:
        self.objective, self.canvas, self.settings = objective, canvas, settings
        self._encoder, self._rule, self._generators = encoder, rule, generators
        self._opening = opening if settings.opening else None
        self._arithmetic, self._views = arithmetic, views
        self._smooths = smooth and settings.tv > 0
        self.trace: list[Tensor] = []
        self._first = 0  # of the steps: those before it were done when the canvas was kept

        device = canvas.values.device
        self._waits_for = device.type != "cpu"  # before its values can be read
        one = torch.ones(len(generators), dtype=real(device), device=device)
        self.starts = one.long()
        opening_steps = min(settings.opening, settings.steps // 3) if self._opening else 0
        self._opens_until = one * opening_steps
        self._ends = one * settings.steps
        self._settles = one * settings.steps  # none, as long as it is all of them
        self._alive = canvas.values.detach().clone() if self._opening else None
        self._was_alive = one > 1
        self._shares = one.float()  # as last looked at
        self._weak = one < 1  # as last read
        self._table: Tensor | None = None
        # What is read of these, to decide for all:
        self._openings = {opening_steps}
        self._first_opened = self._last_opened = opening_steps
        self._last_end = settings.steps
        self._lowest = 1.0

    @property
    def steps(self) -> Tensor:
        """(B,): evaluations of the network that each image was moved by."""
        return (self._ends - self._first).clamp(0, len(self.trace)).long()

    @property
    def traces(self) -> list[list[float]]:
        """Every image's errors, of its own steps."""
        errors = torch.stack(self.trace, 1).tolist() if self.trace else [[]] * len(self._ends)
        return [each[:steps] for each, steps in zip(errors, self.steps.tolist(), strict=True)]

    def __iter__(self) -> Iterator[Step]:
        layers = self.objective.layers
        encode = encode_all = self._encoder(layers) if layers else _nothing
        if self._opening:  # a rectifier's input, then, is a code of its own
            encode_all = self._encoder(dict.fromkeys((*layers, *self._opening.objective.layers)))
        views = self._views or self._jitter()
        for index in range(self._first, self.settings.steps):
            first, *others = views.at(index)
            errors, gradient = self._slope(index, first, encode, encode_all, watches=True)
            for view in others:
                more, slope = self._slope(index, view, encode, encode_all)
                errors, gradient = errors + more, gradient.add_(slope)
            if others:
                errors, gradient = errors / (1 + len(others)), gradient / (1 + len(others))
            rates = self._rates(index)
            if self._smooths:
                add_variation(gradient, self.canvas.values.detach(), rates * self.settings.tv)
            still = self._rule.move(gradient, rates)
            self.canvas.bound()
            self.trace.append(errors)
            self._note_ends(index, still)
            yield Step(
                index + 1, self._last_end, self.trace[-1], self.canvas.images, self._achieved
            )
            if index + 1 >= self._last_end:
                return

    def state(self) -> dict[str, Tensor]:
        """What the rule remembers, as it lies, and when each image ends: with the canvas's values,
        and what steps have been made, all that a solve without an opening, random views or an end
        by its latest errors goes on from."""
        return {_ENDS: self._ends, **self._rule.state()}

    def go_on(self, steps: int, state: Mapping[str, Tensor]) -> None:
        """After so many steps, on a canvas as they left it; the trace begins there.

        Raises:
            ValueError: `state` is not that of such a solve.
        """
        rest = dict(state)
        (self._ends,) = fitting({_ENDS: rest.pop(_ENDS, self._ends[:0])}, {_ENDS: self._ends})
        self._rule.restore(rest)
        self._first, self._last_end = steps, int(self._ends.max())

    def _slope(
        self, index: int, view: View, encode: Encoder, encode_all: Encoder, watches: bool = False
    ) -> tuple[Tensor, Tensor]:
        """The errors (B,) of a view, and their gradient to the canvas's values."""
        image = view(self.canvas())
        codes = (encode_all if self._may_lift(index) else encode)(image)
        if watches:
            self._watch(codes, index)
        if self._lifts(index):
            assert self._opening is not None
            if not all(name in codes for name in self._opening.objective.layers):
                del codes  # or two graphs are held at a time
                codes = encode_all(image)
            errors = self.objective(codes, image)
            loss = self._lifted(errors, codes, image, index)
        else:
            errors = loss = self.objective(codes, image)
        seeds = self.objective.seeds
        seeded = loss if seeds is None else loss * seeds
        with (
            self._arithmetic()
        ):  # of a sum: told seeds, torch 2.14 imports sympy, for half a second
            (gradient,) = torch.autograd.grad(seeded.sum(), self.canvas.values)
        gradient = gradient.contiguous()  # as the canvas lies
        if seeds is not None:
            gradient /= per_image(seeds, gradient)
        return errors.detach(), gradient

    def _jitter(self) -> Views:
        """Shifts in all steps but the last fifth."""
        count = math.ceil(0.8 * self.settings.steps)
        device = self.canvas.values.device
        return Rolls(self._generators, self.settings.jitter, count, device)

    def _achieved(self) -> Tensor | None:
        return None if self._opening is None else self._shares

    def revive(self, fallen: Sequence[bool]) -> bool:
        """Put images back to where their filters were alive, at most `_WINDOW` steps before they
        fell silent; False if none of them ever was."""
        if self._alive is None:
            return False
        values = self.canvas.values.detach()
        revived = torch.tensor(fallen, device=values.device) & self._was_alive
        torch.where(per_image(revived, values), self._alive, values, out=values)
        return bool(revived.any())

    def _reads(self, index: int) -> bool:
        """Whether values of the device may be read in this step, to decide something by them."""
        return not self._waits_for or index % _WINDOW == 0

    def _may_lift(self, index: int) -> bool:
        return self._opening is not None and (
            index <= self._last_opened or self._lowest < 2 * FLOOR
        )

    def _lifts(self, index: int) -> bool:
        floor = 2 * FLOOR if self._waits_for else FLOOR  # by the next reading it may be lower
        return index < self._last_opened or self._lowest < floor

    def _watch(self, codes: Codes, index: int) -> None:
        """Note how alive the filters are, and begin one anew that its opening left silent.

        One that was well alive when last looked at is looked at now and then, and taken to be
        alive in between.
        """
        every = index % _WINDOW == 0
        if self._opening is None or not (
            every or index <= self._last_opened or self._lowest <= 10 * FLOOR
        ):
            return
        looked_at = (index <= self._opens_until) | (self._shares <= 10 * FLOOR) | every
        with torch.no_grad():
            shares = self._opening.share(codes)
        self._shares = torch.where(looked_at, shares, self._shares)
        self._remember(looked_at & (shares >= 0.6 * FLOOR))
        opened = index > 0 and index in self._openings
        reads = self._reads(index)
        fresh = (self._opens_until == index) | reads  # others are read when they would be alone
        if opened:
            self._end_openings(index)
        if opened or reads:
            self._weak = torch.where(fresh, self._shares < 2 * FLOOR, self._weak)
            lowest = float(self._shares.min())
            self._lowest = lowest if reads else min(lowest, self._lowest)

    def _lifted(self, errors: Tensor, codes: Codes, image: Tensor, index: int) -> Tensor:
        """What is minimised where a filter opens, or is nearly silent."""
        assert self._opening is not None
        lift = self._opening.objective(codes, image)
        if index < self._first_opened:
            return lift
        silence = (1 - self._shares / FLOOR).clamp(0, 1) * self._weak
        return torch.where(index < self._opens_until, lift, errors + silence * lift)

    def _remember(self, alive: Tensor) -> None:
        """Keep the images whose filters are alive."""
        assert self._alive is not None
        self._was_alive |= alive
        values = self.canvas.values.detach()
        torch.where(per_image(alive, values), values, self._alive, out=self._alive)

    def _end_openings(self, index: int) -> None:
        ended = self._opens_until == index
        self._rule.forget(ended)  # the two objectives' gradients differ by orders of magnitude
        opening = 2 * self.settings.opening
        if index + 2 * opening > self.settings.steps:
            return
        silent = ended & (self._shares < FLOOR / 2) & (self.starts < MAX_STARTS)
        for b in silent.nonzero().flatten().tolist():
            contrast = self.settings.contrast * (1 + int(self.starts[b]) / 2)
            self.canvas.restart(b, self._generators[b], contrast)
            self.starts[b] += 1
            self._opens_until[b] = index + opening
            self._openings.add(index + opening)
            self._table = None
        self._first_opened = int(self._opens_until.min())
        self._last_opened = int(self._opens_until.max())

    def _rates(self, index: int) -> Tensor:
        """(B,), the shares of the learning rate: whole in the opening, then along a cosine."""
        row = index % _WINDOW
        if self._table is None or row == 0:
            self._table = self._schedule(index - row)
        return self._table[row]

    def _schedule(self, first: int) -> Tensor:
        """(_WINDOW, B), the rates of some steps: many small operations, done for all at once."""
        start, end, settles = self._opens_until, self._ends, self._settles
        steps, final = self.settings.steps, self.settings.final_rate
        index = torch.arange(first, first + _WINDOW, dtype=start.dtype, device=start.device)
        index = index[:, None]
        progress = ((index - start) / (end - start).clamp_min(1)).clamp_min(0)
        before = ((settles - start) / (steps - start).clamp_min(1)).clamp_min(_SETTLED)
        settling = 1 - (1 - before) * (end - index) / (end - settles)
        progress = torch.where(settles < steps, settling, progress)
        rates = final + (1 - final) * 0.5 * (1 + (progress * math.pi).cos())
        return torch.where(index < end, rates, 0)

    def _note_ends(self, index: int, still: Tensor | None) -> None:
        """Settle an image whose error no longer falls; end one that has stopped changing."""
        if not self.settings.early_stop:
            return
        if still is not None:
            self._ends = torch.where(still, self._ends.clamp_max(index + 1), self._ends)
            self._table = None
        elif self.settings.rule != "adam":
            return  # a quasi-Newton step may stand still for a while
        elif (index + 1) % _WINDOW or (flat := self._flat(index)) is None:
            return
        else:
            tail = max(_TAIL, int(_LONGER_TAIL * self.settings.steps))
            self._settles.masked_fill_(flat, index)
            self._ends = torch.where(flat, self._ends.clamp_max(index + 1 + tail), self._ends)
        if self._reads(index + 1):
            self._last_end = int(self._ends.max())

    def _flat(self, index: int) -> Tensor | None:
        """Whose error no longer falls, by a thousandth from one window of steps to the next."""
        window = max(_WINDOW, int(_LONGER * self.settings.steps))
        if index < self._first_opened + 3 * window:
            return None
        recent = torch.stack(self.trace[-2 * window :]).to(self._ends.dtype)
        before, now = recent[:window].mean(0), recent[window:].mean(0)
        flat = (before - now < 1e-3 * before.abs()) & (self._settles == self.settings.steps)
        return flat & (index >= self._opens_until + 3 * window)


def _nothing(image: Tensor) -> dict[str, Tensor]:
    """The codes of an objective that reads none."""
    return {}
