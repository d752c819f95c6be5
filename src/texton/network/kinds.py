"""What single modules are: their kind, and what they do to stride and receptive field."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from texton.network.fast.modules import USUAL

RECTIFIERS = (
    *(nn.ReLU, nn.Hardtanh, nn.GELU, nn.SiLU, nn.Hardswish, nn.ELU, nn.LeakyReLU, nn.Mish),
    *(nn.PReLU, nn.SELU, nn.CELU, nn.Softplus, nn.Threshold, nn.Hardsigmoid, nn.Sigmoid),
)
POOLS = (nn.AvgPool2d, nn.MaxPool2d)
ELEMENTWISE = (*RECTIFIERS, nn.BatchNorm2d, nn.Dropout, nn.Dropout2d, nn.Identity)


def describe_output(output: Any) -> str:
    if isinstance(output, Tensor):
        return f"a tensor of {'×'.join(map(str, output.shape)) or 'no'} values"
    kind = type(output).__name__
    if isinstance(output, Mapping):
        return f"a {kind} with the keys {', '.join(map(str, output))}"
    return f"a {kind} of {len(output)}" if isinstance(output, (tuple, list)) else f"a {kind}"


def geometry_after(part: nn.Module, entering: tuple[int, int] | None) -> tuple[int, int] | None:
    """(receptive field, stride) after a module, from those before it; None if not known."""
    if entering is None:
        return None
    field, stride = entering
    if isinstance(part, (nn.Conv2d, *POOLS)):
        kernel = _largest(part.kernel_size)
        dilation = _largest(getattr(part, "dilation", 1))
        return field + (kernel - 1) * dilation * stride, stride * step_of(part)
    return entering if isinstance(part, ELEMENTWISE) else None


def step_of(part: Any) -> int:
    return _largest(part.stride if part.stride is not None else part.kernel_size)


def _largest(value: Any) -> int:
    return max(value) if isinstance(value, (tuple, list)) else int(value)


def kind_of(part: nn.Module) -> str:
    if isinstance(part, nn.Conv2d):
        return "conv"
    if isinstance(part, POOLS):
        return "pool"
    return USUAL.get(type(part), type(part)).__name__
