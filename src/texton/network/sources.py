"""Networks that others made: a hub's, a file's, a function's, a module in memory."""

from __future__ import annotations

import copy
from pathlib import Path

from torch import nn

from texton.errors import TextonError
from texton.network.hubs import from_timm, from_torchvision
from texton.network.told import Source, described, random_seed
from texton.network.user_file import from_file
from texton.network.weights import load_weights

SCHEMES = ("torchvision", "timm")


def from_spec(spec: str, weights: str | Path | None) -> Source | None:
    """``torchvision:NAME[@weights|@random]``, ``timm:NAME[@random]``, ``file.py:function``.

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
    if scheme not in SCHEMES or not colon:
        return None
    name, _, tag = rest.partition("@")
    if tag and weights is not None:
        raise TextonError(f"'{spec}' names weights and so does --weights: leave one of them out")
    if weights is not None:
        tag = "random0"
    seed = random_seed(tag)
    make = from_torchvision if scheme == "torchvision" else from_timm
    source = make(spec, name, tag, seed)
    if weights is not None:
        return _loaded(Source(source.module, f"{scheme}:{name}", source.preprocessing), weights)
    return source


def from_module(module: nn.Module, weights: str | Path | None = None) -> Source:
    """A module as it is; its own ``mean``, ``std``, ``input_range``, ``channels`` are honoured."""
    source = described(module, type(module).__name__, {})
    if weights is not None:  # into a copy: the module is the caller's
        source = Source(copy.deepcopy(module), source.name, source.preprocessing, source.details)
    return _loaded(source, weights)


def _loaded(source: Source, weights: str | Path | None) -> Source:
    if weights is None:
        return source
    load_weights(source.module, weights, source.name)
    details = {**source.details, "weights": str(weights)}
    return Source(source.module, source.name, source.preprocessing, details)
