"""Which filters a user means: ``relu4_2:0-4,7``, ``relu4_2:all``, ``relu4_2:top5``."""

from __future__ import annotations

import re
from dataclasses import dataclass

import torch
from torch import Tensor

from texton.errors import TextonError
from texton.network.codes import strongest
from texton.network.network import Network

_HOW = "name channels as 4, 0-4, 0,7,31, all or top5"


@dataclass(frozen=True)
class Filters:
    """Some filters of one layer, in the order asked for."""

    layer: str
    channels: tuple[int, ...]


def parse_filters(specs: list[str], network: Network, photo: Tensor) -> list[Filters]:
    """``LAYER:CHANNELS`` texts as filters; ``top5`` are the five that carry most of the
    photograph's energy. What is named twice is taken once.

    Raises:
        TextonError: an unknown layer or channel, or a text of another form.
    """
    chosen: dict[str, dict[int, None]] = {}
    for spec in specs:
        layer, colon, text = spec.rpartition(":")
        if not colon:
            network.layer(spec)  # an unknown layer is the more useful complaint
            raise TextonError(f"'{spec}' names no channels: {_HOW}, like {spec}:0-4")
        count = network.layer(layer).channels
        named = chosen.setdefault(layer, {})
        named.update(dict.fromkeys(_channels(text, layer, count, network, photo)))
    return [Filters(layer, tuple(channels)) for layer, channels in chosen.items()]


def _channels(text: str, layer: str, count: int, network: Network, photo: Tensor) -> list[int]:
    if text == "all":
        return list(range(count))
    if top := re.fullmatch(r"top(\d+)", text):
        if not 1 <= int(top[1]) <= count:
            raise TextonError(
                f"'{layer}:{text}': {layer} has {count} filters, ask for 1 to {count}"
            )
        with torch.no_grad():
            code = network.encode(photo, layer)[layer]
        return strongest(code, int(top[1]))
    channels: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"(\d+)(?:-(\d+))?", part.strip())
        if not match:
            raise TextonError(f"'{layer}:{text}' is not understood: {_HOW}")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise TextonError(f"'{layer}:{text}' counts down: write {last}-{first}")
        if last >= count:
            raise TextonError(f"{layer} has no channel {last}: it has 0 to {count - 1}")
        channels.extend(range(first, last + 1))
    return channels
