"""What a picture is of, and what a method leaves behind."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from torch import Tensor

DEAD_SHARE = 0.005  # of what can be reached
Status = Literal["ok", "dead"]


@dataclass(frozen=True, order=True)
class Unit:
    """What one picture is of: a filter of a layer, a layer, or nothing but the photograph.

    ``direction`` names a share vector of the options where a method takes several.
    """

    layer: str | None = None
    channel: int | None = None
    photo: str | None = None
    direction: str | None = None

    def __str__(self) -> str:
        what = ":".join(str(x) for x in (self.layer, self.channel, self.direction) if x is not None)
        return " on ".join(word for word in (what, self.photo) if word)


@dataclass(frozen=True, repr=False, eq=False)
class Result:
    """A picture that a method made, with its figures.

    Every figure that the method declares is an attribute too: ``result.error``.

    Attributes:
        image: (C, H, W), C the network's, the values of the saved picture as float in [0, 1].
        unit: what the picture is of.
        status: ``dead`` where a filter achieves less than 0.5 % of what is asked of it, or of what
            its layer can give where that saturates: it could not be activated from several starts.
        seconds: spent making it.
        figures: by key, as the method declares them; None where one has no value.
        settings: everything needed to make the picture again; saved inside the PNG.
        alpha: (H, W) in [0, 1], of pictures in which not every place was asked for.
        bits: of every value of the saved picture, 8 or 16.
        frames: (C, H, W) each, of methods whose pictures move; written beside the picture.
        trace: the error before every step, as the solver saw it (its dtype, unrounded image).
    """

    image: Tensor
    unit: Unit
    figures: Mapping[str, float | None]
    seconds: float
    status: Status = "ok"
    settings: dict[str, Any] = field(default_factory=dict)
    trace: tuple[float, ...] = ()
    frames: tuple[Tensor, ...] = ()
    alpha: Tensor | None = None
    bits: int = 8

    @property
    def layer(self) -> str | None:
        return self.unit.layer

    @property
    def channel(self) -> int | None:
        return self.unit.channel

    def __getattr__(self, name: str) -> Any:
        figures = self.__dict__.get("figures", {})
        if name in figures:
            return figures[name]
        raise AttributeError(f"a result has no '{name}': its figures are {', '.join(figures)}")

    @property
    def shown(self) -> Tensor:
        """The picture on white, where some of it is transparent."""
        return self.image if self.alpha is None else 1 - self.alpha * (1 - self.image)

    def record(self) -> dict[str, Any]:
        """Its unit, figures and status, as ``--json``, sidecars and the PNG carry them."""
        unit: dict[str, Any] = {"layer": self.layer, "channel": self.channel}
        if self.unit.direction is not None:
            unit["direction"] = self.unit.direction
        return {**unit, **self.figures, "seconds": self.seconds, "status": self.status}

    def save(self, path: str | os.PathLike[str], command: str | None = None) -> Path:
        """Write the picture as PNG with its settings inside, atomically; see `write_image`.

        Args:
            command: the command line that makes it again.
        """
        from texton.images.files import write_image

        told: dict[str, Any] = {} if command is None else {"command": command}
        if self.frames:
            from texton.images.animation import write_animation

            beside = Path(path).with_suffix(f".{self.settings['animation']}")
            write_animation(self.frames, beside, self.settings.get("bands"))
            told["frames"] = beside.name
        alpha = self.alpha if len(self.image) in (1, 3) else None
        told |= {**self.settings, **self.record()}
        return write_image(self.image, path, told, bits=self.bits, alpha=alpha)

    def __repr__(self) -> str:
        height, width = self.image.shape[-2:]
        figures = ", ".join(f"{k} {v:.3g}" for k, v in self.figures.items() if v is not None)
        return f"Result({self.unit}, {width}×{height}, {figures}, {self.status})"

    def _repr_png_(self) -> bytes:
        from texton.images.files import to_pillow

        buffer = io.BytesIO()
        to_pillow(self.image, self.settings.get("bands")).save(buffer, "PNG")
        return buffer.getvalue()
