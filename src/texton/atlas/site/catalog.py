"""What is known of an atlas at a moment: its plan, and the sidecars there are."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from texton.atlas.site.pictures import is_whole
from texton.jobs.manifest import AtlasLayer, AtlasPhoto
from texton.jobs.store import PICTURED, Store, Unit

Record = dict[str, Any]
FIGURES = {  # the site's short names, and the sidecars'
    "error": "error",
    "achieved": "achieved",
    "energy": "energy_share",
    "leakage": "leakage",
}


@dataclass
class Catalog:
    """An atlas in memory: ``records`` are the sidecars that were there when it was looked."""

    store: Store
    records: dict[Unit, Record] = field(default_factory=dict)

    @classmethod
    def read(cls, store: Store) -> Catalog:
        catalog = cls(store)
        catalog.records.update(catalog.missing())
        return catalog

    def missing(self) -> dict[Unit, Record]:
        """What the disk has beyond ``records``: new sidecars, and failures that were retried."""
        new = {}
        for unit in self.store.units():
            known = self.records.get(unit)
            if known is not None and known["status"] in PICTURED:
                continue
            record = self.store.record(unit)
            if record is not None and record != known:
                new[unit] = record
        return new

    def drop_unreadable(self) -> dict[Unit, Path]:
        """Count the units whose picture is damaged as not made, as those are whose sidecar is.

        Returns:
            Each with its file that is damaged.
        """
        store, found = self.store, {}
        for unit in store.units():
            if unit not in self.records and store.sidecar(unit).exists():
                found[unit] = store.sidecar(unit)
            elif self.pictured(unit) and not is_whole(store.picture(unit)):
                found[unit] = store.picture(unit)
                del self.records[unit]
        return found

    def snapshot(self) -> Catalog:
        """What is known now, for pages that are made while more comes in."""
        return Catalog(self.store, dict(self.records))

    def alive(self) -> list[Unit]:
        """The units whose picture shows a live filter, in order."""
        found = (u for u in self.store.units() if self.records.get(u, {}).get("status") == "ok")
        return list(found)

    @property
    def layers(self) -> tuple[AtlasLayer, ...]:
        return self.store.manifest.layers

    @property
    def photos(self) -> tuple[AtlasPhoto, ...]:
        return self.store.manifest.photos

    @property
    def filters(self) -> int:
        return sum(len(layer.channels) for layer in self.layers)

    def pictured(self, unit: Unit) -> bool:
        record = self.records.get(unit)
        return record is not None and record["status"] in PICTURED

    def of_layer(self, layer: AtlasLayer) -> Iterable[Record]:
        """The layer's records, by filter and photograph."""
        for channel in layer.channels:
            for photo in self.photos:
                record = self.records.get(Unit(layer.name, channel, photo.name))
                if record is not None:
                    yield record

    def summary(self, layer: AtlasLayer) -> dict[str, Any]:
        """A layer's figures: units ``planned`` and ``done``, filters silent on every photograph
        (``dead``), units that ``failed``, and the median ``error``."""
        records = list(self.of_layer(layer))
        errors = [
            record["error"]
            for record in records
            if record["status"] == "ok" and record.get("error") is not None
        ]
        return {
            "planned": len(layer.channels) * len(self.photos),
            "done": sum(record["status"] in PICTURED for record in records),
            "dead": sum(self._silent(layer.name, channel) for channel in layer.channels),
            "failed": sum(record["status"] == "failed" for record in records),
            "error": statistics.median(errors) if errors else None,
        }

    def counts(self) -> dict[str, int]:
        """How far the atlas is: ``units``, ``done``, ``failed``, ``left``."""
        done = sum(record["status"] in PICTURED for record in self.records.values())
        failed = len(self.records) - done
        units = self.filters * len(self.photos)
        return {"units": units, "done": done, "failed": failed, "left": units - done - failed}

    def _silent(self, layer: str, channel: int) -> bool:
        found = [self.records.get(Unit(layer, channel, photo.name)) for photo in self.photos]
        made = [record["status"] for record in found if record is not None]
        return bool(made) and all(status == "dead" for status in made)


def figures(record: Record | None) -> list[Any]:
    """A record as the pages' scripts have it: status, error, achieved, energy, leakage."""
    if record is None:
        return [None] * (1 + len(FIGURES))
    return [record["status"], *(_short(record.get(key)) for key in FIGURES.values())]


def _short(value: float | None) -> float | None:
    """Four digits are enough to sort by; JSON knows no infinity."""
    return None if value is None or not math.isfinite(value) else float(f"{value:.4g}")
