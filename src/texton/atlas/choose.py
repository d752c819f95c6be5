"""Which layers, filters and photographs a user means."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path

import torch
from torch import Tensor

from texton.codes import energy_shares, strongest
from texton.errors import TextonError, near_names
from texton.network import Network

_HOW = "name channels as 4, 0-63, 0,7,31, all or top8"


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


def choose_channels(
    text: str, layers: Iterable[str], network: Network, photos: Mapping[str, Tensor]
) -> dict[str, list[int]]:
    """The same channels of every layer, as far as it has them; ``top8`` are each layer's own.

    Raises:
        TextonError: another form, or a layer that has none of them.
    """
    top = re.fullmatch(r"top(\d+)", text)
    if top and int(top[1]):
        return {name: _top(name, int(top[1]), network, photos) for name in layers}
    wanted = None if text == "all" else _numbers(text)
    chosen = {}
    for name in layers:
        count = network.layer(name).channels
        chosen[name] = [c for c in wanted if c < count] if wanted else list(range(count))
        if not chosen[name]:
            raise TextonError(f"{name} has none of the channels {text}: it has 0 to {count - 1}")
    return chosen


def photo_name(path: Path) -> str:
    """A photograph's name in an atlas: its file's, of letters, digits, ``.``, ``_`` and ``-``."""
    plain = unicodedata.normalize("NFC", path.stem)
    return re.sub(r"[^\w.-]+", "-", plain).strip(".-") or "photo"


def _top(layer: str, count: int, network: Network, photos: Mapping[str, Tensor]) -> list[int]:
    """The filters with most energy over the photographs, each of which counts alike."""
    with torch.no_grad():
        shares = [energy_shares(network.encode(x, layer)[layer]) for x in photos.values()]
    return sorted(strongest(torch.stack(shares).sum(0)[:, :, None, None], count))


def _numbers(text: str) -> list[int]:
    channels: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"(\d+)(?:-(\d+))?", part.strip())
        if not match:
            raise TextonError(f"--channels '{text}' is not understood: {_HOW}")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise TextonError(f"--channels '{text}' counts down: write {last}-{first}")
        if last > 1_000_000:
            raise TextonError(f"--channels '{text}' is out of range: {_HOW}")
        channels.update(range(first, last + 1))
    return sorted(channels)
