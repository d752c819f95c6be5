"""What is tried of a network once, on a small image, before pictures are made of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from texton.errors import TextonError, first_line
from texton.network.device import Compute, is_out_of_memory
from texton.network.forward import Habits
from texton.network.frozen import cast, is_plain
from texton.network.hooks import Collected, collect
from texton.network.layers import Layer, Size, Trace

Encoded = dict[str, Tensor]
Encode = Callable[[Tensor], Encoded]


class Tried(Protocol):
    """What a network gives to be tried: see `network.Network`."""

    module: nn.Module
    name: str
    channels: int

    @property
    def layers(self) -> Mapping[str, Layer]: ...

    @property
    def trial_size(self) -> Size: ...

    def copied(self) -> nn.Module: ...

    def prepare(self, image: Tensor, compute: Compute) -> Tensor: ...

    def encode(self, image: Tensor, layers: list[str] | str, compute: Compute) -> Encoded: ...

    def encoder(self, layers: str, compute: Compute, module: nn.Module | None = None) -> Encode: ...


_CPU = Compute(torch.device("cpu"))
_SAME = 0.01  # of a code's norm: how far one image's code may be off beside another
_CAST = 0.05  # by how much a code of 16 bits may be off
_CAST_FINER = 1e-3


def suit(network: Tried, compute: Compute, asked: bool, habits: Habits) -> Compute:
    """See `Network.suited`."""
    if compute.dtype != torch.float32:
        compute = _taken(network, compute, asked)
    if compute.batch > 1 and (habits.draws or _mixes(network, compute.exact())):
        compute = replace(compute, alone=True)
    return compute


def remarks_on(network: Tried, habits: Habits, hooks_left_out: bool) -> tuple[str, ...]:
    """See `Network.remarks`."""
    if is_plain(network.module):
        return ()
    last, image = list(network.layers)[-1], _image(network, 1)
    found: list[str] = []
    if hooks_left_out:
        found.append("has hooks of its own: texton leaves them out, with what they change in codes")
    with torch.no_grad(), suppress(TextonError):
        if _differ(network.encoder(last, _CPU), image):
            found.append(
                "gives other codes each time: the same seed does not give the same picture"
            )
        elif habits.draws:
            found.append(
                "draws or seeds random numbers in its forward: every forward is given the same ones"
            )
        if _remembers(network, last, image, habits):
            found.append(
                "keeps something of its images: each is given to it as if it were the first"
            )
    return tuple(found)


def _differ(encode: Encode, image: Tensor) -> bool:
    """Whether an image has other codes the second time; NaN is as NaN."""
    first, again = (next(iter(encode(image).values())) for _ in range(2))
    return not torch.allclose(first, again, rtol=0, atol=0, equal_nan=True)


def _remembers(network: Tried, last: str, image: Tensor, habits: Habits) -> bool:
    """Whether what its forward keeps changes the next image's codes."""
    parts, habits.remembers = habits.remembers, set()
    try:
        copied = cast(network.copied(), _CPU)
        return bool(parts) and _differ(network.encoder(last, _CPU, copied), image)
    finally:
        habits.remembers = parts


def ceilings(network: Tried) -> dict[str, Tensor]:
    """(C,), the most that each filter gives however strong the image, of the layers that saturate.

    ReLU6, a sigmoid and what is computed of them do: noise far beyond black and white, of several
    grains, reaches their ends, where a rectifier gives more for a stronger image.
    """
    names = list(network.layers)
    found: list[dict[str, Tensor]] = []
    for grain, strength in ((1, 1e3), (1, 1e5), (4, 1e5), (16, 1e5)):
        image = _image(network, 1, grain) - 0.5
        try:
            with torch.no_grad():
                codes = network.encode(strength * image + 0.5, names, _CPU)
        except TextonError:  # one that does not take such an image
            return {}
        found.append({name: code.amax((0, 2, 3)) for name, code in codes.items()})
    some, more, *_ = found
    return {
        name: torch.stack([most[name] for most in found]).amax(0)
        for name in names
        if float(more[name].max()) <= 1.01 * float(some[name].max()) < torch.inf
    }


