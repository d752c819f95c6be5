"""What is known of an atlas at a moment: its plan, and the sidecars there are."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from texton.atlas.site.pictures import is_whole
from texton.jobs.manifest import AtlasLayer, AtlasPhoto
from texton.jobs.store import PICTURED, Store, Unit
from texton.methods.catalogue import find_method
from texton.methods.method import Method

Record = dict[str, Any]


@dataclass
class Catalog:
    """An atlas in memory: ``records`` are the sidecars that were there when it was looked."""

    store: Store
    method: Method
    records: dict[Unit, Record] = field(default_factory=dict)

    @classmethod
    def read(cls, store: Store) -> Catalog:
        catalog = cls(store, find_method(store.manifest.method))
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
        return replace(self, records=dict(self.records))

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

    def name(self, layer: str, channel: int) -> str:
        """How a picture is called, whatever its photograph: ``relu4_2:17``, or as its layer.

        A method without layers has one of its own name.
        """
        return f"{layer}:{channel}" if "channel" in self.method.axes else layer

    def figures(self, unit: Unit) -> list[Any]:
        """A unit as the pages' scripts have it: its status, and the figures that people see."""
        record = self.records.get(unit, {})
        values = (number(record, figure.key) for figure in self.method.shown())
        # Four digits are enough to sort by.
        short = (None if value is None else float(f"{value:.4g}") for value in values)
        return [record.get("status"), *short]

    def summary(self, layer: AtlasLayer) -> dict[str, Any]:
        """A layer's figures: units ``planned`` and ``done``, filters silent on every photograph
        (``dead``), units that ``failed``, and the ``median`` of the first figure that is shown."""
        units = [Unit(layer.name, c, photo.name) for c in layer.channels for photo in self.photos]
        records = [self.records[unit] for unit in units if unit in self.records]
        alive = [record for record in records if record["status"] == "ok"]
        shown = self.method.shown()[:1]
        known = [n for x in shown for r in alive if (n := number(r, x.key)) is not None]
        return {
            "planned": len(units),
            "done": sum(record["status"] in PICTURED for record in records),
            "dead": sum(self._silent(layer.name, channel) for channel in layer.channels),
            "failed": sum(record["status"] == "failed" for record in records),
            "median": statistics.median(known) if known else None,
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


def number(record: Mapping[str, Any], key: str) -> float | None:
    """A figure of a record; None where there is none, or something that is no finite number."""
    value = record.get(key)
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return None
    return value if abs(value) <= sys.float_info.max else None
