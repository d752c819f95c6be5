"""A chain of modules run as one function, its gradient written by hand.

Calling modules, looking for hooks and building a graph cost the same for a small picture as for a
large one: a tenth of a shallow layer's step at 128 pixels a side, where the processor multiplies
fast. A chain does without.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from texton.network.fast.convolution import LARGE, LeanConv2d
from texton.network.fast.modules import LeanAvgPool2d, LeanReLU, LeanSequential
from texton.network.fast.rectified import is_rectified, mark_rectified, mark_spare, rectified_slope
from texton.network.hooks import Collected, has_slope, is_looked_into

_LAST = torch.channels_last


class Chain:
    """Images in, codes out, of a frozen network's copy on a CPU, channels last.

    The gradient of a pass can be taken once: what it needs is given back as it is used, and the
    last code may be written over by its own slope.

    Args:
        links: what is done to an image, one after the other.
        taken: the keys of the codes to give, by how many links come before them.
        prepare: (B, C, H, W) in [0, 1] → what enters the first link.
        scale: by how much ``prepare`` multiplies, for its gradient.
    """

    def __init__(
        self,
        links: Sequence[Link],
        taken: dict[int, list[str]],
        prepare: Callable[[Tensor], Tensor],
        scale: Tensor,
    ) -> None:
        self.links, self.prepare, self.scale = list(links), prepare, scale
        self.taken = sorted(taken.items())

    def __call__(self, image: Tensor) -> dict[str, Tensor]:
        codes: tuple[Tensor, ...]
        if has_slope(image):
            codes = _Pass.apply(image, self)
        else:
            with torch.no_grad():
                codes = tuple(self.codes(image, None))
        found = {}
        for (after, keys), code in zip(self.taken, codes, strict=True):
            if after and self.links[after - 1].rectifies:
                mark_rectified(code)
            if after == len(self.links):
                mark_spare(code)
            found.update(dict.fromkeys(keys, code))
        return found

    def codes(self, image: Tensor, kept: list[Any] | None) -> Iterator[Tensor]:
        """The codes taken; ``kept`` is filled with what the links' gradients need."""
        x = self.prepare(image)
        wanted = {after for after, _ in self.taken}
        if 0 in wanted:
            yield x
        for index, link in enumerate(self.links):
            x, memory = link.run(x, kept is not None)
            if kept is not None:
                kept.append(memory)
            if index + 1 in wanted:
                yield x

    def slope(self, slopes: Sequence[Tensor | None], kept: list[Any]) -> Tensor | None:
        """The gradient to the image, from those to the codes taken."""
        given = {after: slope for (after, _), slope in zip(self.taken, slopes, strict=True)}
        slope: Tensor | None = None
        is_ours = False  # whether it may be written over
        for index in range(len(self.links), -1, -1):
            outer = given.get(index)
            if outer is not None:
                outer = outer if slope is None else outer + slope
                is_ours, slope = slope is not None, outer
            if not index:
                break
            memory = kept.pop()
            if slope is not None:
                slope = self.links[index - 1].back(slope, memory, is_ours)
                is_ours = True
        return None if slope is None else slope.float() * self.scale


class Link(Protocol):
    """One thing that a chain does, and its gradient."""

    rectifies: bool

    def run(self, x: Tensor, keeps: bool) -> tuple[Tensor, Any]:
        """The code, and what the gradient needs of the pass if it ``keeps``.

        That is not the code itself as it is given, which knows its graph.
        """
        ...

    def back(self, slope: Tensor, kept: Any, is_ours: bool) -> Tensor:
        """The gradient to what entered; ``slope`` may be written over where it is ours."""
        ...


class Convolve:
    """A convolution, and the rectifier that follows it."""

    def __init__(self, part: LeanConv2d, rectifies: bool) -> None:
        self.part, self.rectifies = part, rectifies

    def run(self, x: Tensor, keeps: bool) -> tuple[Tensor, Any]:
        code = self.part.product(x, self.rectifies)
        return code, (x.shape, _Mask.of(code) if keeps and self.rectifies else None)

    def back(self, slope: Tensor, kept: Any, is_ours: bool) -> Tensor:
        shape, mask = kept
        if mask is not None:
            slope = mask.rectified(slope, is_ours)
        return self.part.slope(slope.contiguous(memory_format=_LAST), shape, _LAST)


class Rectify:
    """A rectifier whose input is taken as well, or that follows no convolution."""

    rectifies = True

    def run(self, x: Tensor, keeps: bool) -> tuple[Tensor, Any]:
        code = torch.relu(x)
        return code, _Mask.of(code) if keeps else None

    def back(self, slope: Tensor, kept: Any, is_ours: bool) -> Tensor:
        rectified: Tensor = kept.rectified(slope, is_ours)
        return rectified


