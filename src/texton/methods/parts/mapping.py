"""Activation maps of one photograph, in place and in colours."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from texton.images import maps
from texton.images.planes import shown_bands
from texton.network.device import Compute
from texton.network.network import Network
from texton.network.placing import placing


@dataclass(frozen=True)
class Drawing:
    """How maps are drawn.

    Attributes:
        overlay: over the photograph's grey.
        signed: what is below 0 too, in colours of its own.
        common: all maps of the layer on one scale.
        cells: each unit as the square of pixels nearest to its centre, not faded into the next.
        bare: without scale and mark.
    """

    overlay: bool = False
    signed: bool = False
    common: bool = False
    cells: bool = False
    bare: bool = False


@dataclass(frozen=True, eq=False)
class Drawn:
    """A map's picture, (3, H, W) of the photograph's size or with a scale below, and figures."""

    image: Tensor
    maximum: float
    cell: tuple[int, int]
    pixel: tuple[float, float]
    active: float
    mean: float
    silent: bool


class LayerMaps:
    """The maps of a layer's filters on one photograph (1, C, H, W), computed in float32.

    Raises:
        TextonError: an unknown layer, a photograph that is too small for it.
    """

    def __init__(self, image: Tensor, network: Network, layer: str, compute: Compute) -> None:
        with torch.no_grad():
            code = network.encode(image, layer, compute.exact())[layer][0].float().cpu()
        self.code = code
        self._size = image.shape[2], image.shape[3]
        self._photo = image[0, list(shown_bands(image.shape[1], network.bands))].cpu().float()
        self._placing = placing(network, layer, self._size, (code.shape[1], code.shape[2]))

    def draw(self, channel: int, how: Drawing) -> Drawn:
        """One filter's map."""
        values = self.code[channel] if how.signed else self.code[channel].clamp_min(0)
        strength = values.abs()
        place = int(strength.argmax())
        cell = place // values.shape[1], place % values.shape[1]
        pixel = self._placing.pixel(*cell)
        maximum = float(values[cell])
        top = self._top(how) if how.common else abs(maximum)
        shares = self._in_place(values / top if top else values, how)
        if how.overlay:
            picture = maps.overlaid(self._photo, shares, how.signed)
        else:
            picture = maps.coloured(shares, how.signed)
        if not how.bare:
            picture = _scaled(picture, top, maximum, pixel, how)
        raw = self.code[channel]
        active = float((raw > 0).float().mean())
        silent = maximum == 0
        return Drawn(picture, maximum, cell, pixel, active, float(raw.mean()), silent)

    def _in_place(self, shares: Tensor, how: Drawing) -> Tensor:
        where = self._placing.first, self._placing.strides
        return maps.between_centres(shares, self._size, *where, smooth=not how.cells)

    def _top(self, how: Drawing) -> float:
        return float((self.code.abs() if how.signed else self.code.clamp_min(0)).max())


def _scaled(
    picture: Tensor, top: float, maximum: float, pixel: tuple[float, float], how: Drawing
) -> Tensor:
    y, x = pixel
    if not maximum:
        words, mark = "silent", None
    else:
        words, mark = f"{maps.short(maximum)} at x {x:.4g}, y {y:.4g}", pixel
    ends = (-top if how.signed else 0.0, top)
    notch = maximum if how.common and maximum else None
    return maps.with_scale(picture, ends, words, mark, notch)
