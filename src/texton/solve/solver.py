"""The optimisation loop, as an iterator of steps."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from texton.network.device import Compute
from texton.network.network import Encoder, Network
from texton.solve.canvas import Canvas
from texton.solve.objective import Codes, Objective
from texton.solve.presets import SolverSettings
from texton.solve.priors import add_variation
from texton.solve.rules import RULES

MAX_STARTS = 3
FLOOR = 0.01  # of the energy asked for: below it a filter is lifted; below half of it, dead
_WINDOW = 5
_LONGER = 0.08  # of all steps, where that is more: over so many an error must have fallen
_TAIL, _LONGER_TAIL = 8, 0.25  # how many steps, or what share of all, an image settles in
_SETTLED = 0.7  # of the way along the learning rate's cosine: where settling begins


@dataclass(frozen=True)
class Step:
    """One evaluation of the network: ``errors`` (B,) is the objective before the step's move."""

    index: int
    steps: int
    errors: Tensor


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
    depends on its neighbours. After the loop, ``canvas.images()`` is the result, ``steps`` (B)
    and ``starts`` (B) say what it took.

    Args:
        generators: one per image, for restarts and jitter.
        opening: for objectives whose gradient vanishes on a silent image.
        smooth: with total variation, which weighs ``settings.tv`` at first and fades away with
            the learning rate: it clears what the objective is blind to, and costs the objective
            nothing in the end. For canvases whose values are pixels.
    """

    def __init__(
        self,
        network: Network,
        objective: Objective,
        canvas: Canvas,
        settings: SolverSettings,
        compute: Compute,
        generators: Sequence[torch.Generator],
        opening: Opening | None = None,
        smooth: bool = False,
    ) -> None:
        self.network, self.objective, self.canvas = network, objective, canvas
        self.settings, self.compute, self._generators = settings, compute, generators
        self._opening = opening if settings.opening else None
        self._smooths = smooth and settings.tv > 0
        count = len(generators)
        opening_steps = min(settings.opening, settings.steps // 3) if self._opening else 0
        self.starts = [1] * count
        self.steps = [0] * count
        self.trace: list[Tensor] = []
        self._opens_until = [opening_steps] * count
        self._ends = [settings.steps] * count
        self._settles: list[int | None] = [None] * count
        self._rule = RULES[settings.rule](network, objective, canvas, settings)
        self._alive = canvas.values.detach().clone() if self._opening else None
        self._was_alive = [False] * count
        self._shares = [1.0] * count  # as last looked at

    def __iter__(self) -> Iterator[Step]:
        encode = self.network.encoder(self.objective.layers, self.compute)
        encode_all = self._encoder_of_all()
        for index in range(self.settings.steps):
            image = self._shifted(self.canvas(), index)
            codes = (encode_all if self._may_lift(index) else encode)(image)
            self._watch(codes, index)
            if self._lifts(index):
                if not self._may_lift_from(codes):
                    del codes  # or two graphs are held at a time
                    codes = encode_all(image)
                errors = self.objective(codes, image)
                loss = self._lifted(errors, codes, image, index)
            else:
                errors = loss = self.objective(codes, image)
            (gradient,) = torch.autograd.grad(loss.sum(), self.canvas.values)
            del codes, loss
            gradient = gradient.contiguous()  # as the canvas lies
            rates = [self._rate(b, index) for b in range(len(self.starts))]
            if self._smooths:
                weights = [rate * self.settings.tv for rate in rates]
                add_variation(gradient, self.canvas.values.detach(), weights)
            still = self._rule.move(gradient, rates)
            self.canvas.bound()
            self.trace.append(errors.detach())
            self._note_ends(index, still)
            yield Step(index + 1, max(self._ends), self.trace[-1])
            if all(index + 1 >= end for end in self._ends):
                return

    def revive(self, b: int) -> bool:
        """Put an image back to where its filter was alive, at most `_WINDOW` steps before it fell
        silent; False if it never was."""
        if self._alive is None or not self._was_alive[b]:
            return False
        with torch.no_grad():
            self.canvas.values[b] = self._alive[b]
        return True

    def _encoder_of_all(self) -> Encoder:
        """Gives what the opening reads as well: a rectifier's input, then, is a code of its own."""
        opening = self._opening.objective.layers if self._opening else ()
        layers = dict.fromkeys((*self.objective.layers, *opening))
        return self.network.encoder(layers, self.compute)

    def _may_lift(self, index: int) -> bool:
        opens = any(index <= until for until in self._opens_until)
        return opens or min(self._shares) < 2 * FLOOR

    def _may_lift_from(self, codes: Codes) -> bool:
        assert self._opening is not None
        return all(name in codes for name in self._opening.objective.layers)

    def _lifts(self, index: int) -> bool:
        return any(index < until for until in self._opens_until) or min(self._shares) < FLOOR

    def _watch(self, codes: Codes, index: int) -> None:
        """Note how alive the filters are, and begin one anew that its opening left silent.

        One that was well alive when last looked at is looked at now and then, and taken to be
        alive in between.
        """
        looked_at = [
            b
            for b, (until, share) in enumerate(zip(self._opens_until, self._shares, strict=True))
            if index <= until or share <= 10 * FLOOR or index % _WINDOW == 0
        ]
        if self._opening is None or not looked_at:
            return
        with torch.no_grad():
            shares = self._opening.share(codes).tolist()
        for b in looked_at:
            self._shares[b] = shares[b]
            if shares[b] >= 0.6 * FLOOR:
                self._remember(b)
            if index == self._opens_until[b] and index:
                self._rule.forget(b)  # the two objectives' gradients differ by orders of magnitude
                if shares[b] < FLOOR / 2:
                    self._start_again(b, index)

    def _lifted(self, errors: Tensor, codes: Codes, image: Tensor, index: int) -> Tensor:
        """What is minimised where a filter opens, or is nearly silent."""
        assert self._opening is not None
        opens = [index < until for until in self._opens_until]
        lift = self._opening.objective(codes, image)
        if all(opens):
            return lift
        opening = torch.tensor(opens, device=errors.device)
        silence = (1 - torch.tensor(self._shares, device=errors.device) / FLOOR).clamp(0, 1)
        return torch.where(opening, lift, errors + silence * lift)

    def _remember(self, b: int) -> None:
        """Keep an image whose filter is alive."""
        assert self._alive is not None
        self._was_alive[b] = True
        with torch.no_grad():
            self._alive[b] = self.canvas.values[b]

    def _start_again(self, b: int, index: int) -> None:
        opening = 2 * self.settings.opening
        if self.starts[b] == MAX_STARTS or index + 2 * opening > self.settings.steps:
            return
        contrast = self.settings.contrast * (1 + self.starts[b] / 2)
        self.starts[b] += 1
        self.canvas.restart(b, self._generators[b], contrast)
        self._opens_until[b] = index + opening

    def _rate(self, b: int, index: int) -> float:
        """The share of the learning rate: whole in the opening, then along a cosine."""
        if index >= self._ends[b]:
            return 0.0
        start, end = self._opens_until[b], self._ends[b]
        progress = max(0.0, (index - start) / max(1, end - start))
        settles = self._settles[b]
        if settles is not None:
            before = max(_SETTLED, (settles - start) / max(1, self.settings.steps - start))
            progress = 1 - (1 - before) * (end - index) / (end - settles)
        final = self.settings.final_rate
        return final + (1 - final) * 0.5 * (1 + math.cos(progress * math.pi))

    def _note_ends(self, index: int, still: list[bool]) -> None:
        """Settle an image whose error no longer falls; end one that has stopped changing."""
        check = self.settings.early_stop and (index + 1) % _WINDOW == 0
        for b in range(len(self._ends)):
            if index < self._ends[b]:
                self.steps[b] = index + 1
            if self.settings.early_stop and still[b]:
                self._ends[b] = min(self._ends[b], index + 1)
            elif check and self._settles[b] is None and self._flat(b, index):
                tail = max(_TAIL, int(_LONGER_TAIL * self.settings.steps))
                self._settles[b] = index
                self._ends[b] = min(self._ends[b], index + 1 + tail)

    def _flat(self, b: int, index: int) -> bool:
        """Whether an error no longer falls: a thousandth from one window of steps to the next."""
        window = max(_WINDOW, int(_LONGER * self.settings.steps))
        if index < self._opens_until[b] + 3 * window or self.settings.rule != "adam":
            return False
        recent = torch.stack([errors[b] for errors in self.trace[-2 * window :]])
        before, now = float(recent[:window].mean()), float(recent[window:].mean())
        return before - now < 1e-3 * before

    def _shifted(self, image: Tensor, index: int) -> Tensor:
        reach = self.settings.jitter
        if not reach or index >= 0.8 * self.settings.steps:
            return image
        shifted = []
        for b, generator in enumerate(self._generators):
            shift = torch.randint(-reach, reach + 1, (2,), generator=generator).tolist()
            shifted.append(torch.roll(image[b], shift, (1, 2)))
        return torch.stack(shifted)
