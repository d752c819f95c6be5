"""Hooks that never outlive a call: what they take from a forward pass, and whose there are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules import module as everywhere

from texton.errors import TextonError

_EVERYWHERE: tuple[dict[int, Any], ...] = (
    everywhere._global_forward_hooks,
    everywhere._global_forward_pre_hooks,
    everywhere._global_backward_hooks,
    everywhere._global_backward_pre_hooks,
)
CALL = "#"  # "relu#2" is the second call of a module that runs more than once
INSIDE = "@"  # "fpn@pool" is what fpn gives under that name, or place; "@out" the whole network


@dataclass(frozen=True)
class Collected:
    """What to take from a forward pass: the n-th call of a module, its output or its input.

    ``inside`` leads to one of several tensors that it gives.
    """

    key: str
    module: str
    call: int
    of_input: bool
    inside: str = ""

    @classmethod
    def parse(cls, key: str, input_mark: str) -> Collected:
        of_input = bool(input_mark) and key.endswith(input_mark)
        name, at, inside = key.removesuffix(input_mark).partition(INSIDE)
        module, _, call = name.partition(CALL)
        return cls(key, module, int(call or 1), of_input, at + inside)

    def of(self, output: Any) -> Any:
        """The tensor that is meant, of all that a module gives."""
        return next((x for where, x in parts_of(output) if where == self.inside), output)


class _Reached(BaseException):
    """The forward pass has gone far enough: not for a module that catches every Exception."""


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
        loose = value.is_inference()  # nobody counts what is written to it: take a copy
        found[item.key] = value.clone() if loose or item.key in copied else value
        if not loose:
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
                    take(item, item.of(output))

        return hook

    with hooked(module, {item.module for item in wanted}, before, after), suppress(_Reached):
        module(prepared)
    changed = {key for key, version in versions.items() if found[key]._version != version}
    if not torch.is_inference_mode_enabled():  # a forward's own: outside, nothing takes its tensors
        found = {key: x.clone() if x.is_inference() else x for key, x in found.items()}
    return found, changed


def observe(
    module: nn.Module,
    prepared: Tensor,
    wanted: Sequence[Collected],
    take: Callable[[str, Tensor], None],
) -> None:
    """Run a whole module and show the outputs wanted as they come, without keeping them."""
    calls: Counter[str] = Counter()

    def before(name: str) -> Callable[..., None]:
        def hook(_: nn.Module, args: tuple[Any, ...]) -> None:
            calls[name] += 1

        return hook

    def after(name: str) -> Callable[..., None]:
        def hook(_: nn.Module, args: tuple[Any, ...], output: Any) -> None:
            for item in wanted:
                value = item.of(output)
                if (item.module, item.call) == (name, calls[name]) and isinstance(value, Tensor):
                    take(item.key, value)

        return hook

    with hooked(module, {item.module for item in wanted}, before, after):
        module(prepared)


@contextmanager
def hooked(
    module: nn.Module,
    names: set[str],
    before: Callable[[str], Callable[..., None] | None],
    after: Callable[[str], Callable[..., None]],
) -> Iterator[None]:
    handles = []
    others = [(hooks, dict(hooks)) for hooks in _EVERYWHERE if hooks]  # somebody's, on any module
    try:
        for hooks, _ in others:
            hooks.clear()
        for name in names:
            part = module.get_submodule(name)
            if (entering := before(name)) is not None:
                handles.append(part.register_forward_pre_hook(entering))
            handles.append(part.register_forward_hook(after(name)))
        yield
    finally:
        for handle in handles:
            handle.remove()
        for hooks, kept in others:
            hooks.update(kept)


def is_watched(part: nn.Module) -> bool:
    """Whether somebody sees, or changes, what enters a module, or its gradients."""
    hooks = part._forward_pre_hooks or part._backward_hooks or part._backward_pre_hooks
    return bool(hooks) or "forward" in vars(part)


def is_looked_into(part: nn.Module) -> bool:
    """Whether somebody sees, or changes, what a module does at all."""
    return is_watched(part) or bool(part._forward_hooks)


def has_slope(x: Tensor) -> bool:
    """Whether a gradient to it will be asked for."""
    return x.requires_grad and torch.is_grad_enabled()


def is_code(output: Any) -> bool:
    """Whether it is a tensor of real numbers, as activations are."""
    return isinstance(output, Tensor) and output.is_floating_point()


def parts_of(output: Any, where: str = "") -> Iterator[tuple[str, Tensor]]:
    """The tensors that a module gives, and where each lies: ``""`` alone, else ``@key``, ``@0``."""
    if isinstance(output, Tensor):
        yield where, output
    elif isinstance(output, (Mapping, tuple, list)):
        inside = output.items() if isinstance(output, Mapping) else enumerate(output)
        for key, value in inside:
            yield from parts_of(value, f"{where}{INSIDE}{key}")


def describe_output(output: Any) -> str:
    if isinstance(output, Tensor) and not is_code(output):
        kind = "complex" if output.is_complex() else "whole"
        return f"{kind} numbers, {'×'.join(map(str, output.shape))}"
    if isinstance(output, Tensor):
        return f"a tensor of {'×'.join(map(str, output.shape)) or 'no'} values"
    kind = type(output).__name__
    if isinstance(output, Mapping):
        return f"a {kind} with the keys {', '.join(map(str, output))}"
    return f"a {kind} of {len(output)}" if isinstance(output, (tuple, list)) else f"a {kind}"
