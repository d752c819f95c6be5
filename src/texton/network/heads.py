"""A network's heads, which a file that was trained on other classes has otherwise."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from texton.network.fit import Fit, Heads, differences, some
from texton.network.forward import undisturbed
from texton.network.hooks import parts_of
from texton.network.inside import SIDES, look_inside, said_sizes, sharing_weights

_KINDS = ("weight", "bias")
_SHAPE, _DTYPE = "of the wrong shape", "of the wrong kind"


class HeadsOf:
    """What may become of a module's heads: the layers before them are the same without them."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module

    @cached_property
    def _wanted(self) -> dict[str, Any]:
        return self.module.state_dict()

    @cached_property
    def _parts(self) -> dict[str, nn.Module]:
        return dict(self.module.named_modules(remove_duplicate=False))

    @cached_property
    def _run(self) -> _Run | None:
        return _Run.of(self.module)

    def fitted(self, fit: Fit) -> Fit | None:
        """A fit whose problem is in the heads alone, without it; None for any other.

        Heads that differ in their number of outputs take the file's; those that the file has
        otherwise, or not at all, are set aside.
        """
        off = differences(self._wanted, fit.state)
        heads = self._retold(off, fit.state)
        if heads is None:
            return None
        inside = tuple(f"{name}." for name in heads.aside)
        kept = {key: x for key, x in fit.state.items() if not key.startswith(inside)}
        said = ", ".join(x for x in (fit.said, *self._said(heads, fit.state)) if x)
        return Fit(kept, fit.place, said, "", heads)

    def put(self, heads: Heads) -> None:
        """Give the module these heads."""
        _put(self.module, heads)

    def _retold(
        self, off: Mapping[str, Mapping[str, str]], state: Mapping[str, Any]
    ) -> Heads | None:
        keys = {key for every in off.values() for key in every}
        rows = self._rows(off[_SHAPE], state)
        left = keys - {f"{name}.{kind}" for name in rows for kind in _KINDS}
        left |= off[_DTYPE].keys()
        aside: tuple[str, ...] = ()
        if next(iter(self._wanted), "") in left:  # of another network: not worth a look
            return None
        if left:
            found = self._set_aside("", left)
            replaced = off["missing"].keys() | off["unexpected"].keys()
            if found is None or not all(any(_lies_in(x, h) for x in replaced) for h in found):
                return None
            aside = found
        rows = {name: n for name, n in rows.items() if not _lies_in(name, *aside)}
        heads = Heads(rows, aside)
        if rows and self._last(aside) not in rows:
            return None
        return heads if not aside or (self._run and self._run.ends_in(heads)) else None

    def _rows(self, shapes: Collection[str], state: Mapping[str, Any]) -> dict[str, int]:
        """The layers that differ in how many outputs they have, all of them by the same factor."""
        rows: dict[str, int] = {}
        for name in dict.fromkeys(key.rpartition(".")[0] for key in shapes):
            own = [key for x in _KINDS if (key := f"{name}.{x}") in self._wanted]
            part = self._parts.get(name)
            if part is None or not _is_linear(part) or not own:
                continue
            if all(self._has_other_rows(key, shapes, state) for key in own):
                counts = {int(state[key].shape[0]) for key in own}
                rows |= {name: counts.pop()} if len(counts) == 1 else {}
        factors = {Fraction(count, self._outputs(name)) for name, count in rows.items()}
        return rows if len(factors) == 1 else {}

    def _has_other_rows(self, key: str, shapes: Collection[str], state: Mapping[str, Any]) -> bool:
        """Whether a tensor differs from what is wanted in its number of rows alone."""
        if key not in shapes or not state[key].ndim == self._wanted[key].ndim > 0:
            return False
        has, wanted = state[key].shape, self._wanted[key].shape
        return bool(has[0] and has[1:] == wanted[1:])

    def _outputs(self, name: str) -> int:
        return int(self._wanted[f"{name}.weight"].shape[0])

    def _last(self, without: tuple[str, ...]) -> str:
        """The last part, as the module has them, that has weights of its own."""
        weighted = [name for name, part in self._parts.items() if _has_weights(part)]
        return next((x for x in reversed(weighted) if not _lies_in(x, *without)), "")

    def _set_aside(self, name: str, keys: Collection[str]) -> tuple[str, ...] | None:
        """The parts inside ``name`` that hold all of these keys and that no layer depends on."""
        homes = {self._home(key) for key in keys}
        while name not in homes:
            steps = {_step(home, name) for home in homes}
            if len(steps) > 1:
                break
            name = steps.pop()
        if name and self._run is not None and self._run.gives_rows(name):
            return (name,)
        if name in homes:
            return None
        found: list[str] = []
        for step in sorted({_step(home, name) for home in homes}):
            inner = self._set_aside(step, {key for key in keys if _lies_in(key, step)})
            if inner is None:
                return None
            found += inner
        return tuple(found)

    def _home(self, key: str) -> str:
        """The innermost part that a key is in, as far as there are such parts."""
        home = key.rpartition(".")[0]
        while home and home not in self._parts:
            home = home.rpartition(".")[0]
        return home

    def _said(self, heads: Heads, state: Mapping[str, Any]) -> Iterator[str]:
        """``fc has the file's 10 classes instead of 1,000``, ``aux is set aside (not in it)``."""
        if heads.rows:
            names = list(heads.rows)
            listed = " and ".join(x for x in (", ".join(names[:-1]), names[-1]) if x)
            verb = "has" if len(names) == 1 else "have"
            now, before = min(heads.rows.values()), min(map(self._outputs, names))
            yield f"{listed} {verb} the file's {now:,} classes instead of {before:,}"
        for name in heads.aside:
            there = [key for key in state if _lies_in(key, name)]
            why = f"the file has {some(there)} there" if there else "not in the file"
            yield f"{name} is set aside ({why})"


