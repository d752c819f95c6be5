"""Rectifiers whose slope follows a rule, in whatever form a network calls them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

Rule = Literal["deconv", "guided", "gradient", "template"]
RULES: tuple[str, ...] = get_args(Rule)
BY_SLOPE = ("deconv", "guided", "template")  # let only slopes above 0 pass
BY_INPUT = ("guided", "gradient")  # let only what was active pass
_BENT = frozenset(
    {"gelu", "silu", "hardswish", "elu", "celu", "selu", "leaky_relu", "mish", "prelu", "rrelu"}
    | {"softplus", "hardtanh", "softsign", "tanhshrink", "softshrink", "hardshrink"}
)


class _Rectified(torch.autograd.Function):
    """x between 0 and ``top``; its slope by a rule."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, top: float, rule: str) -> Tensor:
        ctx.rule = rule
        if rule in BY_INPUT:
            ctx.save_for_backward((x > 0) & (x < top))
        return x.clamp(0, top)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, None, None]:
        (slope,) = slopes
        if ctx.rule in BY_SLOPE:
            slope = slope.clamp_min(0)
        if ctx.rule in BY_INPUT:
            slope = slope * ctx.saved_tensors[0]
        return slope, None, None


class Ruled(TorchFunctionMode):
    """Rectifiers, of modules and written as functions, take a rule; others are noted."""

    def __init__(self, rule: str) -> None:
        super().__init__()
        self.rule = rule
        self.rectified = self.convolved = 0
        self.bent: set[str] = set()

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        name = getattr(function, "__name__", "")
        plain = name.strip("_")
        top = _top(plain, args[1:], kwargs)
        if top is not None:
            self.rectified += 1
            x = args[0] if args else kwargs["input"]
            if name.endswith("_") or kwargs.get("inplace"):
                return x.copy_(_Rectified.apply(x.clone(), top, self.rule))
            return _Rectified.apply(x, top, self.rule)
        if plain in _BENT:
            self.bent.add(plain)
        self.convolved += plain == "conv2d"
        return function(*args, **kwargs)


def _top(name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> float | None:
    """Where a rectifier ends: infinity, 6 of ReLU6; None of what is no rectifier."""
    if name == "relu":
        return math.inf
    if name == "relu6":
        return 6.0
    names, usual = _BOUNDS.get(name, ((), ()))
    told = dict(zip(names, usual, strict=True))
    told |= dict(zip(names, args, strict=False)) | {k: kwargs[k] for k in names if k in kwargs}
    low, high = (*told.values(), None, None)[:2]
    if isinstance(low, (int, float)) and low == 0:
        if name == "threshold":
            return math.inf if high == 0 else None
        if high is None:
            return math.inf
        if isinstance(high, (int, float)) and high > 1:  # up to 1 an image is kept in its range
            return float(high)
    return None


# The names of a function's bounds and their defaults. A threshold's second is what it puts below.
_BOUNDS: Mapping[str, tuple[tuple[str, ...], tuple[Any, ...]]] = {
    "hardtanh": (("min_val", "max_val"), (-1.0, 1.0)),
    "clamp": (("min", "max"), (None, None)),
    "clip": (("min", "max"), (None, None)),
    "clamp_min": (("min",), (None,)),
    "threshold": (("threshold", "value"), (None, None)),
}
