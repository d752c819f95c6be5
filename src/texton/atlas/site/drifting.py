"""Two atlases side by side, as static pages: what drifted most comes first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any

from texton.atlas.drift import Drift, Drifts
from texton.atlas.site import addresses
from texton.atlas.site.pages import environment
from texton.atlas.site.pictures import thumbnail
from texton.jobs.store import Store, Unit
from texton.web.shared import shared

_FIRST_PAGE = 48


@dataclass(frozen=True)
class DriftSite:
    """Pages, style and pictures of two atlases' drift, by their addresses."""

    drifts: Drifts

    def paths(self) -> Iterator[str]:
        """Every address, relative to the site's root."""
        yield from ("index.html", "assets/house.css", "assets/site.css")
        for layer, found in self.drifts.layers.items():
            yield f"{addresses.slug(layer)}/index.html"
            for one in found:
                for side in self._sides:
                    if self._picture(side, one) is not None:
                        yield _address(side, one)

    def content(self, path: str) -> str | bytes | Path | None:
        """What is at an address; None where there is nothing."""
        if path == "assets/house.css":
            return shared("house.css")
        if path == "assets/site.css":
            return resources.files(__package__).joinpath("static/site.css").read_text("utf-8")
        if path == "index.html":
            return self._page("", None, self.drifts.farthest(_FIRST_PAGE))
        folder, _, name = path.rpartition("/")
        if name == "index.html" and folder in self._slugs:
            layer = self._slugs[folder]
            return self._page("../", layer, self.drifts.layers[layer])
        side, drift = self._pictures.get(path, (None, None))
        if side is None or drift is None:
            return None
        picture = self._picture(side, drift)
        return None if picture is None else thumbnail(picture)

    @property
    def _sides(self) -> Mapping[str, Store]:
        return {"a": self.drifts.first, "b": self.drifts.second}

    @cached_property
    def _slugs(self) -> dict[str, str]:
        return {addresses.slug(layer): layer for layer in self.drifts.layers}

    @cached_property
    def _pictures(self) -> dict[str, tuple[str, Drift]]:
        every = [one for found in self.drifts.layers.values() for one in found]
        return {_address(side, one): (side, one) for one in every for side in self._sides}

    def _picture(self, side: str, drift: Drift) -> Path | None:
        store = self._sides[side]
        path = store.picture(Unit(drift.layer, drift.channel, self.drifts.photo))
        return path if path.is_file() else None

    def _page(self, root: str, layer: str | None, shown: Sequence[Drift]) -> str:
        layers = [
            {
                "name": name,
                "page": f"{addresses.slug(name)}/index.html",
                **self.drifts.summary(name),
            }
            for name in self.drifts.layers
        ]
        return environment().get_template("drift.html").render(
            root=root,
            layer=layer,
            about=next((x for x in layers if x["name"] == layer), None),
            layers=layers,
            photo=self.drifts.photo,
            differing=self.drifts.differing,
            names=[_named(store) for store in self._sides.values()],
            pairs=[self._pair(one) for one in shown],
        )  # fmt: skip

    def _pair(self, drift: Drift) -> dict[str, Any]:
        images = [
            _address(side, drift) if self._picture(side, drift) is not None else None
            for side in self._sides
        ]
        return {"drift": drift, "images": images}


def _address(side: str, drift: Drift) -> str:
    return f"{addresses.slug(drift.layer)}/{drift.channel}.{side}.webp"


def _named(store: Store) -> str:
    return f"{store.root.resolve().name} ({store.manifest.network}, {store.manifest.weights_hash})"
