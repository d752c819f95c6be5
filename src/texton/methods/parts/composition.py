"""What a filter is made of: the filters of the layer before that its convolution adds up."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from texton.errors import TextonError
from texton.network.device import Compute
from texton.network.hooks import CALL
from texton.network.layers import Layer
from texton.network.network import INPUT, Network

_PADDINGS = (nn.ConstantPad2d, nn.ReflectionPad2d, nn.ReplicationPad2d, nn.CircularPad2d)
_NOTHING = ("Identity", "Dropout", "Dropout2d")  # layers that pass on what they get
_MOST_STEPS = 6  # modules between a layer and its convolution: a norm, a rectifier, a dropout


@dataclass(frozen=True, eq=False)
class Wiring:
    """The convolution that a layer's filters come from.

    Attributes:
        layer, conv: their names; between them are at most a normalisation and a rectifier.
        source: the layer that the convolution reads; empty where that is the image.
        weight: (F, I/groups, kh, kw), float32 on the CPU, with the normalisation's scale in it.
        bias: (F,), likewise.
    """

    layer: str
    conv: str
    source: str
    module: nn.Conv2d
    weight: Tensor
    bias: Tensor

    def inputs(self, channel: int) -> range:
        """The channels of the source that a filter reads: those of its group."""
        wide = self.weight.shape[1]
        group = channel // (len(self.weight) // self.module.groups)
        return range(group * wide, (group + 1) * wide)

    @cached_property
    def strengths(self) -> Tensor:
        """(F, I/groups): each kernel's length, with the sign of its sum."""
        length: Tensor = self.weight.flatten(2).norm(dim=2)
        sign = torch.where(self.weight.sum((2, 3)) < 0, -1.0, 1.0)
        return length.mul(sign)

    def padded(self, entering: Tensor) -> Tensor:
        """The source's code (B, I, H, W) with what the convolution puts around it."""
        for child in self.module.children():  # same padding as a module of its own
            entering = child(entering)
        around = self.module._reversed_padding_repeated_twice
        mode = self.module.padding_mode
        return pad(entering, around, "constant" if mode == "zeros" else mode)

    def window(self, padded: Tensor, channel: int, row: int, column: int) -> Tensor:
        """(B, I/groups, kh, kw): what the kernel of a filter meets at a place of its map.

        Raises:
            TextonError: the map has no such place.
        """
        down, across = (
            slice(at * step, at * step + reach * (kernel - 1) + 1, reach)
            for at, step, reach, kernel in zip(
                (row, column),
                _two(self.module.stride),
                _two(self.module.dilation),
                self.weight.shape[2:],
                strict=True,
            )
        )
        read = self.inputs(channel)
        met = padded[:, read.start : read.stop, down, across]
        if met.shape[2:] != self.weight.shape[2:]:
            raise TextonError(f"{self.layer} has no row {row}, column {column} there")
        return met


def wiring_of(network: Network, layer: str) -> Wiring:
    """The convolution that feeds a layer.

    Raises:
        TextonError: an unknown layer; or one that does not come, by a normalisation and a
            rectifier alone, from a convolution of one layer.
    """
    found = network.layer(layer)
    scale, shift = torch.ones(found.channels), torch.zeros(found.channels)
    for _ in range(_MOST_STEPS):
        part = network.module.get_submodule(found.name.partition(CALL)[0])
        if isinstance(part, nn.Conv2d):
            _check_plain(found.name, part)
            weight = part.weight.detach().float().cpu() * scale.reshape(-1, 1, 1, 1)
            own = torch.zeros(len(weight)) if part.bias is None else part.bias.detach().float()
            bias = own.cpu() * scale + shift
            return Wiring(layer, found.name, _source(network, found, part), part, weight, bias)
        if isinstance(part, nn.BatchNorm2d):
            factor, offset = _affine(part)
            scale, shift = scale * factor, shift + scale * offset
        elif not (found.rectifies or isinstance(part, (nn.Identity, nn.Dropout, nn.Dropout2d))):
            raise TextonError(_no_convolution(layer, found))
        if found.source not in network.layers:
            break
        found = network.layers[found.source]
    raise TextonError(_no_convolution(layer, found))


