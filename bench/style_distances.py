"""Can styles be told apart? Nearest-neighbour accuracy over crops of textures and paintings.

Sixteen crops each of scikit-image's brick, grass and gravel, and of any images named. A crop's
nearest other crop should come from the same picture. These crops are easy: all statistics come
out near 1. `grey` takes the colours away first.

    python bench/style_distances.py [IMAGE ...] [--size 64]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from skimage import data
from torch import Tensor

import texton
from texton.methods.parts.fingerprint import STATISTICS

CROPS = 16


def crops(image: Tensor, size: int, generator: torch.Generator) -> list[Tensor]:
    """Random square crops (1, 3, size, size)."""
    found = []
    for _ in range(CROPS):
        top = int(torch.randint(image.shape[2] - size + 1, (1,), generator=generator))
        left = int(torch.randint(image.shape[3] - size + 1, (1,), generator=generator))
        found.append(image[..., top : top + size, left : left + size])
    return found


def grey(image: Tensor) -> Tensor:
    weights = torch.tensor([0.299, 0.587, 0.114]).reshape(1, 3, 1, 1)
    return (image * weights).sum(1, keepdim=True).expand(-1, 3, -1, -1)


def histogram_distances(images: list[Tensor]) -> Tensor:
    """Half the L1 distance of 8×8×8 colour histograms."""
    histograms = []
    for image in images:
        bins = (image[0] * 7.999).long()
        index = bins[0] * 64 + bins[1] * 8 + bins[2]
        histograms.append(torch.bincount(index.flatten(), minlength=512) / index.numel())
    stacked = torch.stack(histograms)
    return torch.cdist(stacked, stacked, p=1) / 2


def accuracy(distances: Tensor, labels: Tensor) -> float:
    nearest = distances.clone().fill_diagonal_(float("inf")).argmin(1)
    return float((labels[nearest] == labels).float().mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", nargs="*")
    parser.add_argument("--size", type=int, default=64)
    asked = parser.parse_args()
    generator = torch.Generator().manual_seed(0)
    pictures = {
        name: torch.from_numpy(getattr(data, name)().copy()).float()[None, None] / 255
        for name in ("brick", "grass", "gravel")
    }
    pictures = {name: image.expand(-1, 3, -1, -1) for name, image in pictures.items()}
    for path in asked.images:
        pictures[Path(path).stem] = texton.read_image(path, 512)
    found = [crop for image in pictures.values() for crop in crops(image, asked.size, generator)]
    labels = torch.arange(len(pictures)).repeat_interleave(CROPS)
    net = texton.load_network("vgg19")
    print(f"{len(found)} crops of {len(pictures)} pictures: {', '.join(pictures)}")
    print(f"chance {(CROPS - 1) / (len(found) - 1):.2f}\n{'':18}  colour   grey")
    for name in (*STATISTICS, "colour histogram"):
        row = []
        for change in (lambda x: x, grey):
            images = [change(image) for image in found]
            if name in STATISTICS:
                distances = texton.style_distances(images, net, name)
            else:
                distances = histogram_distances(images)
            row.append(accuracy(distances, labels))
        print(f"{name:18}  {row[0]:6.3f}  {row[1]:5.3f}")


if __name__ == "__main__":
    main()
