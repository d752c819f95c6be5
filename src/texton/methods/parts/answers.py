"""What the filters of one layer answer to pictures, in a unit that needs no photograph."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from texton.errors import TextonError
from texton.methods.parts.classifier import CLASS, class_encoder
from texton.network.codes import check_channel
from texton.network.device import Compute, in_batches
from texton.solve.canvas import pink_noise
from texton.solve.directions import Shares, Units, share_vector
from texton.solve.maximise import Maximise, Place, check_place
from texton.solve.views import warped

if TYPE_CHECKING:
    from texton.network.layers import Size
    from texton.network.network import Encoder, Network

_HELD_OUT = [  # degrees, share of the image in a window, pixels
    (degrees, scale, shift)
    for degrees in (-5.0, 5.0)
    for scale in (0.95, 1.05)
    for shift in (0.0, 0.5)
]


class Answers:
    """Filters, and directions of channel space, of one layer, or a network's classes.

    What counts as 1 is the layer's mean activation, of all its filters, by pink noise in natural
    colours: it is the same for every picture of the layer and size.

    Args:
        size: (H, W) of the pictures.
        place: of a neuron; None: the mean of the map.

    Attributes:
        extent: rows and columns of the code.

    Raises:
        TextonError: pictures that are too small for the layer, or a neuron outside them.
    """

    def __init__(
        self,
        network: Network,
        layer: str,
        size: Size,
        compute: Compute,
        place: Place | None = None,
    ) -> None:
        self._network, self._layer = network, layer
        self._compute, self._place = compute, place
        drawn = [torch.Generator().manual_seed(0)]
        with torch.no_grad():
            code = self.code(pink_noise(drawn, (network.channels, *size)))
        self._unit = float(code.float().abs().mean())
        if not self._unit:
            raise TextonError(f"'{layer}' is silent on noise: choose another layer")
        self.extent = code.shape[2], code.shape[3]
        if place:
            check_place(place, self.extent, layer)
        self.channels: int = code.shape[1]

    def units(self, directions: Sequence[int] | Mapping[str, Shares]) -> Units:
        """Filters, or directions as rows of length 1, (B, C).

        Raises:
            TextonError: the layer has no such filter; shares that are none of its directions.
        """
        if isinstance(directions, Mapping):
            count = self.channels
            rows = [share_vector(x, count, name, signed=True) for name, x in directions.items()]
            return F.normalize(torch.stack(rows))
        for channel in directions:
            check_channel(self.channels, channel)
        return list(directions)

    def objective(self, units: Units) -> Maximise:
        """What is maximised of every image of a batch."""
        return Maximise(self._layer, units, self._compute.device, self._unit, self._place)

    def to_each(self, images: Tensor, units: Units) -> Tensor:
        """(N, B), what each unit answers to each of several images (N, C, H, W)."""
        objective, count = self.objective(units), len(units)
        codes = (self.code(image[None]).expand(count, -1, -1, -1) for image in images)
        with torch.no_grad():
            return torch.stack([objective.activation({self._layer: code}) for code in codes])

    def measure(self, solved: Tensor, units: Units) -> tuple[list[float], list[float]]:
        """Every image's activation as it is saved, in float32, and its mean under eight views
        that no solver saw: turned, scaled, half a pixel on."""
        parts = in_batches(
            len(units), self._compute, lambda part: self._measured(solved[part], units[part])
        )
        activations, transfers = zip(*parts, strict=True)
        return list(chain.from_iterable(activations)), list(chain.from_iterable(transfers))

    def _measured(self, solved: Tensor, units: Units) -> tuple[list[float], list[float]]:
        objective, one = self.objective(units), torch.ones(len(solved))

        def activation(images: Tensor) -> Tensor:
            return objective.activation({self._layer: self.code(images)})

        with torch.no_grad():
            seen = [
                activation(
                    warped(
                        solved,
                        solved.shape[2:],
                        one * torch.tensor(degrees).deg2rad(),
                        one * scale,
                        (shift, shift),
                        self.about,
                    )
                )
                for degrees, scale, shift in _HELD_OUT
            ]
            return activation(solved).tolist(), torch.stack(seen).mean(0).tolist()

    @property
    def about(self) -> tuple[float, float]:
        """Where the neuron is, (down, right) pixels from the middle: it is turned about itself."""
        if not self._place:
            return 0.0, 0.0
        stride = self._network.layer(self._layer).stride
        pairs = zip(self._place, self.extent, strict=True)
        down, right = ((at - (count - 1) / 2) * stride for at, count in pairs)
        return down, right

    def code(self, images: Tensor) -> Tensor:
        """What the layer says of images, in float32."""
        return self.encoder([self._layer], self._compute.exact())(images)[self._layer]

    def encoder(self, layers: Iterable[str], compute: Compute) -> Encoder:
        """The network's, or that of its classes."""
        if self._layer == CLASS:
            return class_encoder(self._network, compute)
        return self._network.encoder(layers, compute)
