"""Pictures for a filter's page: its patches side by side in one file, its map on a photograph."""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image
from torch import Tensor

from texton.errors import TextonError
from texton.evidence.format import Evidence, Place
from texton.evidence.manifest import EvidenceLayer
from texton.evidence.patches import cut
from texton.images.files import to_pillow
from texton.network.device import choose_compute

if TYPE_CHECKING:
    from texton.methods.parts.mapping import LayerMaps
    from texton.methods.parts.projecting import Projector
    from texton.network.network import Network

TILE = 88  # pixels
TOP = 9
BANDS = {
    "top": "excited most by",
    "q99": "strongest 0.1 to 1 % of pictures",
    "q90": "1 to 10 %",
    "q50": "10 to 50 %",
}
_MAP = 160


class Sprites:
    """Made as they are asked for.

    Args:
        network: loads it.
        projected: how many patches of a filter are projected too.
    """

    def __init__(
        self, evidence: Evidence, network: Callable[[], Network], projected: int = 0
    ) -> None:
        self._evidence, self._network = evidence, network
        self.projected = min(projected, TOP)
        self._read = lru_cache(maxsize=256)(self._picture)
        self._maps = lru_cache(maxsize=8)(self._layer_maps)
        self._projectors = lru_cache(maxsize=4)(self._projector)

    def places(self, layer: str, channel: int) -> list[dict[str, Any]]:
        """The patches of a filter, in the order of its sprite."""
        found = []
        for band, place in self._places(layer, channel):
            try:
                name = self._evidence.path(place.picture).name
            except TextonError:
                name = f"picture {place.picture}"
            told = name.encode("utf-8", "replace").decode()  # names that are no text
            found.append({"band": band, "value": place.value, "name": told})
        return found

    def patches(self, layer: str, channel: int) -> bytes | None:
        """All patches in a row, each a square of `TILE` pixels, as WebP; None where none is."""
        places = self._places(layer, channel)
        if not places:
            return None
        about = self._evidence.layer(layer).layer
        row = Image.new("RGBA", (TILE * len(places), TILE))
        for at, (_, place) in enumerate(places):
            image = self._read(place.picture)
            if image is not None:
                with suppress(TextonError):
                    self._put(row, at, cut(image, about, place, outside="reflect").image)
        return _webp(row)

    def projections(self, layer: str, channel: int) -> bytes | None:
        """What in the first `projected` patches the activation hangs on; None where none is told.

        Each is computed on as much of the picture as the unit sees, which is exact.
        """
        places = [place for _, place in self._places(layer, channel)[: self.projected]]
        if not places or (projector := self._projectors(layer)) is None:
            return None
        row = Image.new("RGBA", (TILE * len(places), TILE))
        about = self._evidence.layer(layer).layer
        for at, place in enumerate(places):
            image = self._read(place.picture)
            if image is not None:
                with suppress(TextonError):
                    self._put(row, at, _projected(projector, image, about, channel, place))
        return _webp(row)

    def _put(self, row: Image.Image, at: int, patch: Tensor) -> None:
        bands = self._network().bands if len(patch) not in (1, 3) else None
        fitted = _fitted(to_pillow(patch, bands).convert("RGB"))
        across, down = (TILE - fitted.width) // 2, (TILE - fitted.height) // 2
        row.paste(fitted, (at * TILE + across, down))

    def projectable(self, layer: str) -> bool:
        """Whether there are projections: not of a layer whose rectifiers no rule is defined for."""
        return self.projected > 0 and self._projectors(layer) is not None

    def map(self, layer: str, channel: int, photo: str, image: Callable[[], Tensor]) -> bytes:
        """Where the filter fires on a photograph of the atlas, over it in grey, as WebP."""
        from texton.methods.parts.mapping import Drawing

        maps = self._maps(layer, photo, image)
        drawn = maps.draw(channel, Drawing(overlay=True, bare=True))
        picture = to_pillow(drawn.image)
        picture.thumbnail((_MAP, _MAP), Image.Resampling.LANCZOS)
        return _webp(picture)

    def _places(self, layer: str, channel: int) -> list[tuple[str, Place]]:
        found = self._evidence.layer(layer)
        places = [("top", place) for place in found.places(channel)[:TOP]]
        for band in list(BANDS)[1:]:
            places += [(band, place) for place in found.places(channel, band)]
        return places

    def _picture(self, number: int) -> Tensor | None:
        try:
            return self._evidence.read(number)
        except TextonError:
            return None

    def _layer_maps(self, layer: str, photo: str, image: Callable[[], Tensor]) -> LayerMaps:
        from texton.methods.parts.mapping import LayerMaps

        return LayerMaps(image(), self._network(), layer, choose_compute("auto"))

    def _projector(self, layer: str) -> Projector | None:
        from texton.methods.parts.projecting import Projector

        network = self._network()
        try:
            projector = Projector(network, layer)
            side = max(32, 2 * network.layer(layer).stride)
            projector.look(torch.full((1, network.channels, side, side), 0.5))
        except TextonError:
            return None
        return projector


def _projected(
    projector: Projector, image: Tensor, about: EvidenceLayer, channel: int, place: Place
) -> Tensor:
    """(C, h, w) in [0, 1]: a projection, cut as the patch is."""
    from texton.methods.parts.patching import slopes_at
    from texton.methods.parts.projecting import shown

    slopes = slopes_at(projector, image, about, channel, place)
    return cut(shown(slopes), about, place).image


def _fitted(picture: Image.Image) -> Image.Image:
    """As large as a tile holds; single pixels stay squares."""
    scale = TILE / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    how = Image.Resampling.NEAREST if scale >= 3 else Image.Resampling.LANCZOS
    return picture.resize(size, how)


def _webp(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=80, method=2)
    return buffer.getvalue()
