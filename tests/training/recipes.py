"""The smallest thing that can be trained, and photographs to train it on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from texton.learned.file import Header
from texton.network.device import choose_compute
from texton.training.options import TrainingOptions
from texton.training.photos import Photos
from texton.training.trainer import Outcome, train

CPU = choose_compute("cpu", torch.float32)


class Blur:
    """Learns to undo a blur, from pictures with a little noise on them."""

    def __init__(self, poison: int | None = None) -> None:
        torch.manual_seed(0)
        self.model: nn.Module = nn.Sequential(
            nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 3, 3, padding=1)
        )
        self.poison = poison

    def loss(self, images: Tensor, step: int) -> Tensor:
        blurred = nn.functional.avg_pool2d(images, 3, 1, 1) + 0.01 * torch.randn_like(images)
        loss = (self.model(blurred) - images).square().mean()
        return loss / 0 if step == self.poison else loss

    def sample(self, images: Tensor) -> Tensor:
        made: Tensor = self.model(images[:1])[0]
        return made

    def identity(self) -> dict[str, Any]:
        return {"recipe": "blur"}

    def header(self, **made: Any) -> Header:
        return Header("decoder", "none", "0", "", ("none",), {}, **made)


def write_photographs(folder: Path, count: int = 12, side: int = 48) -> Path:
    """Different pictures: from a colour to another, striped, with a little noise."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = torch.Generator().manual_seed(7)
    slope = torch.linspace(0, 1, side)[:, None, None]
    for number in range(count):
        colours = torch.rand(2, 3, generator=generator)
        noise = 0.05 * torch.rand(side, side, 3, generator=generator)
        stripes = 0.2 * torch.sin(torch.arange(side) / (2 + number % 5))[None, :, None]
        pixels = slope * colours[0] + (1 - slope) * colours[1] + stripes + noise
        values = pixels.clamp(0, 1).mul(255).to(torch.uint8).numpy()
        Image.fromarray(values).save(folder / f"{number:02}.png")
    return folder


def trained(folder: Path, out: Path, recipe: Any = None, **told: Any) -> Outcome:
    """A training of `Blur` on small crops."""
    on_step = told.pop("on_step", lambda _: None)
    options = TrainingOptions.of({"batch": 2, "crop": 32, "steps": 12, "every": 5, **told})
    photos = Photos.read(folder, options.crop)
    return train(recipe or Blur(), photos, options, out, CPU, on_step)
