"""What solving leaves behind."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from texton.images.files import to_pillow, write_image

DEAD_SHARE = 0.005
Status = Literal["ok", "dead"]


@dataclass(frozen=True, repr=False)
class Result:
    """A picture that a method made, with its figures.

    Attributes:
        image: (C, H, W), C the network's, the 8-bit values of the saved picture as float in [0, 1].
        error: ‖φ(X) − target‖² / ‖target‖², in float32, of the image as saved. Targets of
            feature map inversion cannot be reached: 0.5 to 0.99 is normal.
        achieved: of one filter: how much of the energy that the target asks its own feature
            map reaches; None where no single filter is asked for.
        status: ``dead`` where a filter achieves less than 0.5 %: it could not be activated
            from several starts.
        steps: evaluations of the network; ``starts`` how many beginnings they hold.
        seconds: spent solving.
        trace: the error before every step, as the solver saw it (its dtype, unrounded image).
        settings: everything needed to make the picture again; saved inside the PNG.
        leakage: of one filter: the share of the picture's energy in other filters of the layer;
            None where no single filter is asked for.
    """

    image: Tensor
    error: float
    achieved: float | None
    status: Status
    layer: str
    channel: int | None
    steps: int
    starts: int
    seconds: float
    trace: tuple[float, ...]
    settings: dict[str, Any] = field(default_factory=dict)
    leakage: float | None = None

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the picture as PNG with its settings inside, atomically; see `write_image`."""
        return write_image(self.image, path, {**self.settings, **self.figures()})

    def figures(self) -> dict[str, Any]:
        """The unit's figures, as ``--json`` and the PNG carry them."""
        return {
            "layer": self.layer,
            "channel": self.channel,
            "error": self.error,
            "achieved": self.achieved,
            "leakage": self.leakage,
            "steps": self.steps,
            "starts": self.starts,
            "seconds": self.seconds,
            "status": self.status,
        }

    def __repr__(self) -> str:
        unit = self.layer if self.channel is None else f"{self.layer}:{self.channel}"
        height, width = self.image.shape[-2:]
        return f"Result({unit}, {width}×{height}, error {self.error:.3f}, {self.status})"

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        to_pillow(self.image, self.settings.get("bands")).save(buffer, "PNG")
        return buffer.getvalue()
