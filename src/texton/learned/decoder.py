"""Decoders: one pass from a layer's code to an image (Dosovitskiy & Brox 2016; Li et al. 2017).

A decoder mirrors the network up to its layer: a convolution for every convolution, a nearest
upsampling where the network pools or strides. Nearest upsampling leaves no checkerboard, borders
that are reflected no frame.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from texton.errors import TextonError
from texton.learned.file import load_trained
from texton.network.device import Compute
from texton.network.frozen import weights_hash_of
from texton.network.layers import Layer
from texton.reading import take, take_all

if TYPE_CHECKING:
    from texton.network.network import Network

_CALM = 0.2
_FLAT = 1e-4  # of the mean variance
_MOST_STAGES, _MOST_CHANNELS, _MOST_FACTOR = 200, 65_536, 64

Stage = tuple[int, int]  # enlarge so many times, then convolve to so many channels


class Decoder(nn.Module):
    """(B, C, M, N) codes of a layer → (B, channels, H, W) images, nominally in [0, 1].

    Codes are whitened first, by a mean and a matrix that lie in the file: a network's channels
    differ a hundredfold, and most of them say the same, the brightness. As they are, training
    sees the largest alone, and gets to the colours last.

    Args:
        entering: C.
        stages: from the code to the image; the last gives the image's channels.
    """

    mean: Tensor
    whiten: Tensor

    def __init__(self, entering: int, stages: Sequence[Stage]) -> None:
        super().__init__()
        self.factors = [factor for factor, _ in stages]
        widths = [entering, *(channels for _, channels in stages)]
        self.convs = nn.ModuleList(
            nn.Conv2d(before, after, 3) for before, after in pairwise(widths)
        )
        with torch.no_grad():  # an image's colours vary by less than whitened codes
            next(self.convs[-1].parameters()).mul_(_CALM)
        self.register_buffer("mean", torch.zeros(1, entering, 1, 1))
        self.register_buffer("whiten", torch.eye(entering)[:, :, None, None])

    def calibrate(self, mean: Tensor, covariance: Tensor) -> None:
        """Whiten codes of this mean, (C,), and covariance, (C, C).

        Directions that hardly vary stay small: noise is not made large.
        """
        spread, axes = torch.linalg.eigh(covariance.double())
        floor = _FLAT * float(spread.clamp_min(0).mean()) or 1.0
        scale = (spread.clamp_min(0) + floor).rsqrt()
        matrix = axes @ torch.diag(scale) @ axes.T
        self.mean.copy_(mean.view_as(self.mean))
        self.whiten.copy_(matrix.float()[:, :, None, None])

    def forward(self, code: Tensor, size: Sequence[int] | None = None) -> Tensor:
        """
        Args:
            size: rows and columns of the image, where they are no multiples of the stride.
        """
        with torch.autocast(code.device.type, enabled=False):  # small differences of large numbers
            x = F.conv2d(code.float() - self.mean, self.whiten)
        left = 1
        for factor in self.factors:
            left *= factor
        last = len(self.convs) - 1
        for number, (factor, conv) in enumerate(zip(self.factors, self.convs, strict=True)):
            if factor > 1:
                x = F.interpolate(x, scale_factor=factor, mode="nearest")
                left //= factor
                x = x if size is None else _sized(x, size[-2] // left, size[-1] // left)
            x = conv(_bordered(x))
            x = x if number == last else F.relu(x)
        return x.float() + 0.5 if size is None else _sized(x.float() + 0.5, *size[-2:])


def decoder_for(network: Network, layer: str) -> tuple[Decoder, dict[str, Any]]:
    """The mirror of a network up to a layer, untrained, and its architecture as JSON.

    Raises:
        TextonError: no such layer; the network is no chain of stages up to there.
    """
    architecture = {"channels": network.layer(layer).channels, "stages": _mirrored(network, layer)}
    return built(architecture), architecture


def built(architecture: Mapping[str, Any]) -> Decoder:
    """The module of an architecture.

    Raises:
        ValueError: there is none of these numbers.
    """
    channels = take(architecture, "channels", int)
    rows = [take_all({"stage": x}, "stage", int) for x in take_all(architecture, "stages", list)]
    if not 0 < len(rows) <= _MOST_STAGES or any(len(row) != 2 for row in rows):
        raise ValueError("its stages are none of a decoder")
    widths = [channels, *(row[1] for row in rows)]
    if not all(0 < width <= _MOST_CHANNELS for width in widths):
        raise ValueError("its stages have no number of channels")
    if not all(0 < row[0] <= _MOST_FACTOR for row in rows):
        raise ValueError("its stages enlarge by no factor")
    return Decoder(channels, [(row[0], row[1]) for row in rows])


class LoadedDecoder:
    """A decoder of a file, for one network.

    Attributes:
        layer: whose codes it takes.
    """

    def __init__(self, path: Path, network: Network) -> None:
        """
        Raises:
            TextonError: see `load_trained`; the file is of another network.
        """
        read = load_trained(path, "decoder")
        read.check_network(network)
        module = read.built(built)
        assert isinstance(module, Decoder)
        known = [x for x in read.header.layers[:1] if x in network.layers]
        fits = known and network.layer(known[0]).channels == module.mean.shape[1]
        if not fits or module.convs[-1].out_channels != network.channels:
            raise TextonError(f"'{path}' cannot be used: its layer is none of {network.name}'s")
        self.path, self.layer = Path(path), known[0]
        self._module, self._steps = module, read.header.steps
        self._hash = weights_hash_of(module)

    def check_layer(self, layer: str) -> None:
        """Refuse another layer.

        Raises:
            TextonError: it was not trained on that one's codes.
        """
        if layer != self.layer:
            raise TextonError(
                f"'{self.path}' decodes {self.layer}, not {layer}: train one with "
                f"`texton train decoder --layer {layer}`"
            )

    def describe(self) -> dict[str, Any]:
        """Which one it is, for the settings of its pictures."""
        return {"decoder_hash": self._hash, "decoder_steps": self._steps}

    def __call__(self, code: Tensor, size: Sequence[int], compute: Compute) -> Tensor:
        """Images (B, channels, H, W) in [0, 1] of codes (B, C, M, N), in float32.

        Args:
            size: rows and columns of the image.
        """
        module = self._module.to(compute.device)
        with torch.no_grad(), compute.exact().arithmetic():
            images: Tensor = module(code.to(compute.device), size)
            return images.clamp(0, 1)


def _mirrored(network: Network, layer: str) -> list[list[int]]:
    """Stages from the code to the image: what every convolution of the network reads is what one
    of the decoder gives."""
    stages: list[list[int]] = []
    factor = 1
    for after, before in _steps_back(network, layer):
        stride = before.stride if before else 1
        if after.stride % stride:
            raise _no_chain(network, layer)
        factor *= after.stride // stride
        channels = before.channels if before else network.channels
        if after.kind == "conv" or channels != after.channels:
            stages.append([factor, channels])
            factor = 1
    if factor > 1 or not stages:
        stages.append([factor, network.channels])
    return stages


def _steps_back(network: Network, layer: str) -> list[tuple[Layer, Layer | None]]:
    """Every layer with the one that it reads, from ``layer`` back to the image."""
    known = network.layers
    now = network.layer(layer)
    steps: list[tuple[Layer, Layer | None]] = []
    while True:
        if now.receptive_field is None or len(steps) > len(known):
            raise _no_chain(network, layer)
        before = known.get(now.source)
        if before is None and now.source:
            raise _no_chain(network, layer)
        steps.append((now, before))
        if before is None:
            return steps
        now = before


def _no_chain(network: Network, layer: str) -> TextonError:
    return TextonError(
        f"{network.name} is no chain of stages up to {layer}, which a decoder could mirror: take a "
        "layer before its first branch, or vgg19"
    )


def _bordered(x: Tensor) -> Tensor:
    """A border of one, reflected; of what is one wide, repeated."""
    return F.pad(x, (1, 1, 1, 1), "reflect" if min(x.shape[2:]) > 1 else "replicate")


def _sized(x: Tensor, rows: int, columns: int) -> Tensor:
    """Cut, or its last row and column repeated, to a size: pools leave odd ones out."""
    x = x[..., :rows, :columns]
    lacking = columns - x.shape[3], rows - x.shape[2]
    return F.pad(x, (0, lacking[0], 0, lacking[1]), "replicate") if any(lacking) else x
