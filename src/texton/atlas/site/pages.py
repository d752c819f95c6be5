"""The pages and their data, from what is known of an atlas."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from texton.atlas.similar import Similar
from texton.atlas.site import addresses
from texton.atlas.site.catalog import Catalog, Record, number
from texton.atlas.site.natural import shown
from texton.atlas.site.scripts import chosen, ranges, script
from texton.errors import optional
from texton.jobs.manifest import AtlasLayer, AtlasPhoto
from texton.jobs.store import Unit
from texton.methods.method import SECONDS, STEPS, Figure

if TYPE_CHECKING:
    from texton.atlas.dossier.dossier import Dossier

with optional("atlas"):
    import jinja2

STRIP = 12  # tiles of a layer on the overview


@dataclass(frozen=True)
class Pages:
    """Renders pages: their text, complete without a script; and the data that scripts read."""

    catalog: Catalog
    similar: Similar
    thumbnails: bool
    live: str | None
    dossier: Dossier | None = None

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
            filters_here=[(c, self.catalog.name(layer.name, c)) for c in layer.channels],
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
        first = self.catalog.photos[0]
        tiles = {
            key: [self._tile(*near, first, layer.name) for near in similar.get(found, ())]
            for key, similar in (("same", self.similar.same), ("others", self.similar.others))
        }
        return self._render(
            "filter.html",
            "../",
            current=layer.name,
            layer=self._about(layer),
            channel=channel,
            name=self.catalog.name(*found),
            before=before,
            after=after,
            pictures=[self._picture(layer, channel, photo) for photo in self.catalog.photos],
            dossier=self.dossier and shown(self.dossier, layer.name, channel, self._linked),
            **tiles,
        )

    def atlas_data(self) -> str:
        """What every page's script knows: the method and its figures, layers, photographs."""
        catalog = self.catalog
        method = catalog.method
        told = ("key", "label", "show", "digits", "better", "help")
        return script(
            "atlas",
            {
                "method": chosen(method, ("name", "title", "caption", "axes")),
                "figures": [chosen(figure, told) for figure in method.shown()],
                "evidence": [chosen(figure, told) for figure in self._evidence_figures],
                "layers": [
                    {"name": x.name, "slug": addresses.slug(x.name), "ranges": ranges(x.channels)}
                    for x in catalog.layers
                ],
                "photos": [
                    {"slug": addresses.slug(x.name), **chosen(x, ("name", "width", "height"))}
                    for x in catalog.photos
                ],
                "thumbnails": self.thumbnails,
            },
        )

    def layer_data(self, layer: AtlasLayer) -> str:
        """A layer's figures in columns, a value per filter, for each photograph; and its map."""
        keys = ("status", *(figure.key for figure in self.catalog.method.shown()))
        columns = []
        for photo in self.catalog.photos:
            units = [Unit(layer.name, channel, photo.name) for channel in layer.channels]
            rows = [self.catalog.figures(unit) for unit in units]
            columns.append({key: [row[at] for row in rows] for at, key in enumerate(keys)})
        found = self.similar.maps.get(layer.name)
        laid_out = found and {
            "columns": found.columns,
            "rows": found.rows,
            "cells": [found.cells.get(channel, -1) for channel in layer.channels],
            "walk": found.walk(),
        }
        return script(
            "layer",
            {
                "slug": addresses.slug(layer.name),
                "channels": list(layer.channels),
                "photos": columns,
                "evidence": self.dossier.columns(layer.name) if self.dossier else {},
                "map": laid_out,
            },
        )

    def _render(self, template: str, root: str, **more: Any) -> str:
        context = {**self._common, "current": None, "root": root, **more}
        return environment().get_template(template).render(context)

    @cached_property
    def _common(self) -> dict[str, Any]:
        catalog = self.catalog
        last = catalog.layers[-1]
        return {
            "manifest": catalog.store.manifest,
            "method": catalog.method,
            "axes": catalog.method.axes,
            "figures": catalog.method.shown(),
            "evidence_figures": self._evidence_figures,
            "evidence_pictures": self.dossier.pictures if self.dossier else 0,
            "example": catalog.name(last.name, last.channels[0]),
            "filters": catalog.filters,
            "counts": catalog.counts(),
            "photos": [
                {"photo": photo, "image": addresses.photograph(photo.name)}
                for photo in catalog.photos
            ],
            "nav": [(x.name, addresses.layer_page(x.name)) for x in catalog.layers],
            "told": _settings(catalog.store.manifest.settings),
            "live": self.live,
        }

    @property
    def _evidence_figures(self) -> tuple[Figure, ...]:
        return () if self.dossier is None else self.dossier.figures

    def _linked(self, layer: str, channel: int) -> dict[str, Any] | str:
        """A filter as a tile that leads to its page; by its name where the atlas has none."""
        there = any(x.name == layer and channel in x.channels for x in self.catalog.layers)
        if not there:
            return f"{layer}:{channel}" if layer else f"channel {channel} of the image"
        return self._tile(layer, channel, self.catalog.photos[0], "")

    @cached_property
    def _told(self) -> dict[str, dict[str, Any]]:
        return {}

    def _about(self, layer: AtlasLayer) -> dict[str, Any]:
        if layer.name not in self._told:
            self._told[layer.name] = {
                "name": layer.name,
                "page": addresses.layer_page(layer.name),
                "filters": layer.filters,
                "chosen": len(layer.channels),
                "stride": layer.stride,
                "field": layer.receptive_field,
                "field_status": layer.field_status,
                **self.catalog.summary(layer),
                "silent": self.dossier.dead(layer.name) if self.dossier else None,
            }
        return self._told[layer.name]

    def _strip(self, layer: AtlasLayer) -> list[dict[str, Any]]:
        """Some filters that stand for the layer: spread over its map, the clearest of each part.

        Without a map, spread over its channels; without channels, the first photographs.
        """
        photos = self.catalog.photos
        if self._by_photo:
            shown = [(layer.channels[0], photo) for photo in photos[:STRIP]]
        else:
            found = self.similar.maps.get(layer.name)
            walk = found.walk() if found else list(layer.channels)
            edges = [len(walk) * place // STRIP for place in range(STRIP + 1)]
            parts = [walk[low:high] for low, high in pairwise(edges) if high > low]
            clearness = partial(self._clearness, layer.name)
            shown = [(max(part, key=clearness), photos[0]) for part in parts]
        return [self._tile(layer.name, channel, photo, layer.name) for channel, photo in shown]

    def _clearness(self, layer: str, channel: int) -> tuple[bool, float]:
        """What is high where a picture is good says it better than a small error."""
        record = self.catalog.records.get(Unit(layer, channel, self.catalog.photos[0].name), {})
        shown = self.catalog.method.shown()
        judged = [x for wanted in ("high", "low") for x in shown if x.better == wanted]
        value = number(record, judged[0].key) if judged else None
        if value is not None and judged[0].better == "low":
            value = -value
        return record.get("status") == "ok", -math.inf if value is None else value

    @property
    def _by_photo(self) -> bool:
        """Whether a layer's pictures are told apart by their photographs alone."""
        axes = self.catalog.method.axes
        return "photo" in axes and "channel" not in axes

    def _tile(self, layer: str, channel: int, photo: AtlasPhoto, here: str) -> dict[str, Any]:
        """A small picture that leads to a unit's page; no ``image`` while it is not made.

        Its caption is the number or photograph alone on what is about the layer ``here``.
        """
        unit = Unit(layer, channel, photo.name)
        address = addresses.thumbnail if self.thumbnails else addresses.picture
        own: int | str | None = channel if "channel" in self.catalog.method.axes else None
        page = addresses.filter_page(layer, channel)
        if self._by_photo:
            own, page = photo.name, f"{page}#on-{self.catalog.photos.index(photo) + 1}"
        return {
            "name": self.catalog.name(layer, channel),
            "layer": layer,
            "own": own,
            "short": own is not None and layer == here,
            "unit": addresses.unit(layer, channel, photo.name),
            "page": page,
            "image": address(layer, channel, photo.name) if self.catalog.pictured(unit) else None,
            "status": self.catalog.records.get(unit, {}).get("status"),
            "photo": photo,
        }

    def _picture(self, layer: AtlasLayer, channel: int, photo: AtlasPhoto) -> dict[str, Any]:
        place = (layer.name, channel, photo.name)
        name = self.catalog.name(layer.name, channel)
        return {
            "photo": photo,
            "photograph": addresses.photograph(photo.name),
            "map": addresses.map_of(*place) if self._mapped(layer.name, channel) else None,
            "record": self.catalog.records.get(Unit(*place)),
            "image": addresses.picture(*place) if self.catalog.pictured(Unit(*place)) else None,
            "caption": self.catalog.method.caption.format(unit=name, photo=photo.name),
            "unit": addresses.unit(*place),
        }

    def _mapped(self, layer: str, channel: int) -> bool:
        known = self.dossier is not None and self.dossier.has(layer, channel)
        return known and "photo" in self.catalog.method.axes


def _settings(told: Mapping[str, Any]) -> str:
    """What people ask first of how the pictures were made."""
    forms = {"preset": "{} preset", "size": "{} px", "seed": "seed {}"}
    return ", ".join(form.format(told[key]) for key, form in forms.items() if key in told)


def _text(record: Record, figure: Figure) -> str:
    return figure.text(number(record, figure.key))


@lru_cache(maxsize=1)
def environment() -> jinja2.Environment:
    """The templates of all pages."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("texton.atlas.site"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["text"] = _text
    environment.globals.update(seconds=SECONDS, steps=STEPS)
    return environment
