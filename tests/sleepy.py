"""A network whose filters are alive, asleep and dead."""

from __future__ import annotations

import torch
from torch import nn


class Sleepy(nn.Module):
    """Filter 0 always on; 1 silent on noise but can be woken; 2 can never be."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 5, padding=2)
        self.relu = nn.ReLU()
        with torch.no_grad():
            self.conv.weight.zero_()
            self.conv.bias.copy_(torch.tensor([0.5, -20.0, -1.0]))
            self.conv.weight[1] = 1.0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.relu(self.conv(x - 0.4))
        return out
