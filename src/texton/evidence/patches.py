"""What a filter saw at its strongest places, cut out of the pictures."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from texton.errors import TextonError
from texton.evidence.format import Evidence, Place
from texton.evidence.manifest import EvidenceLayer

OUTSIDE = ("grey", "reflect")
_GREY, _DIMMED = 0.5, 0.3


@dataclass(frozen=True)
class Box:
    """Pixels ``top`` to ``bottom`` and ``left`` to ``right`` of a picture, the latter not
    included; what lies outside is negative or beyond its sides."""

    top: int
    left: int
    bottom: int
    right: int

    def inside(self, height: int, width: int) -> Box:
        """The part of it that lies in a picture."""
        top, left = min(max(self.top, 0), height - 1), min(max(self.left, 0), width - 1)
        return Box(
            top, left, max(min(self.bottom, height), top + 1), max(min(self.right, width), left + 1)
        )


@dataclass(frozen=True, eq=False)
class Patch:
    """A cut-out (C, h, w) in [0, 1] and where it is from; ``whole``: it is the whole picture."""

    image: Tensor
    place: Place
    box: Box
    whole: bool


def field_box(layer: EvidenceLayer, place: Place, height: int, width: int) -> Box:
    """What a unit sees: exactly, from where the layer's fields begin and how they move on.

    Of a layer whose units see everything, the picture.
    """
    if layer.field is None:
        return Box(0, 0, height, width)
    top, left = layer.origin(place.row, place.column)
    return Box(top, left, top + layer.field, left + layer.field)


def effective_box(layer: EvidenceLayer, place: Place, height: int, width: int) -> Box:
    """The square around a unit's centre that most of its gradient comes from, in the picture."""
    box = field_box(layer, place, height, width)
    if layer.field is None:  # centres of units that see everything lie in line
        strides = layer.strides or (layer.stride, layer.stride)
        at = (place.row, place.column)
        middle = [(i + 0.5) * stride for i, stride in zip(at, strides, strict=True)]
    else:
        middle = [(box.top + box.bottom) / 2, (box.left + box.right) / 2]
    half = (layer.effective or layer.field or 2 * max(height, width)) / 2
    edges = [round(at - half) for at in middle] + [round(at + half) for at in middle]
    return Box(*edges).inside(height, width)


def cut(image: Tensor, layer: EvidenceLayer, place: Place, outside: str = "grey") -> Patch:
    """A place of a picture (1, C, H, W), cut at the receptive field.

    What lies outside the picture is grey or its reflection. Where the field is larger than the
    picture it is the whole picture, dimmed outside the effective field.

    Raises:
        TextonError: nothing of the place lies in the picture.
    """
    height, width = image.shape[2:]
    box = field_box(layer, place, height, width)
    if not (box.top < height and box.left < width and box.bottom > 0 and box.right > 0):
        raise TextonError(f"{layer.name} has no row {place.row}, column {place.column} there")
    if layer.field is None or layer.field > max(height, width):
        seen = effective_box(layer, place, height, width)
        shown = _dimmed(image, seen)
        return Patch(shown[0], place, Box(0, 0, height, width), True)
    before = (max(0, -box.left), max(0, box.right - width))
    above = (max(0, -box.top), max(0, box.bottom - height))
    inner = box.inside(height, width)
    if outside == "reflect" and (max(before) >= width or max(above) >= height):
        outside = "grey"
    if outside == "reflect":
        wide = pad(image, (*before, *above), mode="reflect")
        top, left = box.top + above[0], box.left + before[0]
        image = wide[:, :, top : top + layer.field, left : left + layer.field]
    else:
        image = image[:, :, inner.top : inner.bottom, inner.left : inner.right]
        image = pad(image, (*before, *above), value=_GREY)
    return Patch(image[0], place, box, False)


def patches(
    evidence: Evidence, layer: str, channel: int, which: str = "top", outside: str = "grey"
) -> list[Patch]:
    """A filter's patches, the strongest first; see `LayerEvidence.places`.

    Pictures that have vanished since are left out.

    Raises:
        TextonError: an unknown layer or channel, or nothing is scanned.
    """
    found = evidence.layer(layer)
    cuts = []
    for place in found.places(channel, which):
        try:
            cuts.append(cut(evidence.read(place.picture), found.layer, place, outside))
        except TextonError:
            continue
    return cuts


def crop(
    evidence: Evidence,
    layer: str,
    channel: int,
    rank: int = 0,
    which: str = "top",
    outside: str = "grey",
) -> Tensor:
    """One patch, (C, h, w) in [0, 1]: number ``rank`` of `LayerEvidence.places`.

    Raises:
        TextonError: there is none of that rank, or its picture has vanished.
    """
    found = evidence.layer(layer)
    places = found.places(channel, which)
    if not 0 <= rank < len(places):
        raise TextonError(f"{layer}:{channel} has {len(places)} places ({which}), not a {rank}.")
    place = places[rank]
    return cut(evidence.read(place.picture), found.layer, place, outside).image


def _dimmed(image: Tensor, seen: Box) -> Tensor:
    shown = _GREY + _DIMMED * (image - _GREY)
    inside = (..., slice(seen.top, seen.bottom), slice(seen.left, seen.right))
    shown = shown.clone()
    shown[inside] = image[inside]
    return torch.as_tensor(shown)
