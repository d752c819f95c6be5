"""A network with one input channel, trained when it is asked for: scikit-learn's digits.

    texton layers --network examples/digits.py:digits
    texton filter examples/coffee.jpg relu3:0-7 --network examples/digits.py:digits --size 96

Needs scikit-learn. Training is seeded and takes some seconds on a processor; the 8×8 digits are
enlarged to 32×32, so that three layers of 3×3 filters have something to look at.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import Tensor, nn

EPOCHS = 6
BATCH = 64


def digits() -> tuple[nn.Module, dict[str, object]]:
    """The trained network, and what it must be told: one channel, white is 1, its mean and std."""
    torch.manual_seed(0)
    data = load_digits()
    images = torch.tensor(data.images, dtype=torch.float32)[:, None] / 16
    images = F.interpolate(images, size=32, mode="bilinear")
    labels = torch.tensor(data.target)
    mean, std = float(images.mean()), float(images.std())
    module = make()
    train(module, (images - mean) / std, labels)
    return module, {"mean": mean, "std": std, "input_range": 1.0, "channels": 1}


def make() -> nn.Sequential:
    """Four convolutions that halve the image three times, and a mean over positions."""
    parts: OrderedDict[str, nn.Module] = OrderedDict()
    entering = 1
    for block, filters in enumerate((16, 32, 48, 64), 1):
        parts[f"conv{block}"] = nn.Conv2d(entering, filters, 3, padding=1)
        parts[f"norm{block}"] = nn.BatchNorm2d(filters)
        parts[f"relu{block}"] = nn.ReLU()
        if block < 4:
            parts[f"pool{block}"] = nn.MaxPool2d(2)
        entering = filters
    parts["mean"] = nn.AdaptiveAvgPool2d(1)
    parts["flat"] = nn.Flatten()
    parts["classes"] = nn.Linear(entering, 10)
    return nn.Sequential(parts)


def train(module: nn.Module, images: Tensor, labels: Tensor) -> None:
    """Adam with a falling rate; the last 300 digits are kept out, to tell the accuracy."""
    seen, unseen = slice(None, -300), slice(-300, None)
    steps = EPOCHS * -(-len(labels[seen]) // BATCH)
    optimiser = torch.optim.AdamW(module.parameters(), lr=3e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 1e-2, total_steps=steps)
    module.train()
    for _ in range(EPOCHS):
        for chosen in torch.randperm(len(labels[seen])).split(BATCH):
            loss = F.cross_entropy(module(images[chosen]), labels[chosen])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    module.eval()
    with torch.no_grad():
        right = module(images[unseen]).argmax(1) == labels[unseen]
    print(f"digits: {float(right.float().mean()):.1%} of 300 unseen digits are read right")
