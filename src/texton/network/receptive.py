"""Receptive fields measured where they cannot be added up: residual sums, concatenations."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from texton.network.device import Compute, choose_compute
from texton.network.hooks import Collected, observe
from texton.network.layers import Layer, Trace

LONG = 1536
_MOST_RUNS = 60


@dataclass
class Edges:
    """Where unit u sees from and to: first + u·stride to last + u·stride, as ranges so far."""

    stride: int
    first: tuple[int, int] = (-LONG, LONG)
    last: tuple[int, int] = (-LONG, LONG)
    whole: bool = False

    def narrow(self, column: int, lowest: int, highest: int) -> None:
        """Units ``lowest`` to ``highest`` see the column, their neighbours do not."""
        to, since = column - lowest * self.stride, column - highest * self.stride
        self.last = max(self.last[0], to), min(self.last[1], to + self.stride - 1)
        self.first = max(self.first[0], since - self.stride + 1), min(self.first[1], since)

    def next_column(self) -> int | None:
        """The column, modulo the stride, that halves what is not known yet."""
        for (low, high), beyond in ((self.last, 1), (self.first, 0)):
            if low < high and not self.whole:
                return (low + high) // 2 + beyond
        return None

    def field(self) -> int | None:
        return None if self.whole else self.last[0] - self.first[0] + 1


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
        if function is nn.functional.linear and args[0].ndim == 4:
            return args[0].sum(-1, keepdim=True).expand(*args[0].shape[:-1], len(args[1]))
        return function(*args, **kwargs)


def measure_fields(
    module: nn.Module,
    prepare: Callable[[Tensor, Compute], Tensor],
    channels: int,
    trace: Trace,
) -> dict[str, Layer]:
    """The traced layers, every receptive field known.

    One column of an image is set to NaN, which no sum, product or maximum loses: the units that
    turn NaN are those that see the column. A few columns at other offsets from the stride find
    the exact edges of what a unit sees, whatever the weights are.

    A field that reaches the ends of a strip of 1,536 pixels is left None: the whole image.
    """
    unknown = [name for name, layer in trace.layers.items() if layer.receptive_field is None]
    if not unknown:
        return trace.layers
    oblong = any(
        len(set(part.kernel_size)) > 1 for part in module.modules() if isinstance(part, nn.Conv2d)
    )
    axes = (3, 2) if oblong else (3,)
    edges = [edges_along(module, prepare, channels, trace, unknown, axis) for axis in axes]
    layers = dict(trace.layers)
    for name in unknown:
        fields = [along[name].field() for along in edges]
        widest = None if None in fields else max(field for field in fields if field is not None)
        layers[name] = replace(layers[name], receptive_field=widest, measured=True)
    return layers


def edges_along(
    module: nn.Module,
    prepare: Callable[[Tensor, Compute], Tensor],
    channels: int,
    trace: Trace,
    unknown: list[str],
    axis: int,
) -> dict[str, Edges]:
    """What units see along an axis (2 of rows, 3 of columns), of those of some layers."""
    compute = choose_compute("cpu", torch.float32)
    shape = [1, channels, trace.side, trace.side]
    shape[axis] = LONG
    edges = {name: Edges(trace.layers[name].stride) for name in unknown}
    column = LONG // 2
    for _ in range(_MOST_RUNS):
        image = torch.full(shape, 0.5)
        image.select(axis, column).fill_(torch.nan)
        wanted = [Collected.parse(name, "") for name, known in edges.items() if not known.whole]
        silent = set(edges)

        def note(name: str, code: Tensor, column: int = column, silent: set[str] = silent) -> None:
            silent.discard(name)
            hit = code.isnan().sum([d for d in range(4) if d != axis]).nonzero().flatten().tolist()
            if hit and hit[0] > 0 and hit[-1] < code.shape[axis] - 1:
                edges[name].narrow(column, hit[0], hit[-1])
            else:
                edges[name].whole = True

        # A fixed-size ending fails on a strip: what runs before it has been seen by then.
        with torch.no_grad(), suppress(Exception), _Cheap():
            observe(module, prepare(image, compute), wanted, note)
        for name in silent:
            edges[name].whole = True
        offsets = ((known.next_column(), known.stride) for known in edges.values())
        following = next(
            ((offset, stride) for offset, stride in offsets if offset is not None), None
        )
        if following is None:
            break
        column = LONG // 2 + (following[0] - LONG // 2) % following[1]
    return edges
