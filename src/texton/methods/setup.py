"""What the methods share: the canvas to start on, the device, what a picture records of itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from texton.errors import TextonError
from texton.images.files import as_saved, content_hash
from texton.methods.denoise import denoised
from texton.network.device import Compute, choose_compute
from texton.network.network import Network
from texton.solve.canvas import NO_BLEED, Bleed, Canvas, FourierCanvas, PixelCanvas, noise
from texton.solve.presets import SolverSettings
from texton.solve.solver import Solver, Step
from texton.version import __version__

OnStep = Callable[[Step], None]


def make_canvas(
    network: Network,
    photo: Tensor,
    generators: Sequence[torch.Generator],
    settings: SolverSettings,
    compute: Compute,
    fourier: bool,
    bleed: Bleed = NO_BLEED,
) -> Canvas:
    channels, height, width = photo.shape[1:]
    size = (channels, height, width)
    if settings.rule == "sgd2016":
        drawn = [paper_start(size, generator, network.mean_colour) for generator in generators]
        start = torch.cat(drawn)
        return PixelCanvas(start.to(compute.device), bounded=False)
    if fourier:
        return FourierCanvas(generators, size, compute.device, bleed=bleed)
    start = noise(generators, size, 0.5, settings.contrast).clamp(0, 1)
    return PixelCanvas(start.to(compute.device), bleed=bleed)


def compute_for(settings: SolverSettings, device: str) -> Compute:
    compute = choose_compute(device)
    return compute.exact() if settings.rule == "sgd2016" else compute


def finished(images: Tensor, settings: SolverSettings) -> Tensor:
    """The images as a reader of the saved files gets them back."""
    return as_saved(denoised(images) if settings.rule == "sgd2016" else images)


def run(solver: Solver, on_step: OnStep | None) -> None:
    for step in solver:
        if on_step is not None:
            on_step(step)


def check_photo(image: Tensor, network: Network) -> None:
    if image.ndim != 4 or image.shape[0] != 1 or image.shape[1] != network.channels:
        raise TextonError(
            f"the photograph is {tuple(image.shape)}: {network.name} takes "
            f"(1, {network.channels}, H, W)"
        )


def recorded_settings(
    method: str,
    network: Network,
    image: Tensor,
    preset: str,
    steps: int | None,
    seed: int,
    settings: SolverSettings,
    compute: Compute,
) -> dict[str, Any]:
    return {
        "texton": __version__,
        "torch": torch.__version__,
        "method": method,
        **network.describe(),
        "photo_hash": content_hash(image),
        "size": [image.shape[3], image.shape[2]],
        "preset": preset,
        "steps_asked": steps,
        "seed": seed,
        **compute.describe(),
        "solver": asdict(settings),
    }


def paper_start(
    size: tuple[int, int, int], generator: torch.Generator, mean_colour: Tensor
) -> Tensor:
    """The 2016 start, (1, C, H, W): U(−0.1, 0.1) of 255 around the mean colour."""
    return (torch.rand(size, generator=generator) * 0.2 - 0.1)[None] / 255 + mean_colour