def check_cast(network: Tried, trace: Trace, habits: Habits) -> None:
    """Raise a TextonError where a module that is not in float32 gives other codes in it.

    Of one that draws numbers nobody can tell: those of another dtype are others.
    """
    module = network.module
    tensors = (*module.parameters(), *module.buffers())
    dtypes = {x.dtype for x in tensors if x.is_floating_point() or x.is_complex()}
    if dtypes <= {torch.float32} or habits.draws:
        return
    own = next((x.dtype for x in tensors if x.is_floating_point()), torch.float32)
    last = list(trace.layers)[-1]
    wanted = [Collected.parse(last, "<")]
    image = torch.rand((1, network.channels, *trace.size), generator=_drawn())

    def code(module: nn.Module, compute: Compute) -> Tensor:
        prepared = network.prepare(image, compute)
        with torch.no_grad(), habits.kept(module, compute.device, slopes=False):
            return collect(module, prepared, wanted, set())[0][last].double()

    try:
        as_it_is = code(network.copied(), replace(_CPU, dtype=own))
    except Exception:  # noqa: BLE001 - a processor may not convolve 16 bits: nobody can tell
        return
    as_cast = code(cast(network.copied(), _CPU), _CPU)
    off = float((as_cast - as_it_is).norm() / as_it_is.norm().clamp_min(1e-12))
    if not off <= (_CAST if own.itemsize < 4 else _CAST_FINER):
        raise TextonError(
            f"{network.name} gives other codes in float32 than in its own {_short(own)} ('{last}' "
            f"is {off:.0%} off): give it in float32, `module.float()`"
        )


def _taken(network: Tried, compute: Compute, asked: bool) -> Compute:
    """``compute``, or in float32 where the network fails in its dtype and not in float32."""
    if is_plain(network.module) and not _is_complex(network.module) and not asked:
        return compute
    reason = _failure(network, compute)
    if not reason or _failure(network, compute.exact()):
        return compute
    if asked:
        raise TextonError(
            f"{network.name} cannot be computed in {_short(compute.dtype)} ({reason}): "
            "use --dtype float32, or auto"
        )
    return replace(compute.exact(), because=f"{_short(compute.dtype)} fails: {reason}")


def _failure(network: Tried, compute: Compute) -> str:
    """Why the network gives no codes, or no gradient, in a format; nothing where it does."""
    last, image = list(network.layers)[-1], _image(network, 1).to(compute.device)
    try:
        with torch.enable_grad(), compute.arithmetic():
            code = network.encode(image.requires_grad_(), last, compute)[last]
            (slope,) = torch.autograd.grad(code.float().square().mean(), image)
    except Exception as error:  # noqa: BLE001 - a stranger's module may raise anything
        cause = error.__cause__ or error
        return "" if is_out_of_memory(cause) else first_line(cause)
    finite = bool(code.isfinite().all() and slope.isfinite().all())
    return "" if finite else "its numbers are too large"


def _mixes(network: Tried, compute: Compute) -> bool:
    """Whether an image's code depends on the images beside it."""
    bare = [
        x
        for x in network.module.modules()
        if isinstance(x, _BatchNorm) and not x.track_running_stats
    ]
    if is_plain(network.module) and not bare:
        return False
    last, images = list(network.layers)[-1], _image(network, 2).to(compute.device)
    with torch.no_grad(), suppress(TextonError):
        together = network.encode(images, last, compute)[last]
        alone = network.encode(images[:1], last, compute)[last]
        return not float((together[:1] - alone).norm()) <= _SAME * float(alone.norm())
    return False


def _image(network: Tried, count: int, grain: int = 1) -> Tensor:
    """Noise of squares of ``grain`` pixels."""
    size = network.trial_size
    small = [max(1, side // grain) for side in size]
    drawn = torch.rand((count, network.channels, *small), generator=_drawn())
    return drawn if grain == 1 else F.interpolate(drawn, size)


def _drawn() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def _is_complex(module: nn.Module) -> bool:
    return any(x.is_complex() for x in (*module.parameters(), *module.buffers()))


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
