"""How a gradient becomes a step: update rules with one state per image of the batch."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from texton.solve.blur import blurred
from texton.solve.canvas import Canvas
from texton.solve.presets import SolverSettings

_CASCADE = (0.5, 1.0, 2.0)  # blurs that are averaged
_SHARP = 0.2


class Rule(Protocol):
    def move(self, gradient: Tensor, rates: Tensor) -> Tensor | None:
        """Move the canvas by each image's share (B,) of the learning rate.

        Says of every image (B,) whether it has stopped changing; None from rules that never do.
        """
        ...

    def forget(self, which: Tensor) -> None:
        """Begin anew with some images of the batch: (B,), true for those."""
        ...

    def state(self) -> dict[str, Tensor]:
        """What it remembers of its steps, as it lies."""
        ...

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Go on as the rule whose `state` that was, on the same canvas.

        Raises:
            ValueError: it is no such rule's.
        """
        ...


def fitting(state: Mapping[str, Tensor], like: Mapping[str, Tensor]) -> list[Tensor]:
    """Copies of a state's tensors in the order of others, on their devices.

    Raises:
        ValueError: names, shapes or types are others; a number is none.
    """
    if state.keys() != like.keys():
        raise ValueError("it remembers something else")
    for name, wanted in like.items():
        found = state[name]
        if found.shape != wanted.shape or found.dtype != wanted.dtype or bool(found.isnan().any()):
            raise ValueError(f"its '{name}' does not fit")
    return [state[name].to(wanted.device, copy=True) for name, wanted in like.items()]


def counted(state: Mapping[str, Tensor], name: str) -> int:
    """A count of steps in a state.

    Raises:
        ValueError: there is none.
    """
    found = state.get(name)
    if found is None or found.shape != () or found.dtype != torch.int64 or found < 0:
        raise ValueError(f"there is no '{name}'")
    return int(found)


def real(device: torch.device) -> torch.dtype:
    """What a few numbers per image are kept in: float64 where the device has it."""
    return torch.float32 if device.type == "mps" else torch.float64


def per_image(numbers: Tensor, like: Tensor) -> Tensor:
    """(B,) → (B, 1, ..., 1), to go with the other tensor's images."""
    return numbers.reshape(-1, *[1] * (like.ndim - 1))


class Adam:
    """Adam (Kingma & Ba) with each image's own step count, so that one can start again alone.

    torch's own counts steps per tensor, that is per batch.
    """

    def __init__(self, canvas: Canvas, settings: SolverSettings) -> None:
        self._values = canvas.values
        self._rate = settings.learning_rate
        self._betas = settings.betas
        self._mean = torch.zeros_like(self._values)
        self._square = torch.zeros_like(self._values)
        device = self._values.device
        self._decays = torch.tensor(self._betas, dtype=real(device), device=device)[:, None]
        self._left = torch.ones_like(self._decays).repeat(1, len(self._values))  # β to the count

    def move(self, gradient: Tensor, rates: Tensor) -> None:
        first, second = self._betas
        with torch.no_grad():
            self._mean.lerp_(gradient, 1 - first)
            self._square.mul_(second).addcmul_(gradient, gradient, value=1 - second)
            self._left *= self._decays
            bias, correction = 1 - self._left
            correction = correction.sqrt()
            weights = rates * -self._rate / bias * correction
            scale = self._square.sqrt()
            least, weights = (1e-12 * correction).to(scale.dtype), weights.to(scale.dtype)
            scale += per_image(least, scale)
            self._values.addcdiv_(self._mean * per_image(weights, scale), scale)

    def forget(self, which: Tensor) -> None:
        for average in (self._mean, self._square):
            average.masked_fill_(per_image(which, average), 0)
        self._left.masked_fill_(which, 1)

    def state(self) -> dict[str, Tensor]:
        return {"mean": self._mean, "square": self._square, "left": self._left}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        self._mean, self._square, self._left = fitting(state, self.state())


class Ascent:
    """A step of a length: the slope over its own mean size, per image (DeepDream).

    Where there is structure there is slope. Adam, which scales every pixel by itself, would change
    a flat sky as much.

    Args:
        blur: pixels that a slope is blurred by, in the last step; by a fifth of it in the first.
    """

    def __init__(self, canvas: Canvas, settings: SolverSettings, blur: float = 0.0) -> None:
        self._values = canvas.values
        self._rate, self._steps = settings.learning_rate, settings.steps
        self._blur, self._step = blur, 0

    def move(self, gradient: Tensor, rates: Tensor) -> None:
        with torch.no_grad():
            if self._blur:
                self._step += 1
                sigma = self._blur * (_SHARP + (1 - _SHARP) * self._step / self._steps)
                several = [blurred(gradient, x * sigma) for x in _CASCADE]
                gradient = torch.stack(several).mean(0)
            size = gradient.abs().flatten(1).mean(1).clamp_min(1e-30)
            steps = (-self._rate * rates).to(gradient.dtype) / size
            self._values.addcmul_(gradient, per_image(steps, gradient))

    def forget(self, which: Tensor) -> None:
        """It remembers nothing of an image."""

    def state(self) -> dict[str, Tensor]:
        return {"step": torch.tensor(self._step)}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        self._step = counted(state, "step")


class _Pair(NamedTuple):
    """How far images moved (B, N), how their slopes changed, and their inner product (B, 1):
    infinite where it tells nothing, which leaves a step as it is."""

    moved: Tensor
    changed: Tensor
    curvature: Tensor


