"""What a module does to an image before its first layer, as is seen there."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from texton.network.forward import undisturbed
from texton.network.wrappers import copy_module

SIDES = (64, 224, 32, 96, 128, 299, 384, 28)
_FIRST = (nn.Conv2d, nn.BatchNorm2d)
_DARK, _LIGHT = 0.25, 0.75
_NEAR = 1e-3
_STEP = 1 / 255  # what rounding to 8 bits may shift, and twice that stretch
_SAID = ("image_size", "img_size", "input_size")  # by a module, of the images that it takes
_LARGEST = 1024

Size = tuple[int, int]


@dataclass(frozen=True)
class Inside:
    """How a module takes images (B, C, H, W), found by showing it a dark one and a light one.

    Attributes:
        channels: of images that its first convolution, or batch norm, takes.
        mean, std: per channel, where it maps x to (x − mean) / std itself before that; None
            where it leaves images as they are, or nobody can say.
    """

    channels: int
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None

    @property
    def normalises(self) -> bool:
        return self.mean is not None

    @property
    def takes_bytes(self) -> bool:
        """Whether its own numbers are of images whose white is 255."""
        return self.std is not None and median(map(abs, self.std)) > 2

    def __str__(self) -> str:
        shown = [" ".join(f"{x:.3g}" for x in _once(many or ())) for many in (self.mean, self.std)]
        return f"normalises images itself (mean {shown[0]}, std {shown[1]})"


def look_inside(module: nn.Module, tried: Iterable[int] = ()) -> Inside | None:
    """What the first layer is given of an image; None where the module has none that can be asked.

    The module stays as it is: a copy that shares its weights is run, as far as that layer.

    Args:
        tried: numbers of channels that are tried first, then what its convolutions take.
    """
    try:
        copied = sharing_weights(module)
    except Exception:  # noqa: BLE001 - a stranger's module; who copies it in earnest tells why
        return None
    widths = [width for part in copied.modules() if (width := _width(part))]
    if not widths:
        return None
    for channels in dict.fromkeys([*tried, widths[0], 3, 1]):
        for size in [*said_sizes(module), *((side, side) for side in SIDES)]:
            dark, light = (_entering(copied, channels, size, x) for x in (_DARK, _LIGHT))
            if dark is not None and light is not None:
                return _compared(channels, dark, light)
    return None


def _compared(channels: int, dark: Tensor, light: Tensor) -> Inside:
    if dark.shape[1] != channels or light.shape != dark.shape:
        return Inside(channels)
    # the median: what is padded, or folded at the edges, is not the image
    low, high = (x[0].flatten(1).double().median(1).values for x in (dark, light))
    scale = (high - low) / (_LIGHT - _DARK)
    shift = low - scale * _DARK
    if not bool((scale.isfinite() & shift.isfinite() & (scale.abs() > 1e-6)).all()):
        return Inside(channels)  # each image by its own mean and deviation, or nothing of it
    if bool(((scale - 1).abs() < 2 * _STEP).all() and (shift.abs() < _STEP).all()):
        return Inside(channels)
    shift = torch.where(shift.abs() < _NEAR, torch.zeros_like(shift), shift)
    return Inside(channels, tuple((-shift / scale).tolist()), tuple((1 / scale).tolist()))


def said_sizes(module: nn.Module) -> Iterator[Size]:
    """What a module or its configuration says of the size of its images."""
    parts = [module, *module.modules()]
    for part in (getattr(module, "config", None), *parts):
        for key in _SAID:
            said = getattr(part, key, None)
            sides = said if isinstance(said, (tuple, list)) else (said,)
            if sides and all(isinstance(x, int) and 1 < x <= _LARGEST for x in sides[-2:]):
                yield sides[-2:][0], sides[-1]
                return


class _Reached(BaseException):
    """The first layer has its image: not for a module that catches every Exception."""


def _entering(module: nn.Module, channels: int, size: Size, value: float) -> Tensor | None:
    """What the first layer gets of a plain image, where it gets what it takes."""
    entered: list[tuple[nn.Module, Tensor]] = []

    def hook(part: nn.Module, args: tuple[Any, ...]) -> None:
        if args and isinstance(args[0], Tensor):
            entered.append((part, args[0]))
            raise _Reached

    parts = [part for part in module.modules() if isinstance(part, _FIRST)]
    handles = [part.register_forward_pre_hook(hook) for part in parts]
    try:
        with undisturbed(), warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # a run beside those that are told of
            module(torch.full((1, channels, *size), value))
    except (_Reached, Exception):  # noqa: BLE001 - another size or number of channels may do
        pass
    finally:
        for handle in handles:
            handle.remove()
    if not entered:
        return None
    part, image = entered[0]
    image = image.real if image.is_complex() else image
    return image if image.ndim == 4 and image.shape[1] == _width(part) else None


def _width(part: nn.Module) -> int:
    """How many channels a first layer takes; 0 for any other module."""
    if isinstance(part, nn.Conv2d):
        return part.in_channels
    return part.num_features if isinstance(part, nn.BatchNorm2d) else 0


def sharing_weights(module: nn.Module) -> nn.Module:
    """A copy in evaluation mode with the same weights, buffers of its own, and nobody's hooks."""
    held = {id(x): x for part in module.modules() for x in vars(part).values() if _is_tensor(x)}
    memo: dict[int, Any] = held | {id(x): x for x in module.parameters()}
    copied = copy_module(module, memo | {id(x): x.detach().clone() for x in module.buffers()})
    for part in copied.modules():
        for hooks in (part._forward_hooks, part._forward_pre_hooks):
            for key in [key for key, hook in hooks.items() if not _is_torchs(hook)]:
                del hooks[key]
    return copied.eval()


def _is_tensor(value: Any) -> bool:
    return isinstance(value, Tensor)


def _is_torchs(hook: Any) -> bool:
    """Whether a hook belongs to the module: weight norm, spectral norm and pruning are such."""
    home = getattr(hook, "__module__", None) or type(hook).__module__
    return home.partition(".")[0] == "torch"


def _once(values: tuple[float, ...]) -> tuple[float, ...]:
    """One number where all are nearly the same."""
    if values and max(values) - min(values) < _NEAR * max(map(abs, values)):
        return values[:1]
    return values
