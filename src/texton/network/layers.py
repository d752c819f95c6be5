"""How layers are found in any module and their outputs taken: hooks that never outlive a call."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from texton.errors import TextonError
from texton.network.device import Compute, choose_compute
from texton.network.kinds import (
    POOLS,
    RECTIFIERS,
    describe_output,
    geometry_after,
    kind_of,
    step_of,
)

CALL = "#"  # "relu#2" is the second call of a module that runs more than once

_RECTIFIER_CALLS = frozenset(
    {"relu", "relu_", "relu6", "hardtanh", "hardtanh_", "gelu", "silu", "silu_"}
    | {"hardswish", "elu", "leaky_relu", "mish"}
)
_TO_LAST, _TO_FIRST = (0, 2, 3, 1), (0, 3, 1, 2)
_TRANSPARENT = (*POOLS, nn.Dropout, nn.Dropout2d, nn.Identity)
_TRACE_SIDES = (64, 96, 128, 224, 299, 32, 28)


@dataclass(frozen=True)
class Layer:
    """One layer of a network.

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


@dataclass(frozen=True)
class Trace:
    """The layers in order of execution, and what the calls gave that are none."""

    layers: dict[str, Layer]
    others: dict[str, str]
    side: int


@dataclass(frozen=True)
class Collected:
    """What to take from a forward pass: the n-th call of a module, its output or its input."""

    key: str
    module: str
    call: int
    of_input: bool

    @classmethod
    def parse(cls, key: str, input_mark: str) -> Collected:
        name = key.removesuffix(input_mark)
        module, _, call = name.partition(CALL)
        return cls(key, module, int(call or 1), key.endswith(input_mark))


class _Reached(Exception):  # noqa: N818 - not an error: the forward pass has gone far enough
    pass


def collect(
    module: nn.Module, prepared: Tensor, wanted: Sequence[Collected], copied: set[str]
) -> tuple[dict[str, Tensor], set[str]]:
    """Run a module until everything wanted has been seen.

    Returns:
        The tensors by key, and the keys of those that the module changed in place later.
    """
    found: dict[str, Tensor] = {}
    versions: dict[str, int] = {}
    calls: Counter[str] = Counter()

    def take(item: Collected, value: Any) -> None:
        if not isinstance(value, Tensor):
            raise TextonError(
                f"layer '{item.key}' gives {describe_output(value)}, not a tensor: "
                "choose a layer inside or before it"
            )
        found[item.key] = value.clone() if item.key in copied else value
        versions[item.key] = found[item.key]._version
        if len(found) == len({item.key for item in wanted}):
            raise _Reached

    entered = {item.module for item in wanted if item.of_input}

    def before(name: str) -> Callable[..., None] | None:
        if name not in entered:  # a hook there would keep its convolution from rectifying
            return None

        def hook(_: nn.Module, args: tuple[Any, ...]) -> None:
            calls[name] += 1
            for item in wanted:
                if item.of_input and item.module == name and item.call == calls[name]:
                    take(item, args[0])

        return hook

    def after(name: str) -> Callable[..., None]:
        def hook(_: nn.Module, args: tuple[Any, ...], output: Any) -> None:
            calls[name] += name not in entered
            for item in wanted:
                if not item.of_input and item.module == name and item.call == calls[name]:
                    take(item, output)

        return hook

    with _hooked(module, {item.module for item in wanted}, before, after), suppress(_Reached):
        module(prepared)
    changed = {key for key, value in found.items() if value._version != versions[key]}
    return found, changed


def observe(
    module: nn.Module,
    prepared: Tensor,
    wanted: Sequence[Collected],
    take: Callable[[str, Tensor], None],
) -> None:
    """Run a whole module and show the outputs wanted as they come, without keeping them."""
    calls: Counter[str] = Counter()
    keys = {(item.module, item.call): item.key for item in wanted}

    def before(name: str) -> Callable[..., None]:
        def hook(_: nn.Module, args: tuple[Any, ...]) -> None:
            calls[name] += 1

        return hook

    def after(name: str) -> Callable[..., None]:
        def hook(_: nn.Module, args: tuple[Any, ...], output: Any) -> None:
            if isinstance(output, Tensor) and (name, calls[name]) in keys:
                take(keys[name, calls[name]], output)

        return hook

    with _hooked(module, {item.module for item in wanted}, before, after):
        module(prepared)


@contextmanager
def _hooked(
    module: nn.Module,
    names: set[str],
    before: Callable[[str], Callable[..., None] | None],
    after: Callable[[str], Callable[..., None]],
) -> Iterator[None]:
    handles = []
    try:
        for name in names:
            part = module.get_submodule(name)
            if (entering := before(name)) is not None:
                handles.append(part.register_forward_pre_hook(entering))
            handles.append(part.register_forward_hook(after(name)))
        yield
    finally:
        for handle in handles:
            handle.remove()


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
            with torch.no_grad(), _hooked(module, names, tracer.before, tracer.after), tracer:
                tracer.start(prepared)
                module(prepared)
        except Exception as error:  # noqa: BLE001 - a stranger's module may raise anything
            failure = failure or error
        if len(tracer.layers) > len(best.layers):
            best = Trace(tracer.layers, tracer.others, side)
        if tracer.finished:
            break
    if not best.layers:
        reason = str(failure or "no module gives a 4-D tensor").strip().splitlines()[0]
        raise TextonError(f"the network cannot be run on an image: {reason}")
    return best


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
            order = args[1] if isinstance(args[1], (tuple, list)) else args[1:]
            if tuple(order) in (_TO_LAST, _TO_FIRST):
                return tuple(order) == _TO_LAST
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
            if not isinstance(output, Tensor) or output.ndim != 4 or 0 in output.shape:
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
            geometry = known or geometry_after(part, geometry)
            stride = geometry[1] if geometry else self._stride(part, entering, output)
            self._strides[output.shape[-1]] = stride
            rectifies = isinstance(part, RECTIFIERS)
            self.layers[name] = Layer(
                name,
                kind_of(part),
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
        if isinstance(part, (nn.Conv2d, *POOLS)):
            return known * step_of(part)
        return self._strides.get(after, max(1, round(known * before / after)))
