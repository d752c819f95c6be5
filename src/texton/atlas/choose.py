"""Which layers, filters and photographs a user means."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

import torch
from torch import Tensor

from texton.errors import TextonError, near_names
from texton.network.codes import energy_shares, strongest
from texton.network.network import Network

_MOST = 1_000_000
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
    text: str, layers: Sequence[str], network: Network, photos: Mapping[str, Tensor]
) -> dict[str, list[int]]:
    """The same channels of every layer, as far as it has them; ``top8`` are each layer's own.

    Raises:
        TextonError: another form, or no layer has any of them.
    """
    counts = {name: network.layer(name).channels for name in layers}
    chosen: dict[str, set[int]] = {name: set() for name in layers}
    for part in (part.strip() for part in text.split(",")):
        top = re.fullmatch(r"top([1-9]\d*)", part)
        first, last = (0, _MOST) if top or part == "all" else _range(part, text)
        for name, count in counts.items():
            if top:
                chosen[name].update(_top(name, int(top[1]), network, photos))
            else:
                chosen[name].update(range(first, min(last + 1, count)))
    if not any(chosen.values()):
        widest = max(layers, key=counts.__getitem__)
        raise TextonError(
            f"{widest} has none of the channels {text}: it has 0 to {counts[widest] - 1}"
        )
    return {name: sorted(channels) for name, channels in chosen.items()}


def joined(before: str, more: str) -> str:
    """The channels of both texts, as one."""
    parts = dict.fromkeys(part.strip() for part in f"{before},{more}".split(","))
    return "all" if "all" in parts else ",".join(parts)


def photo_name(path: Path) -> str:
    """A photograph's name in an atlas: its file's, of letters, digits, ``.``, ``_`` and ``-``."""
    plain = unicodedata.normalize("NFC", path.stem)
    return re.sub(r"[^\w.-]+", "-", plain).strip(".-") or "photo"


def _top(layer: str, count: int, network: Network, photos: Mapping[str, Tensor]) -> list[int]:
    """The filters with most energy over the photographs, each of which counts alike."""
    with torch.no_grad():
        shares = [energy_shares(network.encode(x, layer)[layer]) for x in photos.values()]
    return sorted(strongest(torch.stack(shares).sum(0)[:, :, None, None], count))


def _range(part: str, text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)(?:-(\d+))?", part)
    if not match:
        raise TextonError(f"--channels '{text}' is not understood: {_HOW}")
    first, last = int(match[1]), int(match[2] or match[1])
    if last < first:
        raise TextonError(f"--channels '{text}' counts down: write {last}-{first}")
    if last > _MOST:
        raise TextonError(f"--channels '{text}' is out of range: {_HOW}")
    return first, last
