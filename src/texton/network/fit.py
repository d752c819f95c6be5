"""Which of a checkpoint's state dicts is a network's, and what its keys have to lose for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.nn.parameter import is_lazy

from texton.errors import TextonError
from texton.network.checkpoint import KEY_MARK, is_inert, read_checkpoint, split_key
from texton.network.wrappers import MARKS, bare

_COUNTERS = ("num_batches_tracked", "n_averaged")  # may be missing: nothing reads them


@dataclass(frozen=True)
class Heads:
    """What a network's heads have to be for some state to fit.

    Attributes:
        rows: how many outputs those have in the file that have another number here.
        aside: those that the file has otherwise, or not at all.
    """

    rows: Mapping[str, int] = field(default_factory=dict)
    aside: tuple[str, ...] = ()


@dataclass(frozen=True)
class Fit:
    """Some state of a checkpoint, under the names that a network has for it.

    Attributes:
        place: where it lies in the file: nesting and prefix, dotted.
        said: what was done to have it, in a line; empty for a plain state dict.
        problem: how it differs from what is wanted; empty if it fits.
        heads: what has to be done to the network first.
    """

    state: dict[str, Any]
    place: str
    said: str
    problem: str
    heads: Heads = Heads()

    def recorded(self, weights: str | Path) -> dict[str, str]:
        """The file, and how the weights were found in it, as settings tell."""
        told = {"weights": str(weights)}
        return {**told, "checkpoint": self.said} if self.said else told


def find_fit(
    weights: str | Path,
    wanted: Sequence[Mapping[str, Any]],
    refused: str,
    *,
    more: bool = False,
    but_for_heads: Callable[[Fit], Fit | None] = lambda fit: None,
) -> Fit:
    """The one state dict of ``FILE``, or of what it has under ``FILE::KEY``, that a network takes.

    Args:
        wanted: what the network's state dict holds; or several, one for each naming.
        refused: what is said of a file that does not fit.
        more: whether other keys may lie beside those wanted.
        but_for_heads: a fit without its problem, where that is in the network's heads alone;
            asked where nothing fits as it is.

    Raises:
        TextonError: see `read_checkpoint`; nothing in the file fits: what is missing, unexpected,
            of the wrong shape; or several fit.
    """
    path, key = split_key(weights)
    checkpoint = read_checkpoint(path)
    every = [
        fit
        for naming in wanted
        for place, state in checkpoint.states.items()
        for fit in _fits(place, state, naming, more)
    ]
    near = [fit for fit in every if not key or f"{fit.place}.".startswith(f"{key}.")]
    fits = _different([fit for fit in near if not fit.problem])
    if not fits:
        fits = _different([other for fit in near if (other := but_for_heads(fit))])
    fits = [fit for fit in fits if fit.place == key] or fits if key else fits
    if len(fits) == 1:
        return fits[0]
    if fits:
        names = ", ".join(fit.place or "what lies outermost" for fit in fits)
        raise TextonError(
            f"'{path}' holds {len(fits)} that fit, {names}: choose one, like "
            f"--weights '{path}{KEY_MARK}{fits[-1].place}'"
        )
    if not near:
        places = dict.fromkeys(fit.place for fit in every if fit.place)
        held = f": it has {some(list(places))}" if places else ", nor under any other name"
        raise TextonError(f"'{path}' holds nothing under '{key}'{held}")
    known = {name for naming in wanted for name in naming}
    nearest = max(near, key=lambda fit: len(known & fit.state.keys()))
    if checkpoint.otherwise and not known & nearest.state.keys():
        raise TextonError(checkpoint.otherwise)
    where = f" in its '{nearest.place}'" if nearest.place and not key else ""
    raise TextonError(f"'{weights}' {refused}{where}: {nearest.problem}")


def misfit(wanted: Mapping[str, Any], state: Mapping[str, Any], *, more: bool = False) -> str:
    """How a state dict differs from what a module's holds, in one line; empty if it fits.

    Args:
        more: whether other keys may lie beside those wanted.
    """
    named = differences(wanted, state, more=more)
    told = {what: list(keys.values()) for what, keys in named.items() if keys}
    return "; ".join(f"{len(keys)} {what} ({some(keys)})" for what, keys in told.items())


def differences(
    wanted: Mapping[str, Any], state: Mapping[str, Any], *, more: bool = False
) -> dict[str, dict[str, str]]:
    """The keys in which a state dict differs from what a module's holds, and what is told of each:
    by ``missing``, ``unexpected``, ``of the wrong shape``, ``of the wrong kind``."""
    tensors = {key: value for key, value in wanted.items() if isinstance(value, Tensor)}
    here = [(key, tensor, state[key]) for key, tensor in tensors.items() if key in state]
    return {
        "missing": {
            key: key for key in tensors if key not in state and not key.endswith(_COUNTERS)
        },
        "unexpected": {key: key for key in state if not more and key not in wanted},
        "of the wrong shape": {
            key: f"{key} is {_shape(given)} instead of {_shape(tensor)}"
            for key, tensor, given in here
            if not is_lazy(tensor) and given.shape != tensor.shape
        },
        "of the wrong kind": {
            key: f"{key} is {_dtype(given)} instead of {_dtype(tensor)}"
            for key, tensor, given in here
            if _kind(given) != _kind(tensor) and not key.endswith(_COUNTERS)
        },
    }


def _fits(
    place: str, state: Mapping[str, Any], wanted: Mapping[str, Any], more: bool
) -> Iterator[Fit]:
    """A state dict under every prefix that gives a name wanted, as it is and without wrappers."""
    state = {x: v for x, v in state.items() if x in wanted or not x.endswith(_COUNTERS[1])}
    anchors = [key for key in wanted if not key.endswith(_COUNTERS)]
    anchors = [anchors[index] for index in (0, len(anchors) // 2, -1)] if anchors else []
    marked = any(part in MARKS for key in (*state, *wanted) for part in key.split("."))
    for name_of in (str, bare) if marked else (str,):
        names = {name_of(key): key for key in wanted}
        ends = [name_of(key) for key in anchors]
        prefixes = {"": None} | {
            key.removesuffix(end): None
            for key in map(name_of, state)
            for end in ends
            if f".{key}".endswith(f".{end}")
        }
        for prefix in prefixes:
            under = {key: name for key in state if (name := name_of(key)).startswith(prefix)}
            inner = {key: name[len(prefix) :] for key, name in under.items()}
            taken = {
                names.get(name, name): state[key]
                for key, name in inner.items()
                if _is_taken(state[key], wanted.get(names.get(name, "")))
            }
            left = [key for key in state if key not in under and isinstance(state[key], Tensor)]
            said = _said(place, prefix, under, left)
            at = ".".join(part for part in (place, bare(prefix).strip(".")) if part)
            yield Fit(taken, at, said, misfit(wanted, taken, more=more))


def _said(place: str, prefix: str, under: Mapping[str, str], left: Sequence[str]) -> str:
    """``state_dict, 'model.' taken off its keys, 2 others left out (loss.weight, …)``."""
    marks = {x: None for key, name in under.items() if key != name for x in key.split(".")}
    removed = [f"{mark}." for mark in marks if mark in MARKS] + ([prefix] if prefix else [])
    told = [place] if place else []
    told += [f"{' and '.join(map(repr, removed))} taken off its keys"] if removed else []
    told += [f"{len(left)} beside it left out ({some(left)})"] if left else []
    return ", ".join(told)


def _is_taken(value: Any, wanted: Any) -> bool:
    """Whether it is a tensor, or what a module asks to have saved beside its tensors."""
    beside = wanted is not None and not isinstance(wanted, Tensor) and not is_inert(value)
    return isinstance(value, Tensor) or beside


def _different(fits: Sequence[Fit]) -> list[Fit]:
    """Without those that hold the same numbers as one before: a checkpoint may have them twice."""
    kept: list[Fit] = []
    for fit in fits:
        if not any(_same(fit.state, other.state) for other in kept):
            kept.append(fit)
    return kept


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return one.keys() == other.keys() and all(
        isinstance(value, Tensor) and value.dtype == other[key].dtype and value.equal(other[key])
        for key, value in one.items()
    )


def _kind(tensor: Tensor) -> str:
    """What a copy may not cross: it would drop imaginary parts, or take codes for weights."""
    if tensor.is_quantized:
        return "quantised"
    return "complex" if tensor.is_complex() else "real" if tensor.is_floating_point() else "whole"


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _shape(tensor: Tensor) -> str:
    return "×".join(map(str, tensor.shape)) or "a number"


def some(names: Sequence[str]) -> str:
    """The first of them, for a line."""
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
