"""Small networks whose inner blocks are tokens or have their channels last."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def seeded(module: type[nn.Module], *args: object) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return module(*args)


class Block(nn.Module):
    """An encoder block, pre-norm; ``sequence`` keeps tokens on the first axis, as CLIP does."""

    def __init__(self, width: int, sequence: bool) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, 2, batch_first=not sequence)
        self.mlp = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm1(x)
        x = x + self.attention(y, y, y, need_weights=False)[0]
        out: Tensor = x + self.mlp(self.norm2(x))
        return out


class TinyViT(nn.Module):
    """Patches of 8, a class token, positions learnt for 32×32 pixels: no other size goes through.

    At 64 features and 16 tokens + 1, or as many tokens as features, sizes tell nothing.
    """

    def __init__(self, width: int = 16, sequence: bool = False, registers: int = 0) -> None:
        super().__init__()
        self.sequence = sequence
        self.patches = nn.Conv2d(3, width, 8, stride=8)
        self.first = nn.Parameter(torch.randn(1, 1 + registers, width))
        self.positions = nn.Parameter(0.1 * torch.randn(1, 17 + registers, width))
        self.blocks = nn.ModuleList([Block(width, sequence) for _ in range(2)])
        self.head = nn.Linear(width, 10)

    def forward(self, image: Tensor) -> Tensor:
        x = self.patches(image).flatten(2).transpose(1, 2)
        x = torch.cat([self.first.expand(len(x), -1, -1), x], 1) + self.positions
        x = x.transpose(0, 1) if self.sequence else x
        for block in self.blocks:
            x = block(x)
        out: Tensor = self.head(x[0] if self.sequence else x[:, 0])
        return out


class Rearranged(nn.Module):
    """Patches by reshaping alone, without a convolution or a class token; any size."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(3 * 4 * 4, 8)
        self.block = Block(8, False)

    def forward(self, image: Tensor) -> Tensor:
        b, c, h, w = image.shape
        x = image.reshape(b, c, h // 4, 4, w // 4, 4).permute(0, 2, 4, 3, 5, 1)
        out: Tensor = self.block(self.embed(x.reshape(b, (h // 4) * (w // 4), 4 * 4 * c)))
        return out


class Windows(nn.Module):
    """Channels last, as in Swin: attention in windows of 4, patches merged, (B, H·W, C) at last."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 8, 4, stride=4)
        self.norm = nn.LayerNorm(8)
        self.window = Window(8)
        self.merge = nn.Linear(32, 16)
        self.last = nn.Sequential(nn.LayerNorm(16), nn.Linear(16, 16), nn.GELU())

    def forward(self, image: Tensor) -> Tensor:
        x = self.norm(self.patches(image).permute(0, 2, 3, 1))
        x = x + self.window(x)
        x = torch.cat([x[:, i::2, j::2] for j in (0, 1) for i in (0, 1)], -1)
        x = self.merge(x)
        out: Tensor = self.last(x.reshape(x.shape[0], -1, x.shape[-1]))
        return out


class Window(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        b, h, w, c = x.shape
        x = x.view(b, h // 4, 4, w // 4, 4, c).permute(0, 1, 3, 2, 4, 5).reshape(-1, 16, c)
        q, k, v = self.qkv(x).reshape(len(x), 16, 3, 2, c // 2).permute(2, 0, 3, 1, 4)
        x = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(len(x), 16, c)
        x = self.out(x).view(b, h // 4, w // 4, 4, 4, c).permute(0, 1, 3, 2, 4, 5)
        return x.reshape(b, h, w, c)


class Mixer(nn.Module):
    """Mixes tokens by a linear layer over them: what it gives inside has no features last.

    As many tokens as features: sizes cannot tell them apart.
    """

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 16, 8, stride=8)
        self.over_tokens = nn.Linear(16, 16)
        self.over_features = nn.Linear(16, 16)

    def forward(self, image: Tensor) -> Tensor:
        x = self.patches(image).flatten(2).transpose(1, 2)
        x = x + self.over_tokens(x.transpose(1, 2)).transpose(1, 2)
        out: Tensor = self.over_features(x)
        return out


def windows() -> nn.Module:
    """For a command line."""
    return seeded(Windows)


def vit() -> nn.Module:
    return seeded(TinyViT)
