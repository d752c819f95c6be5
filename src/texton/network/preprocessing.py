"""What a network was trained to be given: (image · range − mean) / std."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from texton.errors import TextonError
from texton.network.device import Compute


class Preprocessing:
    """From images in [0, 1] to what a module takes.

    Raises:
        TextonError: as many values as there are no channels; numbers that are not finite, or
            that divide and are 0 or less.
    """

    def __init__(
        self,
        name: str,
        channels: int,
        mean: float | Sequence[float],
        std: float | Sequence[float],
        input_range: float,
    ) -> None:
        self._channels = channels
        self._mean = _per_channel(mean, channels, "mean")
        self._std = _per_channel(std, channels, "std")
        self._range = _per_channel(input_range, 1, "input_range").item()
        if not (bool((self._std > 0).all()) and self._range > 0):
            zero = "input_range" if self._range <= 0 else "std"
            raise TextonError(
                f"{name}: {zero} is 0 or less, and divides: give what it trained with"
            )
        self._affines: dict[torch.device, tuple[Tensor, Tensor]] = {}

    @cached_property
    def mean_colour(self) -> Tensor:
        """(1, C, 1, 1) in [0, 1]: the image that is mapped to zero, where there is one."""
        return (self._mean / self._range).clamp(0, 1)

    def as_json(self) -> dict[str, Any]:
        """As a picture records it."""
        return {
            "mean": self._mean.flatten().tolist(),
            "std": self._std.flatten().tolist(),
            "input_range": self._range,
            "channels": self._channels,
        }

    def prepare(self, image: Tensor, compute: Compute) -> Tensor:
        """Images (B, C, H, W) in [0, 1] as the module takes them."""
        image = image.to(compute.device, torch.float32)
        shift, scale = self._affine(compute.device)
        prepared = torch.addcmul(shift, image, scale)
        return prepared.to(compute.dtype).contiguous(memory_format=compute.memory_format)

    def _affine(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """As shift + image · scale: one pass instead of three."""
        if device not in self._affines:
            with torch.inference_mode(False):
                self._affines[device] = (
                    (-self._mean / self._std).to(device),
                    (self._range / self._std).to(device),
                )
        return self._affines[device]


def _per_channel(values: float | Sequence[float], channels: int, name: str) -> Tensor:
    tensor = torch.as_tensor(values, dtype=torch.float32).reshape(-1)
    if tensor.numel() not in (1, channels):
        raise TextonError(f"{name} has {tensor.numel()} values for {channels} channels")
    if not bool(tensor.isfinite().all()):
        raise TextonError(f"{name} is {tensor.tolist()}: give finite numbers, one or one a channel")
    return tensor.expand(channels).reshape(1, channels, 1, 1)