class Average:
    """Average pooling."""

    rectifies = False

    def __init__(self, part: LeanAvgPool2d) -> None:
        self.part = part

    def run(self, x: Tensor, keeps: bool) -> tuple[Tensor, Any]:
        return nn.AvgPool2d.forward(self.part, x), x.shape

    def back(self, slope: Tensor, kept: Any, is_ours: bool) -> Tensor:
        return self.part.slope(slope, kept, _LAST)


class Largest:
    """Max pooling, by torch's own gradient."""

    rectifies = False

    def __init__(self, part: nn.MaxPool2d) -> None:
        self.part = part

    def run(self, x: Tensor, keeps: bool) -> tuple[Tensor, Any]:
        with torch.set_grad_enabled(keeps):
            x = x.detach().requires_grad_(keeps)
            code: Tensor = self.part(x)
        return code.detach(), (x, code) if keeps else None

    def back(self, slope: Tensor, kept: Any, is_ours: bool) -> Tensor:
        x, code = kept
        inner: Tensor = torch.autograd.grad(code, x, slope)[0]
        return inner


class _Pass(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, image: Tensor, chain: Chain) -> tuple[Tensor, ...]:
        ctx.set_materialize_grads(False)
        kept: list[Any] = []
        codes = tuple(chain.codes(image, kept))
        ctx.chain, ctx.kept, ctx.device = chain, kept, image.device
        return codes

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *slopes: Tensor | None) -> tuple[Tensor | None, None]:
        if len(ctx.kept) < len(ctx.chain.links):
            raise RuntimeError("the gradient of this pass has been taken: encode the image again")
        slope = ctx.chain.slope(slopes, ctx.kept)
        return None if slope is None else slope.to(ctx.device), None


def chain_of(
    module: nn.Module,
    wanted: Sequence[Collected],
    prepare: Callable[[Tensor], Tensor],
    scale: Tensor,
) -> Chain | None:
    """A frozen module as a chain up to the last code wanted.

    None where it is no plain sequence of convolutions, rectifiers and pools, where somebody looks
    into it, or where nothing is wanted.
    """
    parts: list[nn.Module] = []
    spans: dict[str, tuple[int, int]] = {}
    _lay_out(module, "", parts, spans)
    if not wanted or any(item.call != 1 or item.module not in spans for item in wanted):
        return None
    places = {item.key: spans[item.module][not item.of_input] for item in wanted}
    parts = parts[: max(places.values())]
    if len(set(parts)) < len(parts) or not all(map(_is_known, parts)):
        return None
    links: list[Link] = []
    taken: dict[int, list[str]] = {}
    index = 0
    while True:
        here = [key for key, place in places.items() if place == index]
        if here:
            taken.setdefault(len(links), []).extend(here)
        if index == len(parts):
            return Chain(links, taken, prepare, scale)
        part, then = parts[index], parts[index + 1 : index + 2]
        index += 1
        if isinstance(part, LeanConv2d):
            ends_here = index in places.values()
            rectifies = not ends_here and any(isinstance(part, LeanReLU) for part in then)
            links.append(Convolve(part, rectifies))
            index += rectifies
        elif isinstance(part, LeanReLU):
            links.append(Rectify())
        elif isinstance(part, LeanAvgPool2d):
            links.append(Average(part))
        elif isinstance(part, nn.MaxPool2d):
            links.append(Largest(part))
        # what is left, Dropout and Identity, does nothing


def _lay_out(
    module: nn.Module, name: str, parts: list[nn.Module], spans: dict[str, tuple[int, int]]
) -> None:
    """A module's parts in order, and from which to which each of its sequences runs."""
    start = len(parts)
    if type(module) is LeanSequential and not is_looked_into(module):
        for inner, part in module._modules.items():
            assert part is not None
            _lay_out(part, f"{name}.{inner}" if name else inner, parts, spans)
    else:
        parts.append(module)
    spans[name] = start, len(parts)


def _is_known(part: nn.Module) -> bool:
    if is_looked_into(part) or part.training:
        return False
    if isinstance(part, LeanConv2d):
        return part.is_plain()
    if type(part) is nn.MaxPool2d:
        return not part.return_indices
    return type(part) in (LeanReLU, LeanAvgPool2d, nn.Identity, nn.Dropout)


class _Mask(NamedTuple):
    """Where a rectified code is alive: itself, or of a large one a byte of every element."""

    tensor: Tensor
    version: int

    @classmethod
    def of(cls, code: Tensor) -> _Mask:
        tensor = code.bool() if code.numel() >= LARGE else code.detach()
        return cls(tensor, tensor._version)

    def rectified(self, slope: Tensor, is_ours: bool) -> Tensor:
        """The slope to what entered the rectifier, written over that to its code if it is ours."""
        if is_rectified(slope):
            return slope
        if self.tensor._version != self.version:
            raise RuntimeError("a code was written to before its gradient was taken: copy it first")
        is_ours = is_ours and slope.is_contiguous(memory_format=_LAST)
        slope = slope.contiguous(memory_format=_LAST)
        return rectified_slope(slope, self.tensor, slope if is_ours else None)
