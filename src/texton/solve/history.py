"""Gradient ascent on pixels, as it was before Fourier: decay, blur, two clips."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from texton.solve.blur import blurred
from texton.solve.canvas import Canvas
from texton.solve.presets import SolverSettings
from texton.solve.rules import counted, per_image

GREY = 0.5


class Historical:
    """x += rate · g / mean|g|, then less of everything (the slope of ‖x‖², Simonyan et al. 2014),
    and now and then a blur, pixels of little norm or little effect set to grey (Yosinski et al.
    2015). x is how far a pixel is from grey; nothing is done after the last step but the step.

    The lengths of their slopes were a network's own; here they are scaled to one length.
    """

    decay = 1e-4
    blur, every = 1.0, 4  # pixels, and steps
    small = 0.1  # the share of pixels, of those of the smallest norm, that are set to grey,
    useless = 0.1  # and of those whose going costs least

    def __init__(self, canvas: Canvas, settings: SolverSettings) -> None:
        self._values = canvas.values
        self._rate, self._last = settings.learning_rate, settings.steps
        self._step = 0

    def move(self, gradient: Tensor, rates: Tensor) -> None:
        with torch.no_grad():
            size = gradient.abs().flatten(1).mean(1).clamp_min(1e-30)
            steps = (-self._rate * rates).to(gradient.dtype) / size
            self._values.addcmul_(gradient, per_image(steps, gradient))
            self._step += 1
            if self._step == self._last:
                return
            x = (self._values - GREY) * (1 - self.decay)
            if self._step % self.every == 0:
                x = blurred(x, self.blur)
                effect = (gradient * x).sum(1).abs()
                x = x * ~_least(x.norm(dim=1), self.small) * ~_least(effect, self.useless)
            self._values.copy_(x + GREY)

    def forget(self, which: Tensor) -> None:
        """It remembers nothing of an image."""

    def state(self) -> dict[str, Tensor]:
        return {"step": torch.tensor(self._step)}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        self._step = counted(state, "step")


def _least(values: Tensor, share: float) -> Tensor:
    """(B, 1, H, W): which pixels are among the smallest."""
    flat = values.flatten(1)
    limit = flat.kthvalue(max(1, round(share * flat.shape[1])), dim=1).values
    return (values < limit[:, None, None])[:, None]
