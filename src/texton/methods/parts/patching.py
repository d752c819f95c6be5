"""A filter's patches with their projections, both cut at what the unit sees."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from texton.errors import TextonError
from texton.evidence.direct import evidence_in
from texton.evidence.format import Evidence, Place, exists
from texton.evidence.manifest import EvidenceLayer
from texton.evidence.patches import Patch, cut, field_box
from texton.methods.parts.projecting import Projector, shown
from texton.methods.parts.rectifying import Rule
from texton.methods.parts.scanned import check_evidence, evidence_of
from texton.network.device import choose_compute
from texton.network.network import Network

if TYPE_CHECKING:
    from texton.methods.method import Task

_CLOSE = 0.02  # of a value, by which another format or batch may move it
_GREY = 0.5


@dataclass(frozen=True, eq=False)
class Projected:
    """A patch, and what of it the activation hangs on, cut alike; None where that is unknown."""

    patch: Patch
    projection: Tensor | None


class Patches:
    """The patches of one layer's filters.

    Args:
        rule: of the projections; None for none. Where the network's rectifiers know no such
            rule, the gradient.
    """

    def __init__(
        self, network: Network, evidence: Evidence, layer: str, rule: Rule | None, device: str
    ) -> None:
        self.evidence, self.found = evidence, evidence.layer(layer)
        self.rule = rule
        self._projectors = (
            [Projector(network, layer, one, device) for one in dict.fromkeys((rule, "gradient"))]
            if rule is not None
            else []
        )

    def of(self, channel: int, which: str = "top", most: int = 9) -> list[Projected]:
        """A filter's patches, the strongest first; pictures that have vanished are left out.

        Raises:
            TextonError: that is all of them.
        """
        made = []
        for place, image in self.evidence.still_there(self.found.places(channel, which)[:most]):
            patch = cut(image, self.found.layer, place)
            made.append(Projected(patch, self._projection(image, channel, place)))
        return made

    def plain(self, channel: int, which: str) -> list[Tensor]:
        """Patches (C, h, w) alone; none where all pictures have vanished."""
        with suppress(TextonError):
            read = self.evidence.still_there(self.found.places(channel, which))
            return [cut(image, self.found.layer, place).image for place, image in read]
        return []

    def _projection(self, image: Tensor, channel: int, place: Place) -> Tensor | None:
        """(C, h, w) around grey."""
        if not self._projectors:
            return None
        slopes = self._slopes(image, channel, place)
        return cut(shown(slopes), self.found.layer, place).image

    def _slopes(self, image: Tensor, channel: int, place: Place) -> Tensor:
        first, *others = self._projectors
        try:
            return slopes_at(first, image, self.found.layer, channel, place)
        except TextonError:
            if not others:
                raise
        self._projectors, self.rule = others, others[0].rule
        return slopes_at(others[0], image, self.found.layer, channel, place)


def slopes_at(
    projector: Projector, image: Tensor, layer: EvidenceLayer, channel: int, place: Place
) -> Tensor:
    """(1, C, H, W) as large as the image, from a window around the field: far fewer pixels.

    A window that begins on the layer's grid holds the same unit with the same value; where it
    does not, as behind upsampling, the whole image is taken.

    Raises:
        TextonError: as `Projector.project`.
    """
    top, left, bottom, right = window(layer, place, *image.shape[2:])
    down, across = _whole_strides(layer)
    at = torch.tensor([[place.row - top // down, place.column - left // across]])
    try:
        made = projector.project(image[:, :, top:bottom, left:right], channel, at)
        if abs(float(made.values[0]) - place.value) <= _CLOSE * abs(place.value):
            whole = torch.zeros_like(image)
            whole[:, :, top:bottom, left:right] = made.slopes
            return whole
    except TextonError:  # too small for the network, or no such unit
        pass
    return projector.project(image, channel, torch.tensor([[place.row, place.column]])).slopes


def window(
    layer: EvidenceLayer, place: Place, height: int, width: int
) -> tuple[int, int, int, int]:
    """Top, left, bottom and right of what a unit sees in a picture, begun on the layer's grid."""
    if layer.field is None:
        return 0, 0, height, width
    box = field_box(layer, place, height, width)
    down, across = _whole_strides(layer)
    top, left = max(0, box.top) // down * down, max(0, box.left) // across * across
    return top, left, min(height, box.bottom), min(width, box.right)


def _whole_strides(layer: EvidenceLayer) -> tuple[int, int]:
    down, across = layer.strides or (layer.stride, layer.stride)
    return math.ceil(down), math.ceil(across)


def open_evidence(
    source: Path, network: Network, layers: list[str], size: int, device: str
) -> Evidence:
    """Evidence that `texton scan` made, or gathered from a folder of pictures now.

    Raises:
        TextonError: there is neither; it is of other weights.
    """
    if exists(source):
        return evidence_of(network, source)
    if not source.is_dir():
        raise TextonError(f"'{source}' is no folder: name evidence, or a folder of pictures")
    return evidence_in(source, network, layers, size, choose_compute(device))


def check_source(task: Task, source: Path | None) -> None:
    """Refuse evidence, where it is that and no pictures, of another network or without a layer."""
    check_evidence(task, source if source is not None and exists(source) else None)