@dataclass(frozen=True, eq=False)
class _Run:
    """One forward of a copy, noted call by call.

    Attributes:
        calls: parts as they are entered, and whether every tensor that is given from then on is
            at most a row an image.
    """

    module: nn.Module
    image: Tensor
    calls: list[tuple[nn.Module, bool]]

    @classmethod
    def of(cls, module: nn.Module) -> _Run | None:
        """None where nobody knows an image that goes through it, or hooks cannot see it all."""
        seen = look_inside(module)
        if seen is None or any(isinstance(x, torch.jit.ScriptModule) for x in module.modules()):
            return None
        copied = sharing_weights(module)
        for size in (*said_sizes(module), *((side, side) for side in SIDES)):
            image = torch.full((1, seen.channels, *size), 0.5)
            if (calls := _calls(copied, image)) is not None:
                return cls(copied, image, calls)
        return None

    def gives_rows(self, name: str) -> bool:
        """Whether a part, from its first call on, leads to nothing that has places."""
        inside = set(map(id, self.module.get_submodule(name).modules()))
        return all(rows for part, rows in self.calls if id(part) in inside)

    def ends_in(self, heads: Heads) -> bool:
        """Whether no weights are met after those that are set aside, and it runs without them."""
        inside = {id(x) for name in heads.aside for x in self.module.get_submodule(name).modules()}
        others = {id(self.module.get_submodule(name)) for name in heads.rows}
        met = False
        for part, _ in self.calls:
            met |= id(part) in inside
            if met and id(part) not in inside | others and _has_weights(part):
                return False
        copied = sharing_weights(self.module)
        _put(copied, heads)
        return _calls(copied, self.image) is not None


def _calls(module: nn.Module, image: Tensor) -> list[tuple[nn.Module, bool]] | None:
    """The parts in the order they are entered (see `_Run`); None where the forward fails."""
    events: list[tuple[nn.Module | None, bool]] = []

    def enter(part: nn.Module, args: tuple[Any, ...]) -> None:
        events.append((part, True))

    def leave(part: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        events.append((None, all(x.ndim <= 2 for _, x in parts_of(output))))

    parts = list(module.modules())
    handles = [part.register_forward_pre_hook(enter) for part in parts]
    handles += [part.register_forward_hook(leave) for part in parts]
    try:
        with torch.no_grad(), undisturbed():
            module(image)
    except Exception:  # noqa: BLE001 - a stranger's module may raise anything
        return None
    finally:
        for handle in handles:
            handle.remove()
    calls: list[tuple[nn.Module, bool]] = []
    rows = True
    for entered, is_row in reversed(events):
        rows = rows and is_row
        calls += [(entered, rows)] if entered is not None else []
    return calls[::-1]


def _put(module: nn.Module, heads: Heads) -> None:
    for name, count in heads.rows.items():
        part = module.get_submodule(name)
        for kind in _KINDS:
            old = getattr(part, kind)
            if old is not None:
                new = torch.zeros((count, *old.shape[1:]), dtype=old.dtype, device=old.device)
                setattr(part, kind, nn.Parameter(new, requires_grad=old.requires_grad))
        setattr(part, "out_features" if isinstance(part, nn.Linear) else "out_channels", count)
    for name in heads.aside:
        home, _, own = name.rpartition(".")
        setattr(module.get_submodule(home), own, nn.Identity())


def _is_linear(part: nn.Module) -> bool:
    """Whether each of its outputs is a weighted sum at one place, with weights of its own."""
    if isinstance(part, torch.jit.ScriptModule):
        return False
    if isinstance(part, nn.Conv2d):
        return part.kernel_size == (1, 1) and part.groups == 1
    return isinstance(part, nn.Linear)


def _has_weights(part: nn.Module) -> bool:
    return any(True for _ in part.parameters(recurse=False))


def _lies_in(key: str, *names: str) -> bool:
    return any(not name or f"{key}.".startswith(f"{name}.") for name in names)


def _step(home: str, name: str) -> str:
    """One part further from ``name`` towards ``home``, which lies in it."""
    rest = home[len(name) + 1 :] if name else home
    step = rest.partition(".")[0]
    return f"{name}.{step}" if name else step
