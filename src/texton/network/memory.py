"""What a module keeps from one image to the next, beside its weights."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import Tensor, nn

_OF_MODULES = frozenset(vars(nn.Module()))


class Memory:
    """Attributes and buffers of a module as they are now: hidden states, counters, last codes.

    Args:
        names: the parts that are looked at; all without them.
    """

    def __init__(self, module: nn.Module, names: Iterable[str] | None = None) -> None:
        parts = dict(module.named_modules())
        chosen = parts if names is None else [name for name in names if name in parts]
        self._parts = {name: parts[name] for name in chosen}
        self._held = {name: _attributes(part) for name, part in self._parts.items()}
        self._buffers = {name: _buffers(part) for name, part in self._parts.items()}

    def put_back(self) -> set[str]:
        """Undo what was changed since; the parts where something was."""
        return {name for name in self._parts if self._put_back(name)}

    def _put_back(self, name: str) -> bool:
        part, held, buffers = self._parts[name], self._held[name], self._buffers[name]
        now = _attributes(part)
        changed = [key for key in now | held if not _same(now.get(key), held.get(key))]
        for key in changed:
            if key in held:
                vars(part)[key] = _unshared(held[key])
            else:
                del vars(part)[key]
        written = [
            key for key, (x, version, _) in buffers.items() if _written(part, key, x, version)
        ]
        for key in written:
            part._buffers[key] = buffers[key][2].clone()
        self._buffers[name] = {**buffers, **{key: _kept(part._buffers[key]) for key in written}}
        return bool(changed or written)


def _attributes(part: nn.Module) -> dict[str, Any]:
    return {key: _unshared(x) for key, x in vars(part).items() if key not in _OF_MODULES}


def _buffers(part: nn.Module) -> dict[str, tuple[Tensor, int, Tensor]]:
    found = {key: x for key, x in part._buffers.items() if x is not None}
    return {key: _kept(x) for key, x in found.items()}


def _kept(x: Any) -> tuple[Tensor, int, Tensor]:
    return x, _version(x), x.detach().clone()


def _written(part: nn.Module, key: str, before: Tensor, version: int) -> bool:
    now = part._buffers.get(key)
    return now is not before or _version(before) != version


def _version(x: Tensor) -> int:
    return -1 if x.is_inference() else x._version


def _unshared(value: Any) -> Any:
    """Lists and dicts as they are now, with the same things in them."""
    if type(value) in (list, tuple, set):
        return type(value)(map(_unshared, value))
    if type(value) is dict:
        return {key: _unshared(x) for key, x in value.items()}
    return value


def _same(one: Any, other: Any) -> bool:
    if type(one) in (list, tuple) and type(one) is type(other):
        return len(one) == len(other) and all(map(_same, one, other))
    if type(one) is dict and type(other) is dict:
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    plain = int, float, str, bool, set
    return one is other or (type(one) is type(other) and isinstance(one, plain) and one == other)
