"""From what is asked for, and what an atlas has already, to what it is going to be."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from texton.atlas.settings import (
    check_same,
    check_told,
    complete,
    method_options,
    named_network,
    network_options,
    reading_options,
)
from texton.errors import TextonError
from texton.images.files import content_hash
from texton.jobs.manifest import AtlasLayer, AtlasPhoto, Manifest
from texton.jobs.store import TEMPORARY, Store, needs_exact
from texton.methods.catalogue import find_method
from texton.methods.command import ReadingOptions
from texton.methods.method import Method, Task, without_axes
from texton.methods.result import Unit
from texton.network.choose import choose_channels, choose_layers
from texton.network.network import Network
from texton.version import __version__

_BEFORE_THE_MANIFEST = ("lock", "photos")
NO_PHOTO = "-"  # in the place of a photograph, of methods that take none


@dataclass(frozen=True)
class Asked:
    """What a user asks for. What is None is as the atlas has it, or else the default.

    Attributes:
        photos: image files; none goes on with those of the atlas.
        layers: names and patterns, ``relu*_2,conv5_4``; the rectified layers by default.
        channels: ``0-63``, ``all``, ``top8``; all by default, of a layer that is new those that
            were said for the whole atlas.
        method: by its name; ``filter`` by default.
        options: of the method's: what is asked for.
        network: of `NetworkOptions`, the device included.
        reading: of `ReadingOptions`.
    """

    photos: Sequence[Path] = ()
    layers: str | None = None
    channels: str | None = None
    method: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    network: Mapping[str, Any] = field(default_factory=dict)
    reading: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Plan:
    """What an atlas is going to be, with its network and photographs in memory."""

    before: Manifest | None
    manifest: Manifest
    network: Network
    photos: Mapping[str, Tensor]
    notes: tuple[str, ...] = ()


def make_plan(asked: Asked, root: Path) -> Plan:
    """Decide everything before anything is written.

    Raises:
        TextonError: unknown names; photographs that cannot be read; settings that would mix
            different pictures into an atlas that is there.
    """
    old = existing(root)
    if old:
        check_told(root, old)
    method = _method(asked, root, old)
    options = method_options(method, old, asked.options)
    choice = network_options(old, asked.network)
    reading = reading_options(old, asked.reading)
    network = choice.load()
    settings = complete(options, reading, choice.device, network)
    if old:
        check_same(root, old, network, options, settings)
    trimmed: list[str] = []
    photos, listed = _photos(asked.photos, root, old, network, settings, method, trimmed.append)
    channels = _channels(asked, old)
    chosen = _filters(asked, channels, old, network, photos, method)
    deepest = [name for name in chosen if name in network.layers][-1:]
    for image in photos.values() if deepest else ():  # too small: told before all work
        with torch.no_grad():
            network.encode(image, deepest)
    if method.check:
        units = [(name, photo) for name in chosen for photo in photos or (None,)]
        wanted = tuple(without_axes(method, Unit(name, None, photo)) for name, photo in units)
        seen: dict[str | None, Tensor] = dict(photos.items())
        read = reading.size, reading.white, network.intake().told(reading.crop)
        method.check(Task(network, wanted, seen, options, choice.device, *read))
    manifest = Manifest(
        texton=old.texton if old else __version__,
        torch=old.torch if old else torch.__version__,
        network=network.name,
        weights_hash=network.weights_hash,
        pooling=network.details.get("pooling"),
        network_options=named_network(choice),
        settings=settings,
        layers=_layers(chosen, old, network, method),
        photos=listed,
        channels=channels,
        method=method.name,
        options=options.as_json(),
    )
    notes = (*_notes(old, asked, manifest, network), *trimmed)
    return Plan(old, manifest, network, photos, notes)


def existing(root: Path) -> Manifest | None:
    """The manifest of an atlas that is there, None where one can be begun.

    Raises:
        TextonError: the folder holds something else.
    """
    if (root / "manifest.json").exists():
        return Store.open(root).manifest
    if root.exists() and not root.is_dir():
        raise TextonError(f"'{root}' is not a folder: name one for the atlas with --out")
    strange = [
        path.name
        for path in (root.iterdir() if root.exists() else ())
        if path.name not in _BEFORE_THE_MANIFEST and not fnmatchcase(path.name, TEMPORARY)
    ]
    if strange:
        raise TextonError(
            f"'{root}' holds other files ({strange[0]}) and no atlas: use another --out"
        )
    return None


def joined(before: str, more: str) -> str:
    """The channels of both texts, as one."""
    parts = dict.fromkeys(part.strip() for part in f"{before},{more}".split(","))
    return "all" if "all" in parts else ",".join(parts)


def photo_name(path: Path) -> str:
    """A photograph's name in an atlas: its file's, of letters, digits, ``.``, ``_`` and ``-``."""
    plain = unicodedata.normalize("NFC", path.stem)
    return re.sub(r"[^\w.-]+", "-", plain).strip(".-") or "photo"


def _method(asked: Asked, root: Path, old: Manifest | None) -> Method:
    method = find_method(asked.method or (old.method if old else "filter"))
    if old and old.method != method.name:
        raise TextonError(
            f"the atlas in '{root}' is of {old.method}, you ask for {method.name}: "
            "use another --out"
        )
    if asked.channels is not None and "channel" not in method.axes:
        raise TextonError(f"{method.name} takes no --channels: leave it out")
    if asked.layers is not None and "layer" not in method.axes:
        raise TextonError(f"{method.name} takes no --layers: leave it out")
    return method


def _photos(
    paths: Sequence[Path],
    root: Path,
    old: Manifest | None,
    network: Network,
    settings: Mapping[str, Any],
    method: Method,
    tell: Callable[[str], object],
) -> tuple[dict[str, Tensor], tuple[AtlasPhoto, ...]]:
    """The photographs that were there, then those that are new."""
    if "photo" not in method.axes:
        rows, columns = network.intake().square(settings["size"])
        return {}, (AtlasPhoto(NO_PHOTO, "", "", "", columns, rows, False),)
    store = Store(root, old) if old else None
    listed = {photo.name: photo for photo in old.photos} if old else {}
    images = {name: store.read_photo(name, network.channels) for name in listed} if store else {}
    for photo in listed.values():
        if content_hash(images[photo.name]) != photo.content_hash:
            raise TextonError(f"'{root / photo.file}' has been changed: put the old one back")
    intake = network.intake()
    reading = ReadingOptions.of(ReadingOptions.kept_in(settings))
    for path in paths:
        image = reading.read(path, None, network.channels, intake, tell)
        photo = _as_photo(path, image)
        same = next((x for x in listed.values() if x.content_hash == photo.content_hash), None)
        if same is not None:
            continue
        taken = next((x for x in listed.values() if x.name.lower() == photo.name.lower()), None)
        if taken is not None:
            raise TextonError(
                f"'{path}' would be called '{photo.name}', which another photograph of this atlas "
                f"is called ({taken.source}, other content): rename one of the files"
            )
        listed[photo.name], images[photo.name] = photo, image
    if not listed:
        raise TextonError("no photograph is given: name one or more image files")
    return images, tuple(listed.values())


def _as_photo(path: Path, image: Tensor) -> AtlasPhoto:
    name = photo_name(path)
    height, width = image.shape[2:]
    return AtlasPhoto(
        name,
        f"photos/{name}.png",
        content_hash(image),
        path.name,
        width,
        height,
        needs_exact(image),
    )


def _channels(asked: Asked, old: Manifest | None) -> str:
    """What has been said of the channels for the whole atlas, and not for some layers of it."""
    if old is None:
        return asked.channels or "all"
    if asked.channels is None or asked.layers is not None:
        return old.channels
    return joined(old.channels, asked.channels)


def _filters(
    asked: Asked,
    by_default: str,
    old: Manifest | None,
    network: Network,
    photos: Mapping[str, Tensor],
    method: Method,
) -> dict[str, list[int]]:
    """Every layer's filters, in the network's order: those that are there, and the new ones.

    Of a method that knows no filters, each layer has one; one that knows no layers has one.
    """
    if "layer" not in method.axes:
        return {method.name: [0]}
    there = {layer.name: set(layer.channels) for layer in old.layers} if old else {}
    wanted: dict[str, list[int]] = {}
    if old is None or asked.layers is not None or asked.channels is not None:
        same_layers = list(there) if old and asked.layers is None else None
        layers = same_layers or choose_layers(asked.layers, network)
        if "channel" in method.axes:
            wanted = choose_channels(asked.channels or by_default, layers, network, photos)
        else:
            wanted = {name: [0] for name in layers}
    return {
        name: sorted(there.get(name, set()).union(wanted.get(name, ())))
        for name in network.layers
        if name in there or wanted.get(name)
    }


def _layers(
    chosen: Mapping[str, Sequence[int]],
    old: Manifest | None,
    network: Network,
    method: Method,
) -> tuple[AtlasLayer, ...]:
    known = {layer.name: layer for layer in old.layers} if old else {}
    layers = []
    for name, channels in chosen.items():
        if name in known:
            layers.append(replace(known[name], channels=tuple(channels)))
            continue
        if "layer" not in method.axes:
            layers.append(AtlasLayer(name, 1, 1, None, tuple(channels)))
            continue
        layer = network.measured_layers[name]
        count = layer.channels if "channel" in method.axes else 1
        seen = layer.stride, layer.receptive_field
        layers.append(AtlasLayer(name, count, *seen, tuple(channels), layer.status))
    return tuple(layers)


def _notes(
    old: Manifest | None, asked: Asked, manifest: Manifest, network: Network
) -> tuple[str, ...]:
    notes = []
    if old is None and (only := network.intake().only) and manifest.settings["crop"] != "none":
        notes.append(f"{network.name} takes images of {only[1]}×{only[0]} pixels alone: cropped")
    layered = "layer" in find_method(manifest.method).axes
    if layered and (old is None or asked.layers is not None):
        there = {layer.name for layer in manifest.layers}
        without = [x for x in choose_layers(asked.layers, network) if x not in there]
        if without:
            text = asked.channels or manifest.channels
            notes.append(f"no channel {text} in {', '.join(without)}: left out")
    if old and (old.texton, old.torch) != (__version__, torch.__version__):
        notes.append(
            f"begun with texton {old.texton} and torch {old.torch}, going on with {__version__} "
            f"and {torch.__version__}: pictures may differ a little"
        )
    names = {photo.source for photo in manifest.photos}
    for path in asked.photos:
        if path.name not in names:
            notes.append(f"'{path}' is the same picture as one that the atlas has: not taken twice")
    return tuple(notes)
