"""The algorithm of 2016, as its authors' code has it, to compare with.

Its rule, start and denoising; and its own style transfer: normalisers and weights. The two
methods of that are not on one scale (see `style` for terms that are), and its sums are compared
at the content's size, as means times positions, because styles here are never squashed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from texton.errors import TextonError, optional
from texton.methods.parts.algorithm import Algorithm
from texton.network.codes import gram, means
from texton.network.device import Compute
from texton.solve.canvas import NO_BLEED, Bleed, Canvas, PixelCanvas
from texton.solve.objective import Codes, Objective
from texton.solve.presets import SolverSettings
from texton.solve.rules import Rule, counted, fitting, per_image

CONTENT_WEIGHT, STYLE_WEIGHT = 10.0, 1.0
WEIGHT_DECAY = 5e-3  # of style transfer
_DENOISING = 0.2


class Sgd2016:
    """Momentum on images of 0–255 minus the mean, gradients clipped to ±10.

    The step is ×0.9 every 10; an image has stopped changing at ‖ΔX‖/‖X‖ < 0.005.

    Args:
        centre: (1, C, 1, 1), the mean colour, in [0, 1].
        scale: (B,) or (1,), the loss of 2016, ½‖φ(X) − target‖², over the objective.
    """

    momentum, clip, stop = 0.9, 10.0, 0.005

    def __init__(
        self, canvas: Canvas, settings: SolverSettings, centre: Tensor, scale: Tensor
    ) -> None:
        self._values = canvas.values
        self._rate, self._decay = settings.learning_rate, settings.weight_decay
        self._centre = centre.to(self._values.device)
        self._scale = per_image(scale, self._values) / 255
        self._velocity = torch.zeros_like(self._values)
        self._step = 0

    def move(self, gradient: Tensor, rates: Tensor) -> Tensor:
        pixels = (self._values.detach() - self._centre) * 255
        slope = (gradient * self._scale).clamp(-self.clip, self.clip) + self._decay * pixels
        self._velocity.mul_(self.momentum)
        self._velocity.sub_(slope, alpha=self._rate * 0.9 ** (self._step // 10))
        change = self._velocity * per_image(rates > 0, pixels)
        with torch.no_grad():
            self._values.add_(change / 255)
        self._step += 1
        moved = change.flatten(1).norm(dim=1) / (pixels + change).flatten(1).norm(dim=1)
        still: Tensor = moved < self.stop
        return still

    def forget(self, which: Tensor) -> None:
        self._velocity.masked_fill_(per_image(which, self._velocity), 0)

    def state(self) -> dict[str, Tensor]:
        return {"velocity": self._velocity, "step": torch.tensor(self._step)}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        self._velocity, _ = fitting(state, self.state())
        self._step = counted(state, "step")


class Algorithm2016(Algorithm):
    """Unbounded pixels from faint noise around the mean colour, in float32, denoised at the end."""

    as_published = True

    def __init__(self) -> None:
        pass

    def compute(self, device: str, dtype: str = "auto") -> Compute:
        if dtype not in ("auto", "float32"):
            raise TextonError(f"the paper preset is computed in float32: leave --dtype {dtype} out")
        with optional("experiments"):  # told before the work: `finish` takes it
            import skimage  # noqa: F401
        return super().compute(device).exact()

    def start(
        self,
        size: Sequence[int],
        generators: Sequence[torch.Generator],
        mean_colour: Tensor,
        contrast: float,
    ) -> Tensor:
        """U(−0.1, 0.1) of 255 around the mean colour."""
        drawn = [torch.rand(tuple(size), generator=generator) for generator in generators]
        return (torch.stack(drawn) * 0.2 - 0.1) / 255 + mean_colour

    def canvas(self, start: Tensor, bleed: Bleed = NO_BLEED) -> Canvas:
        return PixelCanvas(start, bleed=bleed, bounded=False)

    def rule(
        self, canvas: Canvas, settings: SolverSettings, mean_colour: Tensor, square: Tensor
    ) -> Rule:
        return Sgd2016(canvas, settings, mean_colour, square / 2)

    def finish(self, images: Tensor) -> Tensor:
        """Chambolle's total variation denoising of (B, C, H, W) in [0, 1], channels together."""
        with optional("experiments"):  # a second of import, seldom needed
            from skimage.restoration import denoise_tv_chambolle

        results = []
        for image in images.detach().cpu().permute(0, 2, 3, 1).numpy():
            smooth = denoise_tv_chambolle(image, weight=_DENOISING, channel_axis=-1)
            results.append(torch.from_numpy(np.ascontiguousarray(smooth, dtype=np.float32)))
        return torch.stack(results).permute(0, 3, 1, 2).contiguous().to(images.device)


class _Term2016(Objective):
    """One layer's term, of the 2016 scale, against a fixed target."""

    def __init__(self, layer: str, target: Tensor) -> None:
        self.layers = (layer,)
        self._target = target


class Content2016(_Term2016):
    """½ ‖φ(X) − target‖² / (M·N)."""

    def __call__(self, codes: Codes, image: Tensor) -> Tensor:
        difference = codes[self.layers[0]].float() - self._target
        positions = difference.shape[2] * difference.shape[3]
        return 0.5 * difference.square().sum((1, 2, 3)) / positions


class Sums2016(_Term2016):
    """½ Σ_c (S_c − T_c)² / (C·M·N): PMCI's style term (section 2.3). ``target``: means (1, C)."""

    def __call__(self, codes: Codes, image: Tensor) -> Tensor:
        code = codes[self.layers[0]]
        positions = code.shape[2] * code.shape[3]
        difference = (means(code) - self._target) * positions
        return 0.5 * difference.square().sum(1) / (code.shape[1] * positions)


class Gram2016(_Term2016):
    """Σ (G − A)² / (4 C² (M·N)²), Gatys et al. eq. 4. ``target``: mean Gram (1, C, C)."""

    def __call__(self, codes: Codes, image: Tensor) -> Tensor:
        code = codes[self.layers[0]]
        difference = gram(code) - self._target  # both over M·N, which the norm has squared
        return difference.square().sum((1, 2)) / (4 * code.shape[1] ** 2)


def paper_terms(
    method: str, content_layer: str, content: Tensor, targets: Mapping[str, Tensor]
) -> list[tuple[str, str, Objective]]:
    """The terms of 2016 for ``pmci`` or ``gatys``: (kind, layer, objective)."""
    kinds: dict[str, type[_Term2016]] = {"pmci": Sums2016, "gatys": Gram2016}
    terms: list[tuple[str, str, Objective]] = [
        ("content", content_layer, Content2016(content_layer, content))
    ]
    return terms + [("style", layer, kinds[method](layer, t)) for layer, t in targets.items()]