@dataclass(frozen=True, eq=False)
class Contributions:
    """What each input of a filter adds at the places that excite it most.

    Attributes:
        inputs: the channels of the source that it reads.
        mean: (I,), averaged over the places, in the units of the filter's pre-activation.
        places: how many.
    """

    channel: int
    inputs: range
    mean: Tensor
    places: int

    @cached_property
    def adding(self) -> list[int]:
        """The inputs that add, most first."""
        return self._sorted(descending=True)

    @cached_property
    def taking(self) -> list[int]:
        """The inputs that take away, most first."""
        return self._sorted(descending=False)

    def of(self, channel: int) -> float:
        return float(self.mean[channel - self.inputs.start])

    @property
    def added(self) -> float:
        return float(self.mean.clamp_min(0).sum())

    @property
    def taken(self) -> float:
        return float(-self.mean.clamp_max(0).sum())

    def for_half(self) -> int:
        """How many inputs add half of all that is added."""
        if not self.added > 0:
            return 0
        sums = self.mean.clamp_min(0).sort(descending=True).values.cumsum(0)
        return int((sums < 0.5 * self.added).sum()) + 1

    def _sorted(self, descending: bool) -> list[int]:
        order = self.mean.argsort(descending=descending, stable=True).tolist()
        kept = (self.mean > 0) if descending else (self.mean < 0)
        return [self.inputs.start + at for at in order if bool(kept[at])]


Peak = tuple[Tensor, int, int]  # a picture (1, C, H, W), a row and a column of the filter's map


@torch.no_grad()
def contributions(
    network: Network, wiring: Wiring, channel: int, peaks: Iterable[Peak], compute: Compute
) -> Contributions:
    """What a filter's inputs add at some places: with the bias they sum up to its pre-activation.

    Raises:
        TextonError: there is no place.
    """
    encode = network.encoder(wiring.conv + INPUT, compute.exact())
    kernel = wiring.weight[channel]
    found: list[Tensor] = []
    last: tuple[Tensor, Tensor] | None = None  # several places of one picture: it is run once
    for image, row, column in peaks:
        if last is None or last[0] is not image:
            entering = encode(image)[wiring.conv + INPUT].float().cpu()
            last = image, wiring.padded(entering)
        window = wiring.window(last[1], channel, row, column)
        found.append((window[0] * kernel).sum((1, 2)))
    if not found:
        raise TextonError(
            f"no picture excites {wiring.layer}:{channel}: nothing says what feeds it"
        )
    mean = torch.stack(found).mean(0)
    return Contributions(channel, wiring.inputs(channel), mean, len(found))


@torch.no_grad()
def strongest_places(
    network: Network,
    layer: str,
    channels: Iterable[int],
    images: Iterable[Tensor],
    compute: Compute,
) -> dict[int, list[tuple[float, Peak]]]:
    """For each filter the strongest place of every picture that excites it, strongest first."""
    wanted = list(channels)
    encode = network.encoder(layer, compute.exact())
    found: dict[int, list[tuple[float, Peak]]] = {channel: [] for channel in wanted}
    for image in images:
        code = encode(image)[layer][0, wanted].float().cpu()
        for channel, plane in zip(wanted, code, strict=True):
            value, at = plane.flatten().max(0)
            if value > 0:
                row, column = divmod(int(at), plane.shape[1])
                found[channel].append((float(value), (image, row, column)))
    return {c: sorted(places, key=lambda x: -x[0]) for c, places in found.items()}


def _source(network: Network, conv: Layer, part: nn.Conv2d) -> str:
    """The layer that a convolution reads; empty for the image.

    Raises:
        TextonError: it reads what is no layer: a sum, a product, several side by side.
    """
    source = conv.source
    while source in network.layers and network.layers[source].kind in _NOTHING:
        source = network.layers[source].source
    if source:
        return source
    first = next(iter(network.layers))
    if first.startswith(conv.name) and part.in_channels == network.channels:
        return ""
    raise TextonError(
        f"{conv.name} reads no single layer (a sum, a product or several side by side): "
        "there are no filters to name as its parts"
    )


def _check_plain(name: str, part: nn.Conv2d) -> None:
    """Refuse a convolution that is computed in a way of its own, unless padding is all it adds."""
    pads = all(
        isinstance(child, _PADDINGS) or type(child).__name__ in _NOTHING  # libraries have their own
        for child in part.children()
    )
    own = type(part).forward is not nn.Conv2d.forward and not list(part.children())
    if own or not pads:
        raise TextonError(
            f"{name} is a {type(part).__name__}, which computes in its own way: what its inputs "
            "add is not known"
        )


def _no_convolution(layer: str, reached: Layer) -> str:
    said = f"{layer} does not come from one convolution"
    if reached.kind == "pool" and reached.source:
        return f"{said}: ask for what it pools, {reached.source}"
    between = f"a {reached.kind} is in between" if reached.source else "several are added or joined"
    return f"{said} ({between}): choose a convolution or its rectifier"


def _affine(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """A normalisation in evaluation as x · factor + offset."""
    if norm.running_mean is None or norm.running_var is None:
        raise TextonError("a normalisation without running statistics is no fixed scale")
    factor = (norm.running_var + norm.eps).rsqrt().detach().float().cpu()
    if norm.weight is not None:
        factor = factor * norm.weight.detach().float().cpu()
    offset = -norm.running_mean.float().cpu() * factor
    return factor, offset if norm.bias is None else offset + norm.bias.detach().float().cpu()


def _two(value: int | tuple[int, ...]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[1])
