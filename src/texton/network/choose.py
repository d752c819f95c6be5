"""Which layers and filters a user means: ``relu*_2,conv5_4``; ``4``, ``0-3,top8``, ``all``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from texton.errors import TextonError, near_names

if TYPE_CHECKING:
    from torch import Tensor

    from texton.network.network import Network

_HOW = "name channels as 4, 0-4, 0,7,31, all or top5"
_PART = re.compile(r"all|top(?P<top>[0-9]{1,9})|(?P<first>[0-9]{1,9})(-(?P<last>[0-9]{1,9}))?")


@dataclass(frozen=True)
class Filters:
    """Some filters of one layer, in the order asked for."""

    layer: str
    channels: tuple[int, ...]


def choose_layers(text: str | None, network: Network) -> list[str]:
    """Layers by name or pattern, ``relu*_2,conv5_4``, in the network's order.

    Without a text: the rectified layers, as in the paper; all, in a network that has none.

    Raises:
        TextonError: a name or pattern that no layer has; the nearest are named.
    """
    if text is None:
        return [x.name for x in network.layers.values() if x.rectifies] or list(network.layers)
    chosen: set[str] = set()
    for part in (part.strip() for part in text.split(",")):
        if part in network.layers or not re.search(r"[*?\[]", part):
            chosen.add(network.layer(part).name)
            continue
        matching = {name for name in network.layers if fnmatchcase(name, part)}
        if not matching:
            raise TextonError(
                f"no layer of {network.name} matches '{part}'"
                f"{near_names(part, network.layers)}: `texton layers` lists them"
            )
        chosen |= matching
    return [name for name in network.layers if name in chosen]


def parse_filters(specs: Sequence[str], network: Network, photo: Tensor | None) -> list[Filters]:
    """``LAYERS:CHANNELS`` texts as filters; ``top5`` are the five that carry most of the
    photograph's energy. What is named twice is taken once.

    A layer that is named has every channel asked for; of a pattern's layers each gives those
    that it has.

    Raises:
        TextonError: an unknown layer or channel, or a text of another form.
    """
    chosen: dict[str, dict[int, None]] = {}
    photos = [] if photo is None else [photo]
    for spec in specs:
        named, colon, text = spec.rpartition(":")
        if not colon:
            choose_layers(spec, network)  # an unknown layer is the more useful complaint
            raise TextonError(f"'{spec}' names no channels: {_HOW}, like {spec}:0-4")
        layers = choose_layers(named, network)
        found = _channels(text, f"'{spec}'", layers, network, photos, strict=layers == [named])
        for layer, channels in found.items():
            chosen.setdefault(layer, {}).update(dict.fromkeys(channels))
    return [Filters(layer, tuple(channels)) for layer, channels in chosen.items() if channels]


def parse_numbers(text: str, count: int, said: str) -> list[int]:
    """``0-4,7`` or ``all`` of so many, each once.

    Raises:
        TextonError: another form, or a number that is not among them.
    """
    chosen: dict[int, None] = {}
    for part in (part.strip() for part in text.split(",")):
        first, last, top = _parsed(part, said)
        if top is not None or (last is not None and last >= count):
            raise TextonError(f"{said} has 0 to {count - 1}: name some of them, not '{part}'")
        chosen.update(dict.fromkeys(range(first, count if last is None else last + 1)))
    return list(chosen)


def choose_channels(
    text: str, layers: Sequence[str], network: Network, photos: Mapping[str, Tensor]
) -> dict[str, list[int]]:
    """The same channels of every layer, as far as it has them; ``top8`` are each layer's own.

    Raises:
        TextonError: another form, or no layer has any of them.
    """
    found = _channels(text, f"--channels '{text}'", layers, network, list(photos.values()))
    return {name: sorted(channels) for name, channels in found.items()}


def _channels(
    text: str,
    said: str,
    layers: Sequence[str],
    network: Network,
    photos: Sequence[Tensor],
    strict: bool = False,
) -> dict[str, list[int]]:
    """Every layer's channels, in the order asked for; ``strict`` layers must have all of them."""
    counts = {name: network.layer(name).channels for name in layers}
    chosen: dict[str, dict[int, None]] = {name: {} for name in layers}
    for part in (part.strip() for part in text.split(",")):
        first, last, top = _parsed(part, said)
        for name, count in counts.items():
            if top == 0 or (strict and top is not None and top > count):
                raise TextonError(f"{said}: {name} has {count} filters, ask for 1 to {count}")
            if strict and last is not None and last >= count:
                raise TextonError(f"{name} has no channel {last}: it has 0 to {count - 1}")
            end = count if last is None else min(last + 1, count)
            found = range(first, end) if top is None else _top(name, top, network, photos)
            chosen[name].update(dict.fromkeys(found))
    if not any(chosen.values()):
        widest = max(layers, key=counts.__getitem__)
        raise TextonError(
            f"{widest} has none of the channels {text}: it has 0 to {counts[widest] - 1}"
        )
    return {name: list(channels) for name, channels in chosen.items()}


def _parsed(part: str, said: str) -> tuple[int, int | None, int | None]:
    """The first and the last (None: of all) channel of a part, or how many of the strongest."""
    match = _PART.fullmatch(part)
    if not match:
        raise TextonError(f"{said} is not understood: {_HOW}")
    if part == "all" or match["top"]:
        return 0, None, int(match["top"]) if match["top"] else None
    first, last = int(match["first"]), int(match["last"] or match["first"])
    if last < first:
        raise TextonError(f"{said} counts down: write {last}-{first}")
    return first, last, None


def _top(layer: str, count: int, network: Network, photos: Sequence[Tensor]) -> list[int]:
    """The filters with most energy over the photographs, each of which counts alike."""
    if not [x for x in photos if x is not None]:
        raise TextonError(f"top{count} is of a photograph, and there is none: name channels")
    import torch

    from texton.network.codes import energy_shares, strongest

    with torch.no_grad():
        shares = [energy_shares(network.encode(x, layer)[layer]) for x in photos]
    return strongest(torch.stack(shares).sum(0)[:, :, None, None], count)
