"""Receptive fields measured where they cannot be added up: residual sums, concatenations."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from texton.network.device import Compute, choose_compute
from texton.network.edges import Edges
from texton.network.geometry import STEPPING, pair, steps_of
from texton.network.hooks import Collected, observe
from texton.network.layers import Layer, Size, Trace, layouts_at
from texton.network.layout import Layout

LONG = 1536
_MOST_RUNS = 64
_PARTS = 16  # of a strip, between which a field that goes with its place is bounded

_CHECKS = (12, 28, 57, 116, 203, 339)  # columns of a strip where windows, if any, lie otherwise

Prepare = Callable[[Tensor, Compute], Tensor]
Note = Callable[[str, list[int], int], None]


class _Cheap(TorchFunctionMode):
    """Convolutions of one filter: where NaN goes does not depend on how many there are."""

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if function is torch.conv2d and len(args) == 7 and args[6] == 1 and not kwargs:
            image, weight, _, *how = args
            kernel = torch.ones_like(weight[:1, :1])
            code = function(image.sum(1, keepdim=True), kernel, None, *how)
            return code.expand(-1, len(weight), -1, -1)
        if function is nn.functional.linear and args[0].ndim >= 3:
            return args[0].sum(-1, keepdim=True).expand(*args[0].shape[:-1], len(args[1]))
        return function(*args, **kwargs)


def measure_fields(
    module: nn.Module, prepare: Prepare, channels: int, trace: Trace
) -> dict[str, Layer]:
    """The traced layers, every receptive field known, or said not to be.

    One column of an image is set to NaN, which no sum, product or maximum loses: the units that
    turn NaN are those that see the column. A few columns at other offsets from the stride find
    the exact edges of what a unit sees, whatever the weights are. Where neighbours see
    differently (behind a pixel shuffle, in a decoder), each is measured, and the widest is told.
    Where it goes with the place (attention in windows), all to one side of a column is set to NaN,
    for columns some way apart: an upper bound.

    A field that reaches the ends of a strip of 1,536 pixels, or of the only image that a network
    takes, is left None: the whole image.
    """
    unknown = [name for name, layer in trace.layers.items() if layer.receptive_field is None]
    layers = dict(trace.layers)
    if trace.resizes:  # by another factor for every image
        for name, layer in layers.items():
            layers[name] = replace(layer, receptive_field=None, status="not known")
        return layers
    for fixed in (False, True):
        names = [name for name in unknown if (name in trace.fixed) == fixed]
        if names:
            strip = _Strip(module, prepare, channels, trace, fixed)
            layers |= {name: strip.measured(name) for name in strip.measure(names)}
    return layers


def edges_along(
    module: nn.Module,
    prepare: Prepare,
    channels: int,
    trace: Trace,
    unknown: list[str],
    axis: int,
) -> dict[str, Edges]:
    """What units see along an axis (2 of rows, 3 of columns), of those of some layers."""
    fixed = not trace.fixed.isdisjoint(unknown)
    return _Strip(module, prepare, channels, trace, fixed).found(unknown, axis)


class _Strip:
    """Images that are long along one axis, or as large as the network wants them."""

    def __init__(
        self, module: nn.Module, prepare: Prepare, channels: int, trace: Trace, fixed: bool
    ) -> None:
        self._module, self._prepare, self._channels = module, prepare, channels
        self._trace, self._fixed = trace, fixed
        steps = [part for part in module.modules() if isinstance(part, STEPPING)]
        told = [(pair(x.kernel_size), steps_of(x), pair(getattr(x, "dilation", 1))) for x in steps]
        oblong = any(len(set(each)) > 1 for every in told for each in every)
        self._axes = (3, 2) if oblong else (3,)
        self._has_holes = any(max(dilation) > 1 for _, _, dilation in told)
        self._edges: dict[int, dict[str, Edges]] = {}
        self._bounds: dict[str, int | None] = {}

    def measure(self, names: list[str]) -> list[str]:
        for axis in self._axes:
            self._edges[axis] = self.found(names, axis)
        unlike = [
            name for name in names if any(each[name].contradicts for each in self._edges.values())
        ]
        if unlike and not self._fixed:
            for axis in self._axes:
                for name, bound in self._bounded(unlike, axis).items():
                    before = self._bounds.get(name, 0)
                    known = bound is not None and before is not None
                    self._bounds[name] = max(bound or 0, before or 0) if known else None
        return names

    def measured(self, name: str) -> Layer:
        edges = [each[name] for each in self._edges.values()]
        layer = replace(self._trace.layers[name], measured=True)
        if any(each.whole for each in edges):
            return layer
        fields = [each.widest() for each in edges]
        if None not in fields:
            return replace(layer, receptive_field=max(x for x in fields if x is not None))
        bound = self._bounds.get(name)
        status: Literal["at most", "not known"] = "not known" if bound is None else "at most"
        return replace(layer, receptive_field=bound, status=status)

    def _size(self, axis: int) -> Size:
        rows, columns = self._trace.size
        if self._fixed:
            return rows, columns
        return (rows, LONG) if axis == 3 else (LONG, columns)

    def found(self, names: list[str], axis: int) -> dict[str, Edges]:
        edges = dict(self._begun(names, axis))
        layouts = self._layouts(names, axis)
        middle = self._size(axis)[axis - 2] // 2
        column, tried = middle, set[int]()
        checks = list(_CHECKS if any(x.layout for x in self._trace.layers.values()) else ())
        for _ in range(_MOST_RUNS):
            tried.add(column)
            image = torch.full((1, self._channels, *self._size(axis)), 0.5)
            image.select(axis, column).fill_(torch.nan)

            def note(name: str, units: list[int], extent: int, column: int = column) -> None:
                edges[name].seen = True
                if units and (units[0] == 0 or units[-1] == extent - 1):
                    edges[name].whole = True
                else:
                    edges[name].narrow(column, units)

            wanted = [name for name, known in edges.items() if not known.whole]
            self._run(image, wanted, layouts, axis, note)
            following = self._following(edges.values(), tried, middle)
            if following is None and checks:
                following = middle + checks.pop() * self._size(axis)[axis - 2] // LONG
            if following is None:
                break
            column = following
        return edges

    def _following(self, every: Iterable[Edges], tried: set[int], middle: int) -> int | None:
        for edges in every:
            if not edges.seen:
                continue
            gone = {column % edges.period for column in tried}
            column = edges.next_column(gone)
            if column is None and self._has_holes and not edges.whole:
                column = next((x for x in range(edges.period) if x not in gone), None)
            if column is not None:
                return middle + (column - middle) % edges.period
        return None

    def _begun(self, names: list[str], axis: int) -> Iterator[tuple[str, Edges]]:
        """A layer behind others of larger strides repeats itself when those do."""
        period = 1
        for name, layer in self._trace.layers.items():
            stride = Fraction(layer.strides[axis - 2]).limit_denominator(LONG)
            if stride < self._trace.size[axis - 2]:
                period = math.lcm(period, stride.numerator)
            if name in names:
                own = period if stride <= period else math.lcm(period, math.ceil(stride))
                longer = own > self._size(axis)[axis - 2] // 2  # than there are columns to try
                yield name, Edges(own, max(1, int(own / stride)), whole=longer)

    def _bounded(self, names: list[str], axis: int) -> dict[str, int | None]:
        """How far units in the middle see at most: all up to a column, or from it on, is NaN."""
        size, layouts = self._size(axis), self._layouts(names, axis)
        long = size[axis - 2]
        columns = [long * part // _PARTS for part in range(_PARTS // 4, 3 * _PARTS // 4 + 1)]
        since: dict[str, dict[int, int]] = {name: {} for name in names}
        until: dict[str, dict[int, int]] = {name: {} for name in names}
        for column in columns:
            for found, part in ((until, slice(column, None)), (since, slice(None, column))):
                image = torch.full((1, self._channels, *size), 0.5)
                image[(..., part) if axis == 3 else (..., part, slice(None))] = torch.nan

                def note(
                    name: str,
                    units: list[int],
                    extent: int,
                    column: int = column,
                    found: dict[str, dict[int, int]] = found,
                ) -> None:
                    middle = range(3 * extent // 8, 5 * extent // 8)
                    for unit in set(middle) - set(units):
                        kept = found[name].get(unit, column)
                        found[name][unit] = (min if found is until else max)(kept, column)
                    found[name].setdefault(-1, len(middle))

                self._run(image, names, layouts, axis, note)
        bounds: dict[str, int | None] = {}
        for name in names:
            count = since[name].pop(-1, 0)
            until[name].pop(-1, 0)
            both = since[name].keys() & until[name].keys()
            sides = [until[name][unit] - since[name][unit] for unit in both]
            bounds[name] = max(sides) if count and len(both) == count else None
        return bounds

    def _layouts(self, names: list[str], axis: int) -> Mapping[str, Layout | None]:
        layers = self._trace.layers
        if self._fixed or not any((x := layers[name].layout) and x.grid for name in names):
            return {name: layers[name].layout for name in names}
        return layouts_at(self._module, self._prepare, self._channels, self._size(axis))

    def _run(
        self,
        image: Tensor,
        names: Iterable[str],
        layouts: Mapping[str, Layout | None],
        axis: int,
        note: Note,
    ) -> None:
        """Tell the units of every layer that are NaN."""

        def take(name: str, value: Tensor) -> None:
            layout = layouts.get(name)
            code = value if layout is None else layout.code(value)
            if code.ndim == 4:
                others = [d for d in range(4) if d != axis]
                hit = code.isnan().sum(others).nonzero().flatten().tolist()
                note(name, hit, code.shape[axis])

        wanted = [Collected.parse(name, "") for name in names]
        prepared = self._prepare(image, choose_compute("cpu", torch.float32))
        # A fixed-size ending fails on a strip: what runs before it has been seen by then.
        with torch.no_grad(), suppress(Exception), _Cheap():
            observe(self._module, prepared, wanted, take)
