"""One pass over the pictures that excite filters most: what feeds each, and how it gets there."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from texton.errors import TextonError
from texton.evidence.format import Evidence, Place
from texton.evidence.patches import Box, field_box
from texton.methods.parts.composition import Wiring, wiring_of
from texton.network.device import Compute
from texton.network.network import INPUT, Network

PLACES = 4  # of each filter: more would read most of a large folder again
_HALVES = 2

Layers = Mapping[str, Sequence[int]]  # the channels looked at, by layer
OnPicture = Callable[[int, int], None]


@dataclass(eq=False)
class LayerPaths:
    """What the sweep gathers of one layer's F filters.

    Attributes:
        wiring: what feeds it; None where that is not one convolution.
        fed: (F, I/groups), the sum over places of what each input adds.
        means: by earlier layer, (2, F, C): sums of its mean activations in the field of the even
            and of the odd places.
        count: (2, F), how many places each half has.
    """

    wiring: Wiring | None
    fed: Tensor | None
    means: dict[str, Tensor] = field(default_factory=dict)
    count: Tensor = field(default_factory=lambda: torch.zeros(0))


@torch.no_grad()
def sweep(
    network: Network,
    evidence: Evidence,
    layers: Layers,
    compute: Compute,
    on_picture: OnPicture | None = None,
) -> dict[str, LayerPaths]:
    """Parts and paths of all filters of some layers, every picture being run once.

    Pictures that have vanished since the scan are passed over.
    """
    order = [name for name in network.layers if name in layers]
    paths = {name: _empty(network, name, order) for name in order}
    asked = _by_picture(evidence, {name: layers[name] for name in order})
    entering = {x.wiring.conv + INPUT for x in paths.values() if x.wiring is not None}
    encode = network.encoder([*order, *sorted(entering)], compute.exact())
    for number, (picture, places) in enumerate(sorted(asked.items()), 1):
        try:
            image = evidence.read(picture)
        except TextonError:
            continue
        codes = {name: code.float().cpu() for name, code in encode(image).items()}
        _take(paths, order, codes, evidence, places, image.shape[2:])
        if on_picture:
            on_picture(number, len(asked))
    return paths


def _empty(network: Network, name: str, order: Sequence[str]) -> LayerPaths:
    filters = network.layer(name).channels
    earlier = order[: order.index(name)]
    means = {x: torch.zeros(_HALVES, filters, network.layer(x).channels) for x in earlier}
    try:
        wiring = wiring_of(network, name)
    except TextonError:
        return LayerPaths(None, None, means, torch.zeros(_HALVES, filters))
    return LayerPaths(
        wiring, torch.zeros(wiring.weight.shape[:2]), means, torch.zeros(_HALVES, filters)
    )


_Asked = list[tuple[str, int, int, Place]]  # layer, channel, rank, place


def _by_picture(evidence: Evidence, layers: Layers) -> dict[int, _Asked]:
    found: defaultdict[int, _Asked] = defaultdict(list)
    for name, channels in layers.items():
        scanned = evidence.layer(name)
        for channel in channels:
            for rank, place in enumerate(scanned.places(channel)[:PLACES]):
                found[place.picture].append((name, channel, rank, place))
    return found


def _take(
    paths: Mapping[str, LayerPaths],
    order: Sequence[str],
    codes: Mapping[str, Tensor],
    evidence: Evidence,
    asked: Iterable[tuple[str, int, int, Place]],
    size: Sequence[int],
) -> None:
    sums = {name: integral(codes[name]) for name in order}
    by_layer: defaultdict[str, list[tuple[int, int, Place]]] = defaultdict(list)
    for name, channel, rank, place in asked:
        by_layer[name].append((channel, rank, place))
    for name, places in by_layer.items():
        path, wiring = paths[name], paths[name].wiring
        if wiring is not None and path.fed is not None:
            padded = wiring.padded(codes[wiring.conv + INPUT])
            for channel, _, place in places:
                window = wiring.window(padded, channel, place.row, place.column)
                path.fed[channel] += (window[0] * wiring.weight[channel]).sum((1, 2))
        channels = torch.tensor([channel for channel, _, _ in places])
        halves = torch.tensor([rank % _HALVES for _, rank, _ in places])
        where = halves, channels
        path.count.index_put_(where, torch.ones(len(places)), accumulate=True)
        boxes = [
            field_box(evidence.layers[name], place, *size).inside(*size) for *_, place in places
        ]
        for earlier, means in path.means.items():
            means.index_put_(where, means_in(sums[earlier], boxes, size), accumulate=True)


def integral(code: Tensor) -> Tensor:
    """(C, H + 1, W + 1): sums over all that lies above and to the left."""
    summed = code[0].double().cumsum(1).cumsum(2)
    return torch.nn.functional.pad(summed, (1, 0, 1, 0))


def means_in(sums: Tensor, boxes: Sequence[Box], size: Sequence[int]) -> Tensor:
    """(N, C): the means of a map over the parts that lie under boxes of pixels."""
    rows, columns = sums.shape[1] - 1, sums.shape[2] - 1
    scales = rows / size[0], columns / size[1]
    down = torch.tensor([span(box.top, box.bottom, scales[0], rows) for box in boxes])
    across = torch.tensor([span(box.left, box.right, scales[1], columns) for box in boxes])
    (top, bottom), (left, right) = down.T, across.T
    total = sums[:, bottom, right] - sums[:, top, right] - sums[:, bottom, left]
    area = (bottom - top) * (right - left)
    mean: Tensor = ((total + sums[:, top, left]) / area).T
    return mean.float()


def span(low: int, high: int, scale: float, most: int) -> tuple[int, int]:
    first = min(int(low * scale), most - 1)
    return first, max(min(round(high * scale), most), first + 1)
