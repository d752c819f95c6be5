"""Gradient ascent on pixels, as it was before Fourier: decay, blur, two clips."""

from __future__ import annotations

import math
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
    and now and then pixels of little norm or little effect set to grey, and a blur (Yosinski et
    al. 2015). x is how far a pixel is from grey; nothing is done after the last step but the step.

    The lengths of their slopes were a network's own; here they are scaled to one length. They
    blurred before they set to grey: that leaves specks wherever a slope happens to be nothing.

    Args:
        field: the receptive field in pixels, of which the blur is a tenth, a pixel at most.
    """

    decay = 1e-4
    every, blur = 4, 1.0  # steps, and pixels
    of_field = 0.1  # of what a filter sees: more would blur all away that it answers
    small = 0.1  # the share of pixels, of those of the smallest norm, that are set to grey,
    useless = 0.1  # and of those whose going costs least, where that is little:
    little = 0.5  # of the mean: in a picture of one colour all are alike

    def __init__(self, canvas: Canvas, settings: SolverSettings, field: float = math.inf) -> None:
        self._values, self._blur = canvas.values, min(self.blur, self.of_field * field)
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
                effect = (gradient * x).sum(1).abs()
                for values, share in ((x.norm(dim=1), self.small), (effect, self.useless)):
                    x = x * ~self._least(values, share)
                x = blurred(x, self._blur)
            self._values.copy_(x + GREY)

    def forget(self, which: Tensor) -> None:
        """It remembers nothing of an image."""

    def state(self) -> dict[str, Tensor]:
        return {"step": torch.tensor(self._step)}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        self._step = counted(state, "step")

    def _least(self, values: Tensor, share: float) -> Tensor:
        """(B, 1, H, W): which pixels are among the smallest, and small."""
        flat = values.flatten(1)
        limit = flat.kthvalue(max(1, round(share * flat.shape[1])), dim=1).values
        limit = torch.minimum(limit, self.little * flat.mean(1))
        return (values < limit[:, None, None])[:, None]
