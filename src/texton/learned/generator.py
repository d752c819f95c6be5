"""A network that paints: an image in, the same image in a style out, in one pass.

Johnson, Alahi & Fei-Fei (2016) as pytorch/examples builds it (nearest upsampling and a convolution,
reflected borders, instance norm), with the norm's scales and shifts per style (conditional instance
norm: Dumoulin, Shlens & Kudlur 2017). The names of its weights are those of pytorch/examples.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from texton.errors import TextonError

EPSILON = 1e-5  # under a norm's square root, as torch has it
STRIDE = 4  # an image is brought to a multiple of it inside
SMALLEST = 16  # pixels a side: under them a reflected border has nothing to reflect
OUTPUTS = ("tanh", "added", "255")
UPSAMPLING = ("bilinear", "nearest")
FLAT = 0.01  # in place of a norm's epsilon, where the image is added: an even one stays even
_CONTRAST = 0.5  # of an image in [-1, 1]: where what is added begins
_WIDEST, _DEEPEST, _MOST_STYLES = 256, 32, 1024


@dataclass(frozen=True)
class Architecture:
    """What a generator is built from.

    Attributes:
        width: channels of its first convolution; the inner ones have two and four times as many.
        residuals: blocks in the middle, at a quarter of the size.
        styles: how many it has learnt.
        side: of the first and the last kernel.
        output: ``tanh`` ends in [0, 1] smoothly; ``added`` adds the image before that, normed, so
            that it is not learnt first and the style has its own colours; ``255`` takes and gives
            0 to 255, clamped, as pytorch/examples does.
        upsampling: ``nearest``, as pytorch/examples does, or ``bilinear``: sums do not mind a grid,
            and what is nearest tells a network where to paint one.
    """

    width: int = 8
    residuals: int = 5
    styles: int = 1
    side: int = 5
    output: str = "tanh"
    upsampling: str = "bilinear"

    def __post_init__(self) -> None:
        bounds = {"width": _WIDEST, "residuals": _DEEPEST, "styles": _MOST_STYLES, "side": 15}
        for name, most in bounds.items():
            value = getattr(self, name)
            if type(value) is not int or not 1 <= value <= most:
                raise TextonError(f"a generator's {name} is {value!r}: use 1 to {most}")
        if self.side % 2 == 0:
            raise TextonError(f"a generator's side is {self.side}: use an odd number")
        if self.output not in OUTPUTS:
            raise TextonError(f"a generator's output is {self.output!r}: use {', '.join(OUTPUTS)}")
        if self.upsampling not in UPSAMPLING:
            known = ", ".join(UPSAMPLING)
            raise TextonError(f"a generator's upsampling is {self.upsampling!r}: use {known}")

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


class Generator(nn.Module):
    """Images (B, 3, H, W) in [0, 1], H and W at least 16, in a style; the same size out.

    A convolution whose border reflects has no frame, and upsampling before a convolution leaves
    no checkerboard.
    """

    def __init__(self, architecture: Architecture | None = None) -> None:
        super().__init__()
        self.architecture = architecture or Architecture()
        width, styles = self.architecture.width, self.architecture.styles
        side = self.architecture.side
        self.conv1, self.in1 = Reflected(3, width, side), Norm(styles, width)
        self.conv2, self.in2 = Reflected(width, 2 * width, 3, 2), Norm(styles, 2 * width)
        self.conv3, self.in3 = Reflected(2 * width, 4 * width, 3, 2), Norm(styles, 4 * width)
        for number in range(self.architecture.residuals):
            self.add_module(f"res{number + 1}", Residual(styles, 4 * width))
        self.deconv1, self.in4 = Reflected(4 * width, 2 * width, 3), Norm(styles, 2 * width)
        self.deconv2, self.in5 = Reflected(2 * width, width, 3), Norm(styles, width)
        self.deconv3 = Reflected(width, 3, side)
        if self.architecture.output == "added":
            self.in0 = Norm(styles, 3, FLAT, _CONTRAST)

    def forward(self, image: Tensor, shares: Tensor | None = None) -> Tensor:
        """
        Args:
            shares: (B, styles) or (1, styles): how much of each style, rows summing to 1; may be
                left out where there is one.
        """
        height, width = image.shape[2:]
        if shares is None:
            shares = image.new_full((1, self.architecture.styles), 1 / self.architecture.styles)
        padded = F.pad(image, (0, -width % STRIDE, 0, -height % STRIDE), mode="reflect")
        output = self.architecture.output
        given = padded * 255 if output == "255" else 2 * padded - 1
        x = F.relu_(self.in1(self.conv1(given), shares))
        x = F.relu_(self.in2(self.conv2(x), shares))
        x = F.relu_(self.in3(self.conv3(x), shares))
        for number in range(self.architecture.residuals):
            x = self.get_submodule(f"res{number + 1}")(x, shares)
        x = F.relu_(self.in4(self.deconv1(self._doubled(x)), shares))
        x = F.relu_(self.in5(self.deconv2(self._doubled(x)), shares))
        x = self.deconv3(x)
        if output == "255":
            x = (x / 255).clamp(0, 1)
        else:
            x = ((x + self.in0(given, shares) if output == "added" else x).tanh() + 1) / 2
        styled: Tensor = x[..., :height, :width]
        return styled

    def _doubled(self, x: Tensor) -> Tensor:
        return F.interpolate(x, scale_factor=2.0, mode=self.architecture.upsampling)


class Reflected(nn.Module):
    """A convolution whose border is reflected."""

    def __init__(self, inputs: int, outputs: int, side: int, stride: int = 1) -> None:
        super().__init__()
        self.conv2d = nn.Conv2d(inputs, outputs, side, stride)
        self.border = side // 2

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv2d(F.pad(x, (self.border,) * 4, mode="reflect"))
        return out


class Norm(nn.Module):
    """Instance norm whose scale and shift are the styles', mixed."""

    def __init__(
        self, styles: int, channels: int, epsilon: float = EPSILON, scale: float = 1.0
    ) -> None:
        super().__init__()
        self.epsilon = epsilon
        self.weight = nn.Parameter(torch.full((styles, channels), scale))
        self.bias = nn.Parameter(torch.zeros(styles, channels))

    def forward(self, x: Tensor, shares: Tensor) -> Tensor:
        count, channels, height, width = x.shape
        scale, shift = (
            (shares @ rows).expand(count, -1).reshape(-1) for rows in (self.weight, self.bias)
        )
        side_by_side = x.reshape(1, count * channels, height, width)
        # of groups of one: the same as instance_norm in a third of its time on a CPU
        normed = F.group_norm(side_by_side, count * channels, scale, shift, self.epsilon)
        return normed.reshape(x.shape)


class Residual(nn.Module):
    """Two convolutions, added to what entered them."""

    def __init__(self, styles: int, channels: int) -> None:
        super().__init__()
        self.conv1, self.in1 = Reflected(channels, channels, 3), Norm(styles, channels)
        self.conv2, self.in2 = Reflected(channels, channels, 3), Norm(styles, channels)

    def forward(self, x: Tensor, shares: Tensor) -> Tensor:
        inside = F.relu_(self.in1(self.conv1(x), shares))
        out: Tensor = x + self.in2(self.conv2(inside), shares)
        return out
