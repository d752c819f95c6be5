"""Pictures of a running solve: when one may be shown, and as what it is sent."""

from __future__ import annotations

import base64
import io
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

INTERVAL = 0.15  # seconds between two frames
SHARE = 0.03  # of the solver's time, that frames may take
LARGEST = 512  # pixels a side: what is looked at while it moves
_QUALITY = 82


class Pace:
    """Says when a frame is due, so that all of them cost the solver little.

    The first of each side is free: it is what somebody waits for.
    """

    def __init__(
        self, clock: Callable[[], float] = time.perf_counter, share: float = SHARE
    ) -> None:
        self._clock, self._share = clock, share
        self._started = clock()
        self._last: dict[str | None, float] = {}
        self._cost = self._longest = 0.0

    def due(self, side: str | None = None) -> bool:
        now = self._clock()
        if side not in self._last:
            return True
        if now - self._last[side] < INTERVAL:
            return False
        return self._cost + self._longest <= self._share * (now - self._started)

    def spent(self, seconds: float, side: str | None = None) -> None:
        """A frame was made, in so many seconds."""
        first = side not in self._last
        self._last[side] = self._clock()
        self._longest = max(0.7 * self._longest, seconds)
        self._cost += 0.0 if first else seconds


def data_url(image: Tensor) -> str:
    """(C, H, W) in [0, 1], any C that a picture shows, as a WebP for an ``<img>``."""
    import torch.nn.functional as F

    from texton.images.pixels import to_pillow

    image = image.detach()
    scale = LARGEST / max(image.shape[1:])
    if scale < 1:
        size = [max(1, round(side * scale)) for side in image.shape[1:]]
        image = F.interpolate(image[None].float(), size, mode="area")[0]
    buffer = io.BytesIO()
    to_pillow(image).save(buffer, "WEBP", quality=_QUALITY, method=0)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()
