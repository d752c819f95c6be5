"""A network with one input channel, trained when it is asked for: scikit-learn's digits.

    texton layers --network examples/digits.py:digits
    texton filter examples/coffee.jpg relu3:0-7 --network examples/digits.py:digits --size 96

    python examples/digits.py epochs      # epoch_0.pt to epoch_6.pt: the same, as it is trained
    texton filter examples/coffee.jpg relu2:0-5 --network examples/digits.py:untrained \\
      --weights epochs/epoch_*.pt

Needs scikit-learn. Training is seeded and takes some seconds on a processor; the 8×8 digits are
enlarged to 32×32, so that three layers of 3×3 filters have something to look at.
"""

from __future__ import annotations

import sys
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import Tensor, nn

EPOCHS = 6
BATCH = 64


def digits() -> tuple[nn.Module, dict[str, object]]:
    """The trained network, and what it must be told: one channel, white is 1, its mean and std."""
    return trained()


def trained(
    after: Callable[[int, nn.Module], None] | None = None,
) -> tuple[nn.Module, dict[str, object]]:
    """As `digits`; ``after`` is given the module before and after every epoch."""
    torch.manual_seed(0)
    images, labels = data()
    module = make()
    told = preprocessing(images)
    train(module, (images - told["mean"]) / told["std"], labels, after)
    return module, dict(told)


def untrained() -> tuple[nn.Module, dict[str, object]]:
    """The network that weights are put into."""
    return make(), dict(preprocessing(data()[0]))


def data() -> tuple[Tensor, Tensor]:
    """The digits, (N, 1, 32, 32) in [0, 1], and which they are."""
    read = load_digits()
    images = torch.tensor(read.images, dtype=torch.float32)[:, None] / 16
    return F.interpolate(images, size=32, mode="bilinear"), torch.tensor(read.target)


def preprocessing(images: Tensor) -> dict[str, float]:
    """What it is trained with."""
    mean, std = float(images.mean()), float(images.std())
    return {"mean": mean, "std": std, "input_range": 1.0, "channels": 1}


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


def train(
    module: nn.Module,
    images: Tensor,
    labels: Tensor,
    after: Callable[[int, nn.Module], None] | None = None,
) -> None:
    """Adam with a falling rate; the last 300 digits are kept out, to tell the accuracy."""
    seen, unseen = slice(None, -300), slice(-300, None)
    steps = EPOCHS * -(-len(labels[seen]) // BATCH)
    optimiser = torch.optim.AdamW(module.parameters(), lr=3e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 1e-2, total_steps=steps)
    module.train()
    if after:
        after(0, module)
    for epoch in range(1, EPOCHS + 1):
        for chosen in torch.randperm(len(labels[seen])).split(BATCH):
            loss = F.cross_entropy(module(images[chosen]), labels[chosen])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
        if after:
            after(epoch, module)
    module.eval()
    with torch.no_grad():
        right = module(images[unseen]).argmax(1) == labels[unseen]
    print(f"digits: {float(right.float().mean()):.1%} of 300 unseen digits are read right")


def main() -> None:
    """Train, and keep the weights of every epoch in the folder that is named."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)

    def keep(epoch: int, module: nn.Module) -> None:
        torch.save({"epoch": epoch, "model": module.state_dict()}, folder / f"epoch_{epoch}.pt")

    trained(keep)


if __name__ == "__main__":
    main()
