"""Networks that others made: a hub's, a file's, a function's, a module in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from torch import nn

from texton.errors import TextonError
from texton.network.hubs import from_timm, from_torchvision
from texton.network.hugging_face import from_transformers
from texton.network.onnx_file import from_onnx
from texton.network.told import Source, described, random_seed
from texton.network.user_file import from_file
from texton.network.weights import load_weights
from texton.network.wrappers import copy_module, unwrapped

SCHEMES: dict[str, Callable[[str, str, str, int | None], Source]] = {
    "torchvision": from_torchvision,
    "timm": from_timm,
    "transformers": from_transformers,
}


def from_spec(spec: str, weights: str | Path | None) -> Source | None:
    """``torchvision:NAME[@weights|@random]``, ``timm:…``, ``transformers:…``, ``onnx:FILE``,
    ``file.py:function``.

    ``@random7`` draws the random weights with seed 7; ``@random`` is ``@random0``.

    Returns:
        None where the text has none of these forms.

    Raises:
        TextonError: a package, architecture, file or function that is not there, one that
            fails, weights that cannot be had or do not fit.
    """
    scheme, colon, rest = spec.rpartition(":")
    if colon and scheme.endswith(".py"):
        return _loaded(from_file(spec, Path(scheme), rest), weights)
    scheme, colon, rest = spec.partition(":")
    if not colon:
        return None
    if scheme == "onnx":
        return _loaded(from_onnx(spec, rest), weights)
    if scheme not in SCHEMES:
        return None
    name, tag = _split(rest)
    if tag and weights is not None:
        raise TextonError(f"'{spec}' names weights and so does --weights: leave one of them out")
    if weights is not None:
        tag = "random0"
    source = SCHEMES[scheme](spec, name, tag, random_seed(tag))
    if weights is not None:
        return _loaded(replace(source, name=f"{scheme}:{name}"), weights)
    return source


def _split(rest: str) -> tuple[str, str]:
    """``NAME@TAG`` as its two parts; a folder's name may have the character in it."""
    name, at, tag = rest.rpartition("@")
    return (name, tag) if at and not Path(rest).exists() else (rest, "")


def from_module(module: nn.Module, weights: str | Path | None = None) -> Source:
    """A module as it is; its own ``mean``, ``std``, ``input_range``, ``channels`` are honoured."""
    module = unwrapped(module)
    source = described(module, type(module).__name__, {})
    if weights is not None:  # into a copy: the module is the caller's
        source = Source(copy_module(module), source.name, source.preprocessing, source.details)
    return _loaded(source, weights)


def _loaded(source: Source, weights: str | Path | None) -> Source:
    if weights is None:
        return source
    found = load_weights(source.module, weights, source.name)
    details = {**source.details, **found}
    return Source(source.module, source.name, source.preprocessing, details)
