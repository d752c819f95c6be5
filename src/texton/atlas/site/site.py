"""Every address of a site and what is there: an export writes them all, a server as asked."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from texton.atlas.similar import Similar
from texton.atlas.site import addresses
from texton.atlas.site.catalog import Catalog
from texton.atlas.site.pages import Pages
from texton.atlas.site.pictures import THUMBNAIL, thumbnail
from texton.jobs.manifest import AtlasLayer
from texton.jobs.store import Unit
from texton.web.shared import SHARED, shared

if TYPE_CHECKING:
    from texton.atlas.dossier.dossier import Dossier

_STATIC = ("site.css", "site.js", "grid.js", "compare.js", "live.js")


@dataclass(frozen=True)
class Site:
    """An atlas as files: pages, data, pictures, as it is when they are asked for first.

    Args:
        live: the text that pages carry so that they follow a build; None for an export.
        dossier: what evidence says of the filters; None without.
    """

    catalog: Catalog
    similar: Similar = field(default_factory=Similar)
    live: str | None = None
    dossier: Dossier | None = None

    def paths(self) -> Iterator[str]:
        """Every address, as a path relative to the site's root."""
        yield from ("index.html", "all.html", "compare.html", "assets/atlas.js")
        yield from (f"assets/{name}" for name in (*SHARED, *_STATIC))
        if "photo" in self.catalog.method.axes:
            yield from (addresses.photograph(photo.name) for photo in self.catalog.photos)
        for layer in self.catalog.layers:
            yield addresses.layer_page(layer.name)
            yield addresses.layer_data(layer.name)
            for channel in layer.channels:
                yield addresses.filter_page(layer.name, channel)
                yield from self._natural(layer.name, channel)
                for photo in self.catalog.photos:
                    if self.catalog.pictured(Unit(layer.name, channel, photo.name)):
                        yield addresses.picture(layer.name, channel, photo.name)
                        if self.thumbnails:
                            yield addresses.thumbnail(layer.name, channel, photo.name)

    def content(self, path: str) -> str | bytes | Path | None:
        """What is at an address: text, bytes, a file to copy, or None."""
        folder, _, name = path.rpartition("/")
        if folder == "assets" and name in SHARED:
            return shared(name)
        if folder == "assets" and name in _STATIC:
            return resources.files(__package__).joinpath("static", name).read_text("utf-8")
        if path == "assets/atlas.js":
            return self._pages.atlas_data()
        if folder == "assets/layers":
            layer = self._layer(name.removesuffix(".js"))
            return self._pages.layer_data(layer) if layer and name.endswith(".js") else None
        if folder == "photos":
            return self._photograph(path)
        if folder:
            layer = self._layer(folder)
            return self._of_layer(layer, name) if layer else None
        pages = {
            "index.html": self._pages.overview,
            "all.html": self._pages.everything,
            "compare.html": self._pages.compare,
        }
        return pages[name]() if name in pages else None

    def _natural(self, layer: str, channel: int) -> Iterator[str]:
        """The pictures that the filter's page has from the evidence."""
        if self.dossier is None or not self.dossier.has(layer, channel):
            return
        if self.dossier.sprites.places(layer, channel):
            yield addresses.patches(layer, channel)
            if self.dossier.sprites.projectable(layer):
                yield addresses.projections(layer, channel)
        if "photo" in self.catalog.method.axes:
            for photo in self.catalog.photos:
                yield addresses.map_of(layer, channel, photo.name)

    @property
    def thumbnails(self) -> bool:
        """Whether pictures are too large to serve as their own thumbnails."""
        return self._pages.thumbnails

    @cached_property
    def _pages(self) -> Pages:
        edges = [max(photo.width, photo.height) for photo in self.catalog.photos]
        large = max(edges, default=0) > 1.25 * THUMBNAIL
        return Pages(self.catalog, self.similar, large, self.live, self.dossier)

    def _layer(self, slug: str) -> AtlasLayer | None:
        return self._by_slug.get(slug)

    @cached_property
    def _by_slug(self) -> dict[str, AtlasLayer]:
        return {addresses.slug(layer.name): layer for layer in self.catalog.layers}

    def _photograph(self, path: str) -> Path | None:
        for photo in self.catalog.photos:
            if addresses.photograph(photo.name) == path:
                return _there(self.catalog.store.photo(photo.name))
        return None

    def _of_layer(self, layer: AtlasLayer, name: str) -> str | bytes | Path | None:
        if name == "index.html":
            return self._pages.layer(layer)
        if match := re.fullmatch(r"(0|[1-9][0-9]{0,8})\.html", name):
            channel = int(match[1])
            return self._pages.filter(layer, channel) if channel in layer.channels else None
        if match := addresses.PATCHES.fullmatch(name):
            channel = int(match["channel"])
            if self.dossier is None or not self.dossier.has(layer.name, channel):
                return None
            sprites = self.dossier.sprites
            made = sprites.patches if match["kind"] == "patches" else sprites.projections
            return made(layer.name, channel)
        if match := addresses.PICTURE.fullmatch(name):
            return self._picture(layer, int(match["channel"]), match["photo"], match["kind"])
        return None

    def _picture(
        self, layer: AtlasLayer, channel: int, photo: str, kind: str
    ) -> bytes | Path | None:
        for known in self.catalog.photos:
            unit = Unit(layer.name, channel, known.name)
            if addresses.slug(known.name) != photo:
                continue
            if kind == ".map.webp":
                return self._map(layer.name, channel, known.name)
            if self.catalog.pictured(unit):
                path = self.catalog.store.picture(unit)
                return _there(path) if kind == ".png" else thumbnail(path)
        return None

    def _map(self, layer: str, channel: int, photo: str) -> bytes | None:
        if self.dossier is None or not self.dossier.has(layer, channel):
            return None
        return self.dossier.map(layer, channel, photo)


def _there(path: Path) -> Path | None:
    return path if path.is_file() else None
