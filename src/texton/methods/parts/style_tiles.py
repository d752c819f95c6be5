"""A large picture's style and content, and their exact gradient, tile by tile.

What style matches are functions of sums over positions. Of every tile the sums are made first,
without a graph; the losses' slopes to the sums are then known, and with them each tile's gradient
is its own affair. Nothing is approximated: the gradient is the whole picture's, but for rounding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from texton.errors import TextonError
from texton.methods.parts.statistics import from_sums, position_sums
from texton.methods.parts.tiling import Tile, Tiling
from texton.network.device import Compute
from texton.solve.objective import Codes, Objective
from texton.solve.priors import TotalVariation

if TYPE_CHECKING:
    from texton.network.network import Network

Weights = Mapping[str, Tensor] | None  # by layer, of each region (R, M, N); None: no regions
Sums = dict[tuple[str, int], Tensor]  # by layer and region


@dataclass(frozen=True, eq=False)
class Look:
    """How pictures of one size are looked at: by which network, cut how, and what counts where."""

    network: Network
    tiling: Tiling
    statistic: str
    layers: tuple[str, ...]
    weights: Weights = None

    def sums(self, image: Tensor, compute: Compute) -> Sums:
        """Of a picture (1, C, H, W), in float64."""
        encode, found = self.network.encoder(self.layers, compute), Sums()
        with torch.no_grad():
            for tile in self.tiling.tiles(image.shape[2:]):
                codes = encode(tile.of(image).to(compute.device))
                for key, sums in self.of_tile(codes, tile).items():
                    found[key] = found[key] + sums.double() if key in found else sums.double()
        return found

    def statistics(self, image: Tensor, compute: Compute) -> dict[tuple[str, int], Tensor]:
        """The same as statistics, of those regions that have positions."""
        sums = self.sums(image, compute)
        there = {key: each for key, each in sums.items() if bool(each[0, -1] > 0)}
        return {key: from_sums(self.statistic, each).float() for key, each in there.items()}

    def of_tile(self, codes: Codes, tile: Tile) -> Sums:
        """The sums over a tile's own positions."""
        return {
            (layer, region): position_sums(self.statistic, own, weights)
            for layer in self.layers
            for own in [tile.own(codes[layer], self.tiling.strides[layer])]
            for region, weights in enumerate(self._weights(layer, tile))
        }

    def _weights(self, layer: str, tile: Tile) -> Sequence[Tensor | None]:
        if self.weights is None:
            return (None,)
        return list(tile.among_all(self.weights[layer], self.tiling.strides[layer]))


@dataclass(frozen=True, eq=False)
class Asked:
    """Of each style term its weight and target; of the content the picture and layer."""

    styles: Mapping[tuple[str, int], tuple[float, Tensor]]
    content: Tensor
    content_layer: str
    content_weight: float
    tv: float


class TiledStyle(Objective):
    """What `style_objective` asks of a picture, made tile by tile; it reads no codes itself."""

    def __init__(self, look: Look, asked: Asked, compute: Compute) -> None:
        self._look, self._asked, self._compute = look, asked, compute
        layers = [asked.content_layer, *look.layers]
        self._encode = look.network.encoder(dict.fromkeys(layers), compute)
        self._encode_content = look.network.encoder([asked.content_layer], compute.exact())
        self._square = self._content_square()

    def __call__(self, codes: Codes, image: Tensor) -> Tensor:
        value: Tensor = _Held.apply(image, self)
        if not self._asked.tv:
            return value
        return value + self._asked.tv * TotalVariation()({}, image)

    def slope(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """The value (1,) without smoothness, and its gradient (1, C, H, W)."""
        asked, gradient = self._asked, torch.zeros_like(image)
        sums = self._look.sums(image, self._compute)
        value, slopes = self._losses(sums)
        for tile in self._look.tiling.tiles(image.shape[2:]):
            seen = tile.of(image).detach().clone().requires_grad_(True)
            with torch.enable_grad():
                codes = self._encode(seen)
                content = self._content(codes, tile)
                pull = asked.content_weight * content
                for key, own in self._look.of_tile(codes, tile).items():
                    pull = pull + (own * slopes[key]).sum()
            with self._compute.arithmetic():
                (part,) = torch.autograd.grad(pull, seen)
            tile.of(gradient).add_(part)
            value = value + asked.content_weight * content.detach()
        return value.reshape(1), gradient

    def measure(self, image: Tensor) -> dict[str, Any]:
        """Every term of a picture, unweighted, by kind and layer, in float32; the layer's regions
        on the average of their weights."""
        asked, exact = self._asked, self._compute.exact()
        image = image.to(self._compute.device)
        encode = self._look.network.encoder([asked.content_layer], exact)
        with torch.no_grad():
            content = sum(
                float(self._content(encode(tile.of(image)), tile))
                for tile in self._look.tiling.tiles(image.shape[2:])
            )
            variation = float(TotalVariation()({}, image)[0])
            styles: dict[str, float] = dict.fromkeys(self._look.layers, 0.0)
            whole = dict.fromkeys(self._look.layers, 0.0)
            total = asked.content_weight * content + asked.tv * variation
            for key, sums in self._look.sums(image, exact).items():
                weight, term = asked.styles[key][0], float(self._term(key, sums))
                total += weight * term
                styles[key[0]] += weight * term
                whole[key[0]] += weight
        named = {layer: value / whole[layer] for layer, value in styles.items()}
        return {"content": {asked.content_layer: content}, "style": named, "total": total}

    def _losses(self, sums: Sums) -> tuple[Tensor, Sums]:
        """The style's value, and its slope to every sum."""
        leaves = {key: each.requires_grad_(True) for key, each in sums.items()}
        with torch.enable_grad():
            terms = [self._asked.styles[key][0] * self._term(key, x) for key, x in leaves.items()]
            value = torch.stack(terms).sum()
        slopes = torch.autograd.grad(value, list(leaves.values()))
        named = zip(leaves, (slope.float() for slope in slopes), strict=True)
        return value.detach().float(), dict(named)

    def _term(self, key: tuple[str, int], sums: Tensor) -> Tensor:
        target = self._asked.styles[key][1].to(sums)
        difference = from_sums(self._look.statistic, sums) - target
        return difference.square().sum() / target.square().sum()

    def _content(self, codes: Codes, tile: Tile) -> Tensor:
        """A tile's share of the content term."""
        layer = self._asked.content_layer
        own = tile.own(codes[layer], self._look.tiling.strides[layer])
        return (own.float() - self._content_code(tile)).square().sum() / self._square

    def _content_code(self, tile: Tile) -> Tensor:
        """Made anew each time: all of it would take more memory than a tile."""
        layer = self._asked.content_layer
        with torch.no_grad():
            code = self._encode_content(tile.of(self._asked.content))[layer]
        return tile.own(code, self._look.tiling.strides[layer]).float()

    def _content_square(self) -> Tensor:
        tiles = self._look.tiling.tiles(self._asked.content.shape[2:])
        square = torch.stack([self._content_code(tile).double().square().sum() for tile in tiles])
        layer = self._asked.content_layer
        if not bool(square.sum() > 0):
            raise TextonError(f"the photograph activates nothing at '{layer}': choose another")
        return square.sum().float()


class _Held(torch.autograd.Function):
    """A value whose gradient was made with it."""

    @staticmethod
    def forward(ctx: Any, image: Tensor, objective: TiledStyle) -> Tensor:
        value, gradient = objective.slope(image)
        ctx.save_for_backward(gradient)
        return value

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors
        return gradient * slopes[0], None
