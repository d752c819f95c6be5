"""The pages and their data, from what is known of an atlas."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import Any

from texton.atlas.similar import Filter, Similar
from texton.atlas.site import addresses
from texton.atlas.site.catalog import FIGURES, Catalog, figures
from texton.errors import optional
from texton.jobs.manifest import AtlasLayer
from texton.jobs.store import Unit

with optional("atlas"):
    import jinja2

STRIP = 12  # tiles of a layer on the overview


@dataclass(frozen=True)
class Tile:
    """A small picture that leads to a filter's page; no ``image`` while it is not made."""

    layer: str
    channel: int
    unit: str
    page: str
    image: str | None
    status: str | None
    width: int
    height: int

    @property
    def name(self) -> str:
        return f"{self.layer}:{self.channel}"


@dataclass(frozen=True)
class Pages:
    """Renders pages: their text, complete without a script; and the data that scripts read."""

    catalog: Catalog
    similar: Similar
    thumbnails: bool
    live: str | None

    def overview(self) -> str:
        layers = [
            {**self._about(layer), "tiles": self._strip(layer)} for layer in self.catalog.layers
        ]
        return self._render("overview.html", "", layers=layers)

    def everything(self) -> str:
        scripts = [addresses.layer_data(layer.name) for layer in self.catalog.layers]
        return self._render("grid.html", "", current="*", layer=None, scripts=scripts)

    def layer(self, layer: AtlasLayer) -> str:
        scripts = [addresses.layer_data(layer.name)]
        return self._render(
            "grid.html",
            "../",
            current=layer.name,
            layer=self._about(layer),
            layer_channels=layer.channels,
            scripts=scripts,
        )

    def compare(self) -> str:
        return self._render("compare.html", "")

    def filter(self, layer: AtlasLayer, channel: int) -> str:
        place = layer.channels.index(channel)
        around = (place - 1, place + 1)
        before, after = (
            layer.channels[at] if 0 <= at < len(layer.channels) else None for at in around
        )
        found = (layer.name, channel)
        return self._render(
            "filter.html",
            "../",
            current=layer.name,
            layer=self._about(layer),
            channel=channel,
            before=before,
            after=after,
            pictures=[self._picture(layer, channel, index) for index in range(self._photo_count)],
            same=self._tiles(self.similar.same.get(found, ())),
            others=self._tiles(self.similar.others.get(found, ())),
        )

    def atlas_data(self) -> str:
        """What every page's script knows: layers, filters and photographs by name."""
        manifest = self.catalog.store.manifest
        return _script(
            "atlas",
            {
                "network": manifest.network,
                "layers": [
                    {
                        "name": layer.name,
                        "slug": addresses.slug(layer.name),
                        "ranges": _ranges(layer.channels),
                        "filters": layer.filters,
                    }
                    for layer in manifest.layers
                ],
                "photos": [
                    {
                        "name": photo.name,
                        "slug": addresses.slug(photo.name),
                        "width": photo.width,
                        "height": photo.height,
                    }
                    for photo in manifest.photos
                ],
                "thumbnails": self.thumbnails,
            },
        )

    def layer_data(self, layer: AtlasLayer) -> str:
        """A layer's figures in columns, a value per filter, for each photograph; and its map."""
        columns = []
        for photo in self.catalog.photos:
            units = [Unit(layer.name, channel, photo.name) for channel in layer.channels]
            rows = [figures(self.catalog.records.get(unit)) for unit in units]
            columns.append(
                {
                    key: [row[place] for row in rows]
                    for place, key in enumerate(("status", *FIGURES))
                }
            )
        found = self.similar.maps.get(layer.name)
        laid_out = found and {
            "columns": found.columns,
            "rows": found.rows,
            "cells": [found.cells.get(channel, -1) for channel in layer.channels],
            "walk": found.walk(),
        }
        return _script(
            "layer",
            {
                "slug": addresses.slug(layer.name),
                "channels": list(layer.channels),
                "photos": columns,
                "map": laid_out,
            },
        )

    @property
    def _photo_count(self) -> int:
        return len(self.catalog.photos)

    def _render(self, template: str, root: str, **more: Any) -> str:
        context = {
            **self._common,
            "current": None,
            "root": root,
        }
        return _environment().get_template(template).render({**context, **more})

    @cached_property
    def _common(self) -> dict[str, Any]:
        return {
            "manifest": self.catalog.store.manifest,
            "filters": self.catalog.filters,
            "counts": self.catalog.counts(),
            "photos": [
                {"photo": photo, "image": addresses.photograph(photo.name)}
                for photo in self.catalog.photos
            ],
            "nav": [(x.name, addresses.layer_page(x.name)) for x in self.catalog.layers],
            "live": self.live,
        }

    @cached_property
    def _told(self) -> dict[str, dict[str, Any]]:
        return {}

    def _about(self, layer: AtlasLayer) -> dict[str, Any]:
        if layer.name not in self._told:
            self._told[layer.name] = self._summary(layer)
        return self._told[layer.name]

    def _summary(self, layer: AtlasLayer) -> dict[str, Any]:
        return {
            "name": layer.name,
            "page": addresses.layer_page(layer.name),
            "filters": layer.filters,
            "chosen": len(layer.channels),
            "stride": layer.stride,
            "field": layer.receptive_field,
            **self.catalog.summary(layer),
        }

    def _strip(self, layer: AtlasLayer) -> list[Tile]:
        """Some filters that stand for the layer: spread over its map, the clearest of each part.

        Without a map, spread over its channels.
        """
        photo = self.catalog.photos[0].name
        found = self.similar.maps.get(layer.name)
        walk = found.walk() if found else list(layer.channels)

        def clearness(channel: int) -> tuple[bool, float]:
            record = self.catalog.records.get(Unit(layer.name, channel, photo), {})
            return record.get("status") == "ok", record.get("achieved") or 0.0

        edges = [len(walk) * place // STRIP for place in range(STRIP + 1)]
        parts = [walk[low:high] for low, high in pairwise(edges) if high > low]
        return self._tiles([(layer.name, max(part, key=clearness)) for part in parts])

    def _tiles(self, filters: Sequence[Filter]) -> list[Tile]:
        photo = self.catalog.photos[0]
        address = addresses.thumbnail if self.thumbnails else addresses.picture
        tiles = []
        for layer, channel in filters:
            unit = Unit(layer, channel, photo.name)
            record = self.catalog.records.get(unit)
            shown = address(*_place(unit)) if self.catalog.pictured(unit) else None
            tiles.append(
                Tile(
                    layer,
                    channel,
                    f"{addresses.slug(layer)}:{channel}@{addresses.slug(photo.name)}",
                    addresses.filter_page(layer, channel),
                    shown,
                    record["status"] if record else None,
                    photo.width,
                    photo.height,
                )
            )
        return tiles

    def _picture(self, layer: AtlasLayer, channel: int, index: int) -> dict[str, Any]:
        photo = self.catalog.photos[index]
        unit = Unit(layer.name, channel, photo.name)
        shown = self.catalog.pictured(unit)
        return {
            "photo": photo,
            "photograph": addresses.photograph(photo.name),
            "record": self.catalog.records.get(unit),
            "image": addresses.picture(*_place(unit)) if shown else None,
            "unit": f"{addresses.slug(layer.name)}:{channel}@{addresses.slug(photo.name)}",
        }


def _place(unit: Unit) -> tuple[str, int, str]:
    return str(unit.layer), unit.channel or 0, str(unit.photo)


def _ranges(channels: Sequence[int]) -> list[list[int]]:
    """0, 1, 2, 7 as [[0, 2], [7, 7]]."""
    ranges: list[list[int]] = []
    for channel in channels:
        if ranges and ranges[-1][1] == channel - 1:
            ranges[-1][1] = channel
        else:
            ranges.append([channel, channel])
    return ranges


def _script(kind: str, value: dict[str, Any]) -> str:
    """Data as a classic script: what a page may load from a disk as well as from a server."""
    told = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return f"(window.texton=window.texton||{{data:[]}}).data.push([{json.dumps(kind)},{told}]);\n"


def _percent(value: float | None, digits: int = 1) -> str:
    return "–" if value is None else f"{100 * value:.{digits}f} %"


def _number(value: float | None, digits: int = 3) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


@lru_cache(maxsize=1)
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("texton.atlas.site"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(percent=_percent, number=_number)
    return environment
