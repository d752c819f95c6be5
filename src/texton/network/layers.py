"""How layers are found in any module: what every call of a part gives on an image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from texton.errors import TextonError, first_line, near_names
from texton.network.device import Compute, choose_compute
from texton.network.hooks import CALL, describe_output, hooked, is_code
from texton.network.refuse import why_not

_RECTIFIERS = (
    *(nn.ReLU, nn.Hardtanh, nn.GELU, nn.SiLU, nn.Hardswish, nn.ELU, nn.LeakyReLU, nn.Mish),
    *(nn.PReLU, nn.SELU, nn.CELU, nn.Softplus, nn.Threshold, nn.Hardsigmoid, nn.Sigmoid),
)
_POOLS = (nn.AvgPool2d, nn.MaxPool2d)
_ELEMENTWISE = (*_RECTIFIERS, nn.BatchNorm2d, nn.Dropout, nn.Dropout2d, nn.Identity)
_RECTIFIER_CALLS = frozenset(
    {"relu", "relu_", "relu6", "hardtanh", "hardtanh_", "gelu", "silu", "silu_"}
    | {"hardswish", "elu", "leaky_relu", "mish"}
)
_TO_LAST, _TO_FIRST = (0, 2, 3, 1), (0, 3, 1, 2)
_TRANSPARENT = (*_POOLS, nn.Dropout, nn.Dropout2d, nn.Identity)
_TRACE_SIDES = (64, 96, 128, 224, 299, 32, 28)


@dataclass(frozen=True)
class Layer:
    """One layer of a network.

    ``kind`` is ``conv``, ``pool`` or the class of its module, ``channels`` how many filters it
    has. A layer that ``rectifies`` is silent where its pre-activation, the code of ``source``, has
    a gradient; one that ``passes_through`` (a pool, a block that ends in a layer of its own) has
    the pre-activation of its ``source``.

    ``stride`` is how many image pixels lie between neighbours of the code, ``receptive_field``
    the side in pixels of the square that one activation sees. It is None where the way to the
    layer is not a plain chain of modules, until it is ``measured``; None and measured means
    the whole image. ``source`` is the layer that it reads.
    """

    name: str
    kind: str
    channels: int
    stride: int
    receptive_field: int | None
    source: str
    rectifies: bool
    passes_through: bool
    measured: bool = False


@dataclass(frozen=True, eq=False)
class Trace:
    """The layers in order of execution, and what the calls gave that are none."""

    layers: dict[str, Layer]
    others: dict[str, str]
    side: int
    finished: bool = False


def trace_layers(
    module: nn.Module, prepare: Callable[[Tensor, Compute], Tensor], channels: int
) -> Trace:
    """Every module call that gives a 4-D tensor, in order of execution.

    A network that ends in layers for one fixed size is traced as far as it goes.
    """
    compute = choose_compute("cpu", torch.float32)
    best = Trace({}, {}, 0)
    failure: Exception | None = None
    for side in _TRACE_SIDES:
        tracer = _Tracer()
        names = {name for name, _ in module.named_modules() if name}
        prepared = prepare(torch.full((1, channels, side, side), 0.5), compute)
        try:
            with torch.no_grad(), hooked(module, names, tracer.before, tracer.after), tracer:
                tracer.start(prepared)
                module(prepared)
        except Exception as error:  # noqa: BLE001 - a stranger's module may raise anything
            failure = failure or error
        if len(tracer.layers) > len(best.layers):
            best = Trace(tracer.layers, tracer.others, side)
        if tracer.finished:
            best = replace(best, finished=True)
            break
    if not best.layers:
        reason = first_line(failure) if failure else "no module gives a 4-D tensor"
        reason = why_not(module, reason)
        raise TextonError(f"the network cannot be run on an image: {reason}")
    return best


def why_no_layer(name: str, network: str, module: nn.Module, trace: Trace) -> str:
    """What a part of a network is that is none of its layers, or the nearest names."""
    if name in trace.others:
        inside = [layer for layer in trace.layers if layer.startswith(f"{name}.")]
        instead = f"its layers inside: {', '.join(inside[-3:])}" if inside else "a layer before"
        return f"'{name}' gives {trace.others[name]}, no feature maps: choose {instead}"
    if name in (known for known, _ in module.named_modules()):
        return (
            f"'{name}' is no layer: {network}'s forward does not call it in evaluation mode on "
            "this image"
        )
    near = near_names(name, trace.layers)
    return f"{network} has no layer '{name}'{near}: `texton layers` lists them"


class _Tracer(TorchFunctionMode):
    """Notes what every module call reads and gives; sees rectifiers written as functions too."""

    def __init__(self) -> None:
        super().__init__()
        self.layers: dict[str, Layer] = {}
        self.others: dict[str, str] = {}
        self.finished = False
        self._calls: Counter[str] = Counter()
        self._open: list[str] = []
        self._side = 0
        # Tensors are kept alive, so that an id means one tensor during the trace.
        self._seen: dict[int, tuple[Tensor, str, tuple[int, int] | None]] = {}
        self._last: dict[int, Tensor] = {}
        self._strides: dict[int, int] = {}  # by extent: that of a sum or concatenation too

    def __exit__(self, kind: Any, *rest: Any) -> None:
        self.finished = kind is None
        super().__exit__(kind, *rest)  # type: ignore[no-untyped-call]

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        output = function(*args, **(kwargs or {}))
        args = (*args, *(kwargs or {}).values())
        if not isinstance(output, Tensor) or not args:
            return output
        name = getattr(function, "__name__", "")
        if name in _RECTIFIER_CALLS and id(args[0]) in self._seen:
            _, source, geometry = self._seen[id(args[0])]
            self._seen.setdefault(id(output), (output, source, geometry))
        if self._puts_channels_last(name, args):
            self._last[id(output)] = output
        return output

    def _puts_channels_last(self, name: str, args: tuple[Any, ...]) -> bool:
        """Whether a call gives (B, H, W, C): it turns images so, or reads what is so already."""
        if name == "permute":
            told = [arg for arg in args if not isinstance(arg, Tensor)]
            order = tuple(told[0] if told and isinstance(told[0], (tuple, list)) else told)
            if order in (_TO_LAST, _TO_FIRST):
                return order == _TO_LAST
        return any(id(arg) in self._last for arg in args if isinstance(arg, Tensor))

    def start(self, prepared: Tensor) -> None:
        self._side = prepared.shape[-1]
        self._seen[id(prepared)] = (prepared, "", (1, 1))
        self._strides = {self._side: 1}

    def before(self, name: str) -> Callable[..., None]:
        def hook(_: nn.Module, args: tuple[Any, ...]) -> None:
            self._calls[name] += 1
            count = self._calls[name]
            self._open.append(name if count == 1 else f"{name}{CALL}{count}")

        return hook

    def after(self, _: str) -> Callable[..., None]:
        def hook(part: nn.Module, args: tuple[Any, ...], output: Any) -> None:
            name = self._open.pop()
            if not (is_code(output) and output.ndim == 4 and 0 not in output.shape):
                self.others[name] = describe_output(output)
                return
            if id(output) in self._last:
                self.others[name] = f"{describe_output(output)} with the channels last"
                return
            entering = args[0] if args and isinstance(args[0], Tensor) else output
            _, source, geometry = self._seen.get(id(entering), (entering, "", None))
            # A block gives its last layer's output, or that rectified by a function: its
            # pre-activation is the layer's.
            _, inner, known = self._seen.get(id(output), (output, "", None))
            geometry = known or _geometry_after(part, geometry)
            stride = geometry[1] if geometry else self._stride(part, entering, output)
            self._strides[output.shape[-1]] = stride
            rectifies = isinstance(part, _RECTIFIERS)
            self.layers[name] = Layer(
                name,
                _kind_of(part),
                output.shape[1],
                stride,
                geometry[0] if geometry else None,
                source if rectifies or not inner else inner,
                rectifies,
                not rectifies and (bool(inner) or isinstance(part, _TRANSPARENT)),
            )
            self._seen[id(output)] = (output, name, geometry)

        return hook

    def _stride(self, part: nn.Module, entering: Tensor, output: Tensor) -> int:
        """A module's own, or that of what has the same extent, or by how much it shrinks."""
        before, after = entering.shape[-1], output.shape[-1]
        known = self._strides.get(before, max(1, self._side // before))
        if isinstance(part, (nn.Conv2d, *_POOLS)):
            return known * _step_of(part)
        return self._strides.get(after, max(1, round(known * before / after)))


def _geometry_after(part: nn.Module, entering: tuple[int, int] | None) -> tuple[int, int] | None:
    """(receptive field, stride) after a module, from those before it; None if not known."""
    if entering is None:
        return None
    field, stride = entering
    if isinstance(part, (nn.Conv2d, *_POOLS)):
        kernel = _largest(part.kernel_size)
        dilation = _largest(getattr(part, "dilation", 1))
        return field + (kernel - 1) * dilation * stride, stride * _step_of(part)
    return entering if isinstance(part, _ELEMENTWISE) else None


def _step_of(part: Any) -> int:
    return _largest(part.stride if part.stride is not None else part.kernel_size)


def _largest(value: Any) -> int:
    return max(value) if isinstance(value, (tuple, list)) else int(value)


def _kind_of(part: nn.Module) -> str:
    if isinstance(part, nn.Conv2d):
        return "conv"
    if isinstance(part, _POOLS):
        return "pool"
    return type(part).__name__