class Lbfgs:
    """Limited-memory BFGS (Nocedal & Wright, algorithm 7.4), projected on images in [0, 1].

    Pixels at a bound that the gradient pushes further out take no part in a step, and what the
    next step learns from is how far the clamped image really moved.

    It remembers ``memory`` steps, or as many as fit into 600 MB an image, at least ``least``.
    """

    memory, least = 20, 4
    room = 600_000_000

    def __init__(self, canvas: Canvas, settings: SolverSettings) -> None:
        self._values = canvas.values
        self._longest = settings.learning_rate
        fit = self.room // (2 * self._values[0].nbytes)
        self._pairs: deque[_Pair] = deque(maxlen=max(self.least, min(self.memory, fit)))
        self._last: tuple[Tensor, Tensor] | None = None
        device = self._values.device
        self._begun = torch.zeros(len(self._values), 1, dtype=torch.bool, device=device)
        self._size = torch.ones(len(self._values), 1, dtype=real(device), device=device)
        self._learnt = torch.zeros_like(self._begun)

    def move(self, gradient: Tensor, rates: Tensor) -> None:
        with torch.no_grad():
            image, slope = self._values.flatten(1), gradient.flatten(1)
            outward = ((image <= 0) & (slope > 0)) | ((image >= 1) & (slope < 0))
            free = slope.masked_fill(outward, 0)
            self._learn(image, free)
            step = self._direction(free).masked_fill_(outward, 0)
            longest = (self._longest * rates)[:, None]
            length = step.abs().mean(1, keepdim=True).to(longest.dtype)
            shorter = longest / length.clamp_min(1e-12)
            shorter = torch.where(self._learnt & (length <= longest), 1, shorter)
            self._values += (step * shorter.to(step.dtype)).reshape(self._values.shape)

    def forget(self, which: Tensor) -> None:
        each = which[:, None]
        for pair in self._pairs:
            pair.curvature.masked_fill_(each, torch.inf)
        for known in (self._begun, self._learnt):
            known.masked_fill_(each, False)
        self._size.masked_fill_(each, 1)

    def state(self) -> dict[str, Tensor]:
        told = {"begun": self._begun, "size": self._size, "learnt": self._learnt}
        if self._last is not None:
            told |= dict(zip(("image", "slope"), self._last, strict=True))
        for i, pair in enumerate(self._pairs):
            told |= {f"{i}/{name}": tensor for name, tensor in pair._asdict().items()}
        return told

    def restore(self, state: Mapping[str, Tensor]) -> None:
        row = self._values.detach().flatten(1)
        pair = _Pair(row, row, self._size)
        steps = 0
        if "image" in state:
            steps = min(sum(name.endswith("/moved") for name in state), self._pairs.maxlen or 0)
        like = {"begun": self._begun, "size": self._size, "learnt": self._learnt}
        like |= {"image": row, "slope": row} if "image" in state else {}
        for i in range(steps):
            like |= {f"{i}/{name}": tensor for name, tensor in pair._asdict().items()}
        self._begun, self._size, self._learnt, *rest = fitting(state, like)
        if rest:
            self._last, rest = (rest[0], rest[1]), rest[2:]
        self._pairs.extend(_Pair(*rest[i : i + 3]) for i in range(0, len(rest), 3))

    def _learn(self, image: Tensor, slope: Tensor) -> None:
        if self._last is not None:
            moved, changed = image - self._last[0], slope - self._last[1]
            curvature, square, length = (
                _dots(a, b).to(self._size.dtype)
                for a, b in ((moved, changed), (changed, changed), (moved, moved))
            )
            tells = self._begun & (curvature > 1e-10 * square.sqrt() * length.sqrt())
            self._pairs.append(_Pair(moved, changed, curvature.masked_fill(~tells, torch.inf)))
            self._size = torch.where(tells, curvature / square, self._size)
            self._learnt |= tells
        self._last = image.clone(), slope.clone()
        self._begun.fill_(True)

    def _direction(self, slope: Tensor) -> Tensor:
        """Minus the inverse Hessian's estimate times the slope."""
        step = -slope
        shares = []
        for moved, changed, curvature in reversed(self._pairs):
            shares.append(_dots(moved, step) / curvature)
            step.addcmul_(changed, shares[-1].to(step.dtype), value=-1)
        step *= self._size.to(step.dtype)
        for (moved, changed, curvature), share in zip(self._pairs, reversed(shares), strict=True):
            step.addcmul_(moved, (share - _dots(changed, step) / curvature).to(step.dtype))
        return step


class Following(Lbfgs):
    """L-BFGS that goes on from where it is while what is sought changes: for a hand on a slider.

    Curvature is for the most part the network's own: what is known of it stays.

    Args:
        first: of the longest step, the share that is made where nothing is known yet. A long one
            would undo a picture that is nearly right.
    """

    def __init__(self, canvas: Canvas, settings: SolverSettings, first: float = 0.02) -> None:
        super().__init__(canvas, settings)
        self._first = first

    def move(self, gradient: Tensor, rates: Tensor) -> None:
        unknown = ~self._learnt[:, 0]
        super().move(gradient, torch.where(unknown, rates * self._first, rates))

    def turn(self) -> None:
        """Something else is sought, or the canvas was changed: the last slope tells nothing."""
        self._begun.fill_(False)


def _dots(a: Tensor, b: Tensor) -> Tensor:
    """Inner products of rows: two (B, N) → (B, 1)."""
    if len(a) == 1:  # in half the time
        return torch.dot(a[0], b[0]).reshape(1, 1)
    products: Tensor = torch.linalg.vecdot(a, b)
    return products[:, None]
