"""How layers are found in any module and their outputs taken: hooks that never outlive a call."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from texton.device import Compute, choose_compute
from texton.errors import TextonError

CALL = "#"  # "relu#2" is the second call of a module that runs more than once

_RECTIFIERS = (nn.ReLU, nn.ReLU6, nn.GELU, nn.SiLU, nn.Hardswish, nn.ELU, nn.LeakyReLU, nn.Mish)
_POOLS = (nn.AvgPool2d, nn.MaxPool2d)
_ELEMENTWISE = (*_RECTIFIERS, nn.BatchNorm2d, nn.Dropout, nn.Dropout2d, nn.Identity)
_TRACE_SIDES = (64, 128, 224, 299)


@dataclass(frozen=True)
class Layer:
    """One layer of a network.

    ``stride`` is how many image pixels lie between neighbours of the code, ``receptive_field``
    the side in pixels of the square that one activation sees (None where the way to it is not
    a plain chain of modules), ``source`` the layer that it reads.
    """

    name: str
    kind: str
    channels: int
    stride: int
    receptive_field: int | None
    source: str
    rectifies: bool
    passes_through: bool


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
                f"layer '{item.key}' gives a {type(value).__name__}, not a tensor: "
                "choose a layer inside or before it"
            )
        found[item.key] = value.clone() if item.key in copied else value
        versions[item.key] = found[item.key]._version
        if len(found) == len({item.key for item in wanted}):
            raise _Reached

    def before(name: str) -> Callable[..., None]:
        def hook(_: nn.Module, args: tuple[Any, ...]) -> None:
            calls[name] += 1
            for item in wanted:
                if item.of_input and item.module == name and item.call == calls[name]:
                    take(item, args[0])

        return hook

    def after(name: str) -> Callable[..., None]:
        def hook(_: nn.Module, args: tuple[Any, ...], output: Any) -> None:
            for item in wanted:
                if not item.of_input and item.module == name and item.call == calls[name]:
                    take(item, output)

        return hook

    with _hooked(module, {item.module for item in wanted}, before, after), suppress(_Reached):
        module(prepared)
    changed = {key for key, value in found.items() if value._version != versions[key]}
    return found, changed


@contextmanager
def _hooked(
    module: nn.Module,
    names: set[str],
    before: Callable[[str], Callable[..., None]],
    after: Callable[[str], Callable[..., None]],
) -> Iterator[None]:
    handles = []
    try:
        for name in names:
            part = module.get_submodule(name)
            handles.append(part.register_forward_pre_hook(before(name)))
            handles.append(part.register_forward_hook(after(name)))
        yield
    finally:
        for handle in handles:
            handle.remove()


def trace_layers(
    module: nn.Module, prepare: Callable[[Tensor, Compute], Tensor], channels: int
) -> dict[str, Layer]:
    """Every module call that gives a 4-D tensor, in order of execution.

    A network that ends in layers for one fixed size is traced as far as it goes.
    """
    compute = choose_compute("cpu", torch.float32)
    best: dict[str, Layer] = {}
    failure: Exception | None = None
    for side in _TRACE_SIDES:
        tracer = _Tracer()
        names = {name for name, _ in module.named_modules() if name}
        image = torch.full((1, channels, side, side), 0.5)
        try:
            with torch.no_grad(), _hooked(module, names, tracer.before, tracer.after):
                tracer.start(prepared := prepare(image, compute))
                module(prepared)
        except (RuntimeError, ValueError, AssertionError, IndexError) as error:
            failure = error
        else:
            return tracer.layers
        best = max(best, tracer.layers, key=len)
    if not best:
        raise TextonError(f"the network cannot be run on an image: {failure}")
    return best


class _Tracer:
    def __init__(self) -> None:
        self.layers: dict[str, Layer] = {}
        self._calls: Counter[str] = Counter()
        self._open: list[str] = []
        self._side = 0
        # Tensors are kept alive, so that an id means one tensor during the trace.
        self._seen: dict[int, tuple[Tensor, str, tuple[int, int] | None]] = {}

    def start(self, prepared: Tensor) -> None:
        self._side = prepared.shape[-1]
        self._seen[id(prepared)] = (prepared, "", (1, 1))

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
                return
            entering = args[0] if args and isinstance(args[0], Tensor) else output
            _, source, geometry = self._seen.get(id(entering), (entering, "", None))
            _, _, known = self._seen.get(id(output), (output, "", None))
            geometry = known or _geometry(part, geometry)
            stride = geometry[1] if geometry else max(1, round(self._side / output.shape[-1]))
            self.layers[name] = Layer(
                name,
                _kind(part),
                output.shape[1],
                stride,
                geometry[0] if geometry else None,
                source,
                isinstance(part, _RECTIFIERS),
                isinstance(part, (*_POOLS, nn.Dropout, nn.Dropout2d, nn.Identity)),
            )
            self._seen[id(output)] = (output, name, geometry)

        return hook


def _geometry(part: nn.Module, entering: tuple[int, int] | None) -> tuple[int, int] | None:
    """(receptive field, stride) after a module, from those before it; None if not known."""
    if entering is None:
        return None
    field, stride = entering
    if isinstance(part, (nn.Conv2d, *_POOLS)):
        kernel = _largest(part.kernel_size)
        dilation = _largest(getattr(part, "dilation", 1))
        step = _largest(part.stride if part.stride is not None else part.kernel_size)
        return field + (kernel - 1) * dilation * stride, stride * step
    return entering if isinstance(part, _ELEMENTWISE) else None


def _largest(value: Any) -> int:
    return max(value) if isinstance(value, tuple) else int(value)


def _kind(part: nn.Module) -> str:
    if isinstance(part, nn.Conv2d):
        return "conv"
    if isinstance(part, _POOLS):
        return "pool"
    return type(part).__name__
