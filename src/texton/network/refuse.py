"""Modules that texton can do nothing with, named for what they are, with what to give instead."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from texton.errors import TextonError

_QUANTISED = ("torch.ao.nn.quantized", "torch.ao.nn.intrinsic.quantized", "torch.nn.quantized")
_OTHER_IMAGES = (
    (("Conv1d", "ConvTranspose1d"), "signals (B, C, L)", "x.flatten(2)"),
    (("Conv3d", "ConvTranspose3d"), "volumes (B, C, D, H, W)", "x[:, :, None]"),
)


def check_usable(module: nn.Module, name: str) -> None:
    """Raise a TextonError where a module has no weights, or none that a gradient passes."""
    if where := next(_where(module, lambda tensor: is_lazy(tensor)), None):
        raise TextonError(
            f"{name} was never run: {where} takes its shape from a first image. Run it once, "
            "`module(torch.zeros(1, 3, 224, 224))`, before it is given to texton"
        )
    if where := next(_where(module, lambda tensor: tensor.is_meta), None):
        raise TextonError(
            f"{name} is on the meta device, where {where} has a shape and no values: make it on "
            "the CPU, or `module.to_empty(device='cpu')` and then `module.load_state_dict(…)`"
        )
    if where := next(_quantised(module), None):
        raise TextonError(
            f"{name} is quantised to whole numbers ({where}), through which no gradient passes: "
            "give the floating-point network that it was made from"
        )


def why_not(module: nn.Module, reason: str) -> str:
    """What keeps a module from being run on an image, where it is known what it is; the reason
    that it gave itself elsewhere."""
    kinds = [type(part).__name__.removeprefix("Lazy") for part in module.modules()]
    convolves = next((kind for kind in kinds if kind.startswith("Conv")), "")
    for names, images, wrapped in _OTHER_IMAGES:
        if convolves in names:
            return (
                f"it is a network of {images}, its first convolution an nn.{convolves}, and texton "
                f"shows networks of images (B, C, H, W): {_wrapper('self.net(' + wrapped + ')')}"
            )
    if more := _further_inputs(module):
        told = ", ".join(f"{one}=…" for one in more)
        return (
            f"its forward also takes {', '.join(more)}, and texton gives it an image alone: "
            f"{_wrapper(f'self.net(x, {told})')}"
        )
    return reason


def _where(module: nn.Module, is_so: object) -> Iterator[str]:
    assert callable(is_so)
    for part_name, part in module.named_modules():
        for name, tensor in (*part._parameters.items(), *part._buffers.items()):
            if isinstance(tensor, Tensor) and is_so(tensor):
                yield f"'{part_name or name}' ({type(part).__name__})"


def _quantised(module: nn.Module) -> Iterator[str]:
    for name, part in module.named_modules():
        if (
            type(part).__module__.startswith(_QUANTISED)
            or "LinearPackedParams" in type(part).__name__
        ):
            yield f"'{name}' is a {type(part).__name__}"
    yield from _where(module, lambda tensor: not is_lazy(tensor) and tensor.is_quantized)


def _further_inputs(module: nn.Module) -> list[str]:
    """What a forward must be given beside its first input."""
    try:
        parameters = list(inspect.signature(module.forward).parameters.values())
    except (TypeError, ValueError):
        return []
    needed = [p.name for p in parameters if p.default is p.empty and p.kind not in (2, 4)]
    return needed[1:]


def _wrapper(call: str) -> str:
    return (
        "wrap it, `class Alone(nn.Module):` / `def __init__(self, net): super().__init__(); "
        f"self.net = net` / `def forward(self, x): return {call}`"
    )
