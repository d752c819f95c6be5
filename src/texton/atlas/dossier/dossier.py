"""The evidence behind an atlas's filters: measured once, kept beside it, asked by its pages."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from texton.atlas.dossier import drawing
from texton.atlas.dossier import figures as f
from texton.atlas.dossier.measure import LISTED, Record, feeds, measured
from texton.atlas.dossier.pictures import BANDS, Sprites
from texton.errors import TextonError
from texton.evidence.format import Evidence
from texton.images.files import read_image, write_bytes
from texton.jobs.manifest import AtlasLayer
from texton.jobs.store import Store, Unit, folder_name
from texton.methods.method import Figure
from texton.methods.parts.sweep import sweep
from texton.methods.parts.tuned import tune
from texton.network.device import Compute, choose_compute
from texton.reading import read_json_file

if TYPE_CHECKING:
    from texton.network.network import Network

FORMAT = 3  # of what is kept: another makes it anew
OnStep = Callable[[str, int, int], None]


class Dossier:
    """An atlas's filters in the pictures of an evidence folder.

    Args:
        network: loads it, asked for only where something is to be computed.
        projected: how many patches of a filter are projected down to the pixels too.
    """

    def __init__(
        self,
        store: Store,
        evidence: Evidence,
        network: Callable[[], Network],
        projected: int = 0,
    ) -> None:
        self.store, self.evidence, self._load = store, evidence, network
        self.records: dict[str, Record] = {}
        self.sprites = Sprites(evidence, lambda: self.network, projected)

    @classmethod
    def open(
        cls, store: Store, folder: Path, network: Callable[[], Network], projected: int = 0
    ) -> Dossier:
        """
        Raises:
            TextonError: there is no evidence, or it is another network's; it has none of the
                atlas's layers; an atlas without filters.
        """
        from texton.methods.catalogue import find_method

        if "channel" not in find_method(store.manifest.method).axes:
            raise TextonError(f"'{store.root}' has no filters: evidence is about filters")
        evidence = Evidence.open(folder)
        if evidence.manifest.weights_hash != store.manifest.weights_hash:
            raise TextonError(
                f"'{folder}' was scanned with {evidence.manifest.network} of other weights than "
                f"the atlas's: scan with the same --network and --weights"
            )
        if not any(layer.name in evidence.layers for layer in store.manifest.layers):
            raise TextonError(f"'{folder}' has none of the layers of '{store.root}'")
        return cls(store, evidence, network, projected)

    @cached_property
    def network(self) -> Network:
        network = self._load()
        if network.weights_hash != self.store.manifest.weights_hash:
            raise TextonError(f"'{self.store.root}' was made with other weights than are here")
        return network

    @property
    def layers(self) -> list[AtlasLayer]:
        """Those of the atlas that were scanned."""
        return [x for x in self.store.manifest.layers if x.name in self.evidence.layers]

    def update(self, on_step: OnStep | None = None) -> None:
        """Measure what is not known yet, and keep it beside the atlas where it can be kept."""
        stamps = {layer.name: self._stamp(layer) for layer in self.layers}
        for layer in self.layers:
            if (known := self._kept(layer.name, stamps[layer.name])) is not None:
                self.records[layer.name] = known
        missing = [layer for layer in self.layers if layer.name not in self.records]
        if not missing:
            return
        tell = on_step or (lambda what, done, of: None)
        compute, network = choose_compute("auto"), self.network
        wanted = {layer.name: layer.channels for layer in missing}
        earlier = {x.name: () for x in self.layers}  # paths run through all of them
        tell("gratings and colours", 0, 1)
        tuned = tune(network, wanted, compute)
        pass_on = lambda done, of: tell("pictures", done, of)  # noqa: E731
        paths = sweep(network, self.evidence, {**earlier, **wanted}, compute, pass_on)
        named = self._words(wanted, compute, pass_on)
        for at, layer in enumerate(missing, 1):
            name = layer.name
            told = (paths[name], tuned[name], self._texture(name), compute)
            record = measured(network, self.evidence, name, layer.channels, *told)
            record["words"] = named.get(name, {})
            self.records[name] = record
            with suppress(TextonError):
                kept = {"stamp": stamps[name], **record}
                write_bytes(json.dumps(kept, separators=(",", ":")).encode(), self._path(name))
            tell("layers", at, len(missing))

    def columns(self, layer: str) -> dict[str, list[float | None]]:
        """Every figure of a layer's filters by key, as many as the atlas has; empty without."""
        chosen = next((x.channels for x in self.layers if x.name == layer), None)
        if chosen is None:
            return {}
        every = self._figures(layer)
        return {key: [values.get(channel) for channel in chosen] for key, values in every.items()}

    def dead(self, layer: str) -> int | None:
        """How many of the atlas's filters no picture excites; None where nothing is known."""
        active = self.columns(layer).get(f.ACTIVE.key)
        return None if active is None else sum(value == 0 for value in active)

    @property
    def figures(self) -> tuple[Figure, ...]:
        """What every filter has."""
        return f.FIGURES

    @property
    def pictures(self) -> int:
        """How many were looked at."""
        return max(self.evidence.layer(layer.name).pictures for layer in self.layers)

    def page(self, layer: str, channel: int) -> dict[str, Any] | None:
        """What a filter's page shows; None where nothing is known of it."""
        record = self.records.get(layer, {}).get("filters", {}).get(str(channel))
        if record is None:
            return None
        found = self.evidence.layer(layer)
        figures = {key: values.get(channel) for key, values in self._figures(layer).items()}
        places = self.sprites.places(layer, channel)
        tuning = record["tuning"]
        weights = [
            abs(x) for part in (*record["adds"], *record["takes"]) for row in part[2] for x in row
        ]

        def drawn(parts: list[Any]) -> list[tuple[int, float, str]]:
            most = max(weights, default=1.0)
            return [(part, share, drawing.kernel(cells, most)) for part, share, cells in parts]

        return {
            "figures": figures,
            "dead": figures[f.ACTIVE.key] == 0,
            "pictures": found.pictures,
            "places": [{**place, "at": at} for at, place in enumerate(places)],
            "sprite": None,
            "projected": min(self.sprites.projected, sum(x["band"] == "top" for x in places)),
            "words": self.records[layer]["words"].get(str(channel), []),
            "bands": BANDS,
            "histogram": drawing.histogram(found.histogram[channel]),
            "tuning": {
                "orientations": drawing.orientations(tuning["orientations"]),
                "periods": drawing.periods(tuning["periods"]),
                "hues": drawing.hues(tuning["hues"])
                if max(tuning["hues"], default=0) > 0.02
                else "",
            },
            "source": self.records[layer]["source"],
            "adds": drawn(record["adds"]),
            "takes": drawn(record["takes"]),
            "feeds": self._feeds.get((layer, channel), [])[:LISTED],
        }

    def has(self, layer: str, channel: int) -> bool:
        return str(channel) in self.records.get(layer, {}).get("filters", {})

    def map(self, layer: str, channel: int, photo: str) -> bytes | None:
        """Where a filter fires on a photograph of the atlas, as WebP; None without it."""
        channels = self.network.channels
        try:
            return self.sprites.map(
                layer, channel, photo, lambda: self.store.read_photo(photo, channels)
            )
        except TextonError:
            return None

    @cached_property
    def _feeds(self) -> Mapping[tuple[str, int], list[tuple[str, int, float]]]:
        return feeds(self.records)

    @lru_cache(maxsize=64)  # noqa: B019 - as long as the site lives
    def _figures(self, layer: str) -> dict[str, dict[int, float | None]]:
        found, known = self.evidence.layer(layer), self.records.get(layer, {}).get("filters", {})
        arrays = (found.top_value[:, 0], found.mean, found.deviation, found.silent)
        every = (*arrays, found.active_pictures, found.selectivity)
        figures: dict[str, dict[int, float | None]] = {
            figure.key: {at: float(f"{value:.4g}") for at, value in enumerate(values)}
            for figure, values in zip(f.STATISTICS, every, strict=True)
        }
        keys = {"half": "half", "trust": "trust"}
        for key in keys:
            figures[key] = {int(c): told[key] for c, told in known.items()}
        names = {"selective": "selectivity"}
        for figure in f.TUNING:
            key = names.get(figure.key, figure.key)
            figures[figure.key] = {int(c): told["tuning"][key] for c, told in known.items()}
        return figures

    def _words(
        self,
        layers: Mapping[str, Sequence[int]],
        compute: Compute,
        tell: Callable[[int, int], None],
    ) -> dict[str, dict[str, list[Any]]]:
        """By layer and channel; nothing without the classifier, or of pictures without colours."""
        from texton.methods.parts.words import CLASSIFIER, see, words
        from texton.network.load import load_network

        if self.evidence.channels != 3:
            return {}
        try:
            seen = see(self.evidence, load_network(CLASSIFIER), layers, compute, tell)
            named = {}
            for name, channels in layers.items():
                found = self.evidence.layer(name)
                told = words(seen, [[x.picture for x in found.places(c)] for c in channels])
                named[name] = {str(c): own for c, own in zip(channels, told, strict=True) if own}
        except TextonError:
            return {}
        return named

    def _texture(self, layer: str) -> Callable[[int], Tensor | None]:
        photo = self.store.manifest.photos[0].name

        def read(channel: int) -> Tensor | None:
            unit = Unit(layer, channel, photo)
            record = self.store.record(unit)
            if record is None or record["status"] != "ok":
                return None
            try:
                return read_image(self.store.picture(unit), channels=self.network.channels)
            except TextonError:
                return None

        return read

    def _stamp(self, layer: AtlasLayer) -> str:
        """Changes with the scan, and with the textures that there are."""
        digest = hashlib.sha256(f"{FORMAT}{[x.name for x in self.layers]}".encode())
        digest.update(self.evidence.manifest.to_json().encode())
        photo = self.store.manifest.photos[0].name
        for channel in layer.channels:
            with suppress(OSError):
                changed = self.store.picture(Unit(layer.name, channel, photo)).stat().st_mtime_ns
                digest.update(f"{channel}:{changed};".encode())
        return digest.hexdigest()[:16]

    def _kept(self, layer: str, stamp: str) -> Record | None:
        try:
            kept = read_json_file(self._path(layer))
        except (OSError, ValueError):
            return None
        return kept if kept.get("stamp") == stamp else None

    def _path(self, layer: str) -> Path:
        return self.store.root / "index" / f"dossier-{folder_name(layer)}.json"
