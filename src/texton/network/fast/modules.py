"""Modules of a frozen network that keep, of a large code, no more than the image's gradient takes.

torch's own keep a convolution's whole input, though its weights are not trained, and a
rectifier's whole output, of which the gradient asks only where it is positive.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from texton.network.fast.convolution import LARGE, LeanConv2d, format_of, pair
from texton.network.fast.rectified import rectified_in_place, rectified_slope
from texton.network.hooks import has_slope, is_looked_into, is_watched
from texton.network.marks import is_rectified, mark_rectified


class LeanReLU(nn.ReLU):
    """A rectifier that keeps a byte of every element of a large code."""

    def forward(self, input: Tensor) -> Tensor:
        if is_rectified(input):
            return input
        if input.numel() < LARGE or not has_slope(input) or input.device.type != "cpu":
            return super().forward(input)
        code: Tensor = _MaskedReLU.apply(input)
        return code


class LeanSequential(nn.Sequential):
    """A sequence in which a convolution rectifies by itself, where nobody looks in between.

    Of its slopes it runs stretches of several modules as one function: calling each, and a graph
    of them, cost the same for a small picture as for a large one.
    """

    def forward(self, input: Tensor) -> Tensor:
        parts = list(self)
        while parts:
            runs = has_slope(input) and input.device.type == "cpu"
            links = _unwatched(parts) if runs else []
            if len(links) > 1 and links[0].suits(input):
                done: list[Link] = []
                input = _Stretch.apply(input, links, done)
                if done[-1].rectifies:
                    mark_rectified(input)
                del parts[: sum(link.parts for link in done)]
                continue
            part, *parts = parts
            code = None
            if isinstance(part, LeanConv2d) and parts and isinstance(parts[0], LeanReLU):
                code = None if is_watched(parts[0]) else part.rectified(input)
            if code is not None:
                mark_rectified(code)  # for the rectifier, which is next
                input = code
            else:
                input = part(input)
        return input


class Link(NamedTuple):
    """A convolution, with the rectifier that follows it, or an average pool, in a stretch."""

    part: LeanConv2d | LeanAvgPool2d
    rectifies: bool
    parts: int  # how many modules it stands for

    def suits(self, x: Tensor) -> bool:
        if isinstance(self.part, LeanConv2d):
            return self.part.takes(x, self.rectifies)
        return True

    def run(self, x: Tensor) -> Tensor:
        if isinstance(self.part, LeanConv2d):
            return self.part.product(x, self.rectifies)
        return nn.AvgPool2d.forward(self.part, x)


def _unwatched(parts: Sequence[nn.Module]) -> list[Link]:
    """The links that a sequence begins with into which nobody looks; a rectifier is called, and
    finds nothing to do, where somebody sees what it gives."""
    links: list[Link] = []
    for part, then in itertools.zip_longest(parts, parts[1:]):
        if isinstance(part, LeanReLU) and links and links[-1].rectifies:
            if part._forward_hooks:
                break
            links[-1] = links[-1]._replace(parts=2)
        elif is_looked_into(part):
            break
        elif isinstance(part, LeanConv2d) and part.is_plain():
            links.append(Link(part, isinstance(then, LeanReLU) and not is_watched(then), 1))
        elif isinstance(part, LeanAvgPool2d):
            links.append(Link(part, False, 1))
        else:
            break
    return links


class LeanAvgPool2d(nn.AvgPool2d):
    """Average pooling that keeps nothing: its gradient asks for its input's shape only."""

    def forward(self, input: Tensor) -> Tensor:
        if not has_slope(input):
            return super().forward(input)
        pooled: Tensor = _AveragePool.apply(input, self)
        return pooled

    def slope(self, outer: Tensor, inside: torch.Size, layout: torch.memory_format) -> Tensor:
        """The gradient to an input of that shape and format, from that to the output."""
        down, across = pair(self.kernel_size)
        inner = torch.empty(inside, dtype=outer.dtype, device=outer.device, memory_format=layout)
        if not self._tiles(inner):
            rest = self.ceil_mode, self.count_include_pad, self.divisor_override
            kernel = (down, across), self._strides, pair(self.padding)
            slope: Tensor = torch.ops.aten.avg_pool2d_backward(outer, inner, *kernel, *rest)
            return slope
        share = (outer / (down * across)).permute(0, 2, 3, 1)
        count, rows, columns, channels = share.shape
        whole = inner.permute(0, 2, 3, 1).view(count, rows, down, columns, across, channels)
        whole.copy_(share[:, :, None, :, None].expand_as(whole))
        return inner

    @property
    def _strides(self) -> tuple[int, int]:
        return pair(self.stride or self.kernel_size)

    def _tiles(self, x: Tensor) -> bool:
        """Whether every value of its input is in exactly one average, and lies with its like."""
        kernel = pair(self.kernel_size)
        return (
            x.ndim == 4
            and x.device.type == "cpu"
            and self._strides == kernel
            and pair(self.padding) == (0, 0)
            and self.divisor_override is None
            and not any(side % step for side, step in zip(x.shape[2:], kernel, strict=True))
            and x.is_contiguous(memory_format=torch.channels_last)
        )


_LEAN: dict[type[nn.Module], type[nn.Module]] = {
    nn.Conv2d: LeanConv2d,
    nn.ReLU: LeanReLU,
    nn.AvgPool2d: LeanAvgPool2d,
    nn.Sequential: LeanSequential,
}
USUAL = {lean: usual for usual, lean in _LEAN.items()}  # what a lean kind stands for


def make_lean(module: nn.Module) -> None:
    """Change the kinds that have a lean form, in place; subclasses of them stay as they are.

    Their weights may not change any more.
    """
    for part in module.modules():
        part.__class__ = _LEAN.get(type(part), type(part))


class _Stretch(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, links: list[Link], done: list[Link]) -> Tensor:
        ctx.done, ctx.kinds = done, []
        kept = [x if is_rectified(x) else None]  # what each link's slope is masked by at its input
        for link in links:
            if done and not link.suits(x):
                break
            ctx.kinds.append((x.shape, format_of(x)))
            x = link.run(x)
            done.append(link)
            kept.append(x if link.rectifies else None)
        ctx.save_for_backward(*kept)
        return x

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        *kept, last = ctx.saved_tensors
        (slope,) = slopes
        is_masked = last is None or is_rectified(slope)
        slope = slope.contiguous(memory_format=ctx.kinds[-1][1])
        if not is_masked:
            slope = rectified_slope(slope, last)
        for link, code, kind in zip(ctx.done[::-1], kept[::-1], ctx.kinds[::-1], strict=True):
            slope = link.part.slope(slope.contiguous(memory_format=kind[1]), *kind)
            slope = rectified_in_place(slope, code)
        return slope, None, None


class _MaskedReLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        code = torch.relu(x)
        ctx.save_for_backward(code.bool())
        return code

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *slopes: Tensor) -> Tensor:
        (alive,) = ctx.saved_tensors
        return rectified_slope(slopes[0], alive)


class _AveragePool(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, part: LeanAvgPool2d) -> Tensor:
        ctx.part, ctx.shape, ctx.format = part, x.shape, format_of(x)
        ctx.save_for_backward(x if is_rectified(x) else None)
        return nn.AvgPool2d.forward(part, x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, None]:
        slope = ctx.part.slope(slopes[0], ctx.shape, ctx.format)
        return rectified_in_place(slope, *ctx.saved_tensors), None
