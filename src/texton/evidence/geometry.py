"""What the units of a network's layers see, measured once for a scan."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from texton.evidence.manifest import EvidenceLayer
from texton.network.device import Compute, choose_compute
from texton.network.edges import Edges
from texton.network.layers import Layer
from texton.network.network import Network

_MOST_OF_IT = 0.95
_LEFT = 1 / 3  # of a map, or nothing of it is set aside


def measure_layers(network: Network, names: Sequence[str], size: int) -> tuple[EvidenceLayer, ...]:
    """The geometry of some layers, for pictures of a long edge of ``size``: some seconds.

    Raises:
        TextonError: a layer is not reached on such pictures.
    """
    shape = network.intake(names).square(size)
    rows, columns = (network.edges_of(names, axis) for axis in (2, 3))
    known = network.measured_layers
    layers = []
    for name in names:
        layer = known[name]
        field = layer.receptive_field
        larger = field is None or field > size
        layers.append(
            EvidenceLayer(
                name=name,
                filters=layer.channels,
                stride=layer.stride,
                field=field,
                first=_first(layer, rows[name], columns[name]),
                effective=_effective_field(network, name, shape) if larger else None,
                rectifies=layer.rectifies,
                strides=None if set(layer.strides) == {layer.stride} else layer.strides,
            )
        )
    return tuple(layers)


def _first(layer: Layer, *axes: Edges) -> tuple[int, int]:
    """Where the square begins that unit (0, 0) sees: around what it sees, if that is oblong."""
    field, firsts = layer.receptive_field, []
    for edges, stride in zip(axes, layer.strides, strict=True):
        own = edges.widest()
        if field is None or own is None:  # told by a bound: units are taken to lie evenly
            firsts.append(0 if field is None else math.floor((stride - field) / 2))
        else:
            firsts.append(edges.begins - (field - own) // 2)
    return firsts[0], firsts[1]


def considered(
    layer: EvidenceLayer, code: tuple[int, int], image: tuple[int, int]
) -> tuple[slice, slice, bool]:
    """The rows and columns of a map whose units see nothing but the image.

    What lies beyond its edge is padding, which excites filters that no picture does. Where less
    than a third of the map would be left it is taken whole. The bool tells whether anything was
    set aside.

    Args:
        code, image: height and width.
    """
    whole = slice(0, code[0]), slice(0, code[1])
    if layer.field is None:
        return *whole, False
    strides = layer.strides or (layer.stride, layer.stride)
    inner = [
        _inside(layer.first[axis], strides[axis], layer.field, code[axis], image[axis])
        for axis in (0, 1)
    ]
    left = [max(0, last - first) for first, last in inner]
    if left[0] * left[1] < _LEFT * code[0] * code[1]:
        return *whole, False
    rows, columns = slice(*inner[0]), slice(*inner[1])
    return rows, columns, (rows, columns) != whole


def _inside(first: int, stride: float, field: int, count: int, extent: int) -> tuple[int, int]:
    """Units from and to (not included) whose field lies in the image."""
    start = max(0, -math.floor(first / stride))
    last = math.floor((extent - field - first) / stride)
    return start, min(count, last + 1)


def _effective_field(network: Network, name: str, size: tuple[int, int]) -> int:
    """The side of the square that holds 95 % of the energy of the middle unit's gradient.

    Luo et al. 2016: units weigh the middle of what they see far more than its edge.
    """
    generator = torch.Generator().manual_seed(0)
    shape = (1, network.channels, *size)
    image = torch.rand(shape, generator=generator).requires_grad_()
    compute: Compute = choose_compute("cpu", torch.float32)
    entering = network.preactivation(name)
    code = network.encode(image, entering, compute)[entering]
    row, column = code.shape[2] // 2, code.shape[3] // 2
    signs = torch.randn(code.shape[1], generator=generator).sign()
    (slope,) = torch.autograd.grad((code[0, :, row, column] * signs).sum(), image)
    return _side_holding(slope.square().sum((0, 1)))


def _side_holding(energy: Tensor) -> int:
    """The side of the square around the centre of mass that holds most of a map (H, W)."""
    total = energy.sum()
    if not bool(total > 0):
        return max(energy.shape)
    rows, columns = torch.arange(energy.shape[0]), torch.arange(energy.shape[1])
    top = float((energy.sum(1) * rows).sum() / total)
    left = float((energy.sum(0) * columns).sum() / total)
    reach = torch.maximum((rows - top).abs()[:, None], (columns - left).abs()[None])
    order = reach.flatten().argsort()
    held = energy.flatten()[order].cumsum(0)
    enough = int((held < _MOST_OF_IT * total).sum())
    radius = float(reach.flatten()[order[min(enough, len(order) - 1)]])
    return min(max(1, round(2 * radius + 1)), max(energy.shape))
