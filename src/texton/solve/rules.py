"""How a gradient becomes a step: update rules with one state per image of the batch."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from texton.network.network import Network
from texton.solve.canvas import Canvas
from texton.solve.objective import Objective
from texton.solve.presets import SolverSettings


class Rule(Protocol):
    def move(self, gradient: Tensor, rates: Sequence[float]) -> list[bool]:
        """Move the canvas; says of every image whether it has stopped changing."""
        ...

    def forget(self, index: int) -> None:
        """Begin anew with one image of the batch."""
        ...


class Adam:
    """Adam (Kingma & Ba) with each image's own step count, so that one can start again alone.

    torch's own counts steps per tensor, that is per batch.
    """

    def __init__(
        self, network: Network, objective: Objective, canvas: Canvas, settings: SolverSettings
    ) -> None:
        self._values = canvas.values
        self._rate = settings.learning_rate * canvas.pace
        self._betas = settings.betas
        self._mean = torch.zeros_like(self._values)
        self._square = torch.zeros_like(self._values)
        self._count = [0] * len(self._values)

    def move(self, gradient: Tensor, rates: Sequence[float]) -> list[bool]:
        first, second = self._betas
        self._mean.lerp_(gradient, 1 - first)
        self._square.mul_(second).addcmul_(gradient, gradient, value=1 - second)
        with torch.no_grad():
            for b, rate in enumerate(rates):
                self._count[b] += 1
                step = self._rate * rate / (1 - first ** self._count[b])
                correction = (1 - second ** self._count[b]) ** 0.5
                scale = self._square[b].sqrt().add_(1e-12 * correction)
                self._values[b].addcdiv_(self._mean[b], scale, value=-step * correction)
        return [False] * len(rates)

    def forget(self, index: int) -> None:
        self._mean[index] = 0
        self._square[index] = 0
        self._count[index] = 0


class Lbfgs:
    """Limited-memory BFGS (Nocedal & Wright, algorithm 7.4), projected on images in [0, 1].

    Pixels at a bound that the gradient pushes further out take no part in a step, and what the
    next step learns from is how far the clamped image really moved.
    """

    memory = 20

    def __init__(
        self, network: Network, objective: Objective, canvas: Canvas, settings: SolverSettings
    ) -> None:
        self._values = canvas.values
        self._longest = settings.learning_rate
        self._paths = [_Path(self.memory) for _ in range(len(self._values))]

    def move(self, gradient: Tensor, rates: Sequence[float]) -> list[bool]:
        with torch.no_grad():
            for b, rate in enumerate(rates):
                image, slope = self._values[b], gradient[b]
                outward = ((image <= 0) & (slope > 0)) | ((image >= 1) & (slope < 0))
                free = slope.masked_fill(outward, 0)
                step = self._paths[b].direction(image, free).masked_fill_(outward, 0)
                longest = self._longest * rate
                length = float(step.abs().mean())
                if not self._paths[b].pairs or length > longest:
                    step *= longest / max(length, 1e-12)
                image += step
        return [False] * len(rates)

    def forget(self, index: int) -> None:
        self._paths[index] = _Path(self.memory)


class _Path:
    """Where an image has been, and the inverse curvature that this tells of."""

    def __init__(self, memory: int) -> None:
        self.pairs: deque[tuple[Tensor, Tensor, float]] = deque(maxlen=memory)
        self._last: tuple[Tensor, Tensor] | None = None

    def direction(self, image: Tensor, slope: Tensor) -> Tensor:
        """Minus the inverse Hessian's estimate times the slope."""
        if self._last is not None:
            moved, changed = image - self._last[0], slope - self._last[1]
            curvature = _dot(moved, changed)
            if curvature > 1e-10 * _dot(changed, changed) ** 0.5 * _dot(moved, moved) ** 0.5:
                self.pairs.append((moved, changed, curvature))
        self._last = image.clone(), slope.clone()
        step = -slope
        shares = []
        for moved, changed, curvature in reversed(self.pairs):
            share = _dot(moved, step) / curvature
            step.add_(changed, alpha=-share)
            shares.append(share)
        if self.pairs:
            _, changed, curvature = self.pairs[-1]
            step *= curvature / _dot(changed, changed)
        for (moved, changed, curvature), share in zip(self.pairs, reversed(shares), strict=True):
            step.add_(moved, alpha=share - _dot(changed, step) / curvature)
        return step


def _dot(a: Tensor, b: Tensor) -> float:
    return float(torch.dot(a.flatten(), b.flatten()))


class Sgd2016:
    """The paper's own: momentum on images of 0–255 minus the mean, gradients clipped to ±10.

    Its loss is ½‖φ(X) − target‖², not divided by the target; the step is ×0.9 every 10, weight
    decay 5e-4; an image has stopped changing at ‖ΔX‖/‖X‖ < 0.005 (the authors' code of 2016).
    """

    momentum, clip, stop = 0.9, 10.0, 0.005

    def __init__(
        self, network: Network, objective: Objective, canvas: Canvas, settings: SolverSettings
    ) -> None:
        self._values = canvas.values
        self._rate, self._decay = settings.learning_rate, settings.weight_decay
        self._centre = network.mean_colour.to(self._values.device)
        square = getattr(objective, "target_square", None)
        if square is None:
            raise TypeError("the 2016 algorithm inverts codes: it needs a target's square")
        self._scale = square.reshape(-1, 1, 1, 1) / 2 / 255
        self._velocity = torch.zeros_like(self._values)
        self._step = 0

    def move(self, gradient: Tensor, rates: Sequence[float]) -> list[bool]:
        pixels = (self._values.detach() - self._centre) * 255
        slope = (gradient * self._scale).clamp(-self.clip, self.clip) + self._decay * pixels
        self._velocity.mul_(self.momentum)
        self._velocity.sub_(slope, alpha=self._rate * 0.9 ** (self._step // 10))
        active = torch.tensor([float(rate > 0) for rate in rates], device=pixels.device)
        change = self._velocity * active.reshape(-1, 1, 1, 1)
        with torch.no_grad():
            self._values.add_(change / 255)
        self._step += 1
        moved = change.flatten(1).norm(dim=1) / (pixels + change).flatten(1).norm(dim=1)
        return [bool(value < self.stop) for value in moved]

    def forget(self, index: int) -> None:
        self._velocity[index] = 0


RULES: dict[str, type[Adam] | type[Lbfgs] | type[Sgd2016]] = {
    "adam": Adam,
    "lbfgs": Lbfgs,
    "sgd2016": Sgd2016,
}
