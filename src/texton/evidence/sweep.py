"""One forward pass: what every filter's map says of the pictures, added to the state."""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from texton.evidence import exact
from texton.evidence.geometry import considered
from texton.evidence.manifest import EvidenceLayer
from texton.evidence.state import Array, LayerState, bins_of
from texton.evidence.strongest import draws_of
from texton.network.device import Compute, in_batches
from texton.network.network import Network

SAMPLES = 64  # positions a map that the histogram sees

States = dict[str, LayerState]


@dataclass(frozen=True, eq=False)
class Seen:
    """Of one layer over some pictures: (B, C) each, ``places`` (B, C, 2), ``samples`` (B, S, C)."""

    values: Array
    places: Array
    mean: Array
    square: Array
    samples: Array
    broken: Array
    aside: bool


class Sweep:
    """Pictures in, states fuller.

    Args:
        layers: which layers, with their geometry.
        top: how many strongest places are wanted of a filter.
        seed: draws the sampled positions and the pictures of the bands.
    """

    def __init__(
        self,
        network: Network,
        layers: Sequence[EvidenceLayer],
        compute: Compute,
        top: int,
        seed: int,
    ) -> None:
        self.layers, self.compute, self.top, self.seed = layers, compute, top, seed
        self._encode = network.encoder([layer.name for layer in layers], compute)

    def nothing(self) -> States:
        """States of no picture."""
        return {x.name: LayerState.none(x.filters, self.top) for x in self.layers}

    def run(self, states: States, images: Sequence[Tensor], pictures: Array, hashes: Array) -> None:
        """Add pictures that are new.

        The same pictures given together give the same numbers, bit for bit.

        Args:
            images: (1, C, H, W) each, of any shapes: those of one shape go together.
            pictures: (N,) their numbers.
            hashes: (N,) uint64 of their content.
        """
        alike: dict[tuple[int, ...], list[int]] = defaultdict(list)
        for index, image in enumerate(images):
            alike[tuple(image.shape)].append(index)
        found: dict[str, list[Seen]] = defaultdict(list)
        order: list[int] = []
        seeded = hashes ^ np.uint64(self.seed)
        for members in alike.values():

            def look(part: slice, members: list[int] = members) -> dict[str, Seen]:
                chosen = members[part]
                batch = torch.cat([images[index] for index in chosen])
                return self._look(batch, seeded[chosen])

            for seen in in_batches(len(members), self.compute, look):
                for name, one in seen.items():
                    found[name].append(one)
            order += members
        for layer in self.layers:
            _add(states[layer.name], found[layer.name], layer, pictures[order], seeded[order])

    def _look(self, batch: Tensor, hashes: Array) -> dict[str, Seen]:
        with torch.no_grad():
            codes = self._encode(batch)
            height, width = batch.shape[2:]
            return {
                layer.name: look_at(codes[layer.name], layer, (height, width), hashes)
                for layer in self.layers
            }


def look_at(code: Tensor, layer: EvidenceLayer, image: tuple[int, int], hashes: Array) -> Seen:
    """What is kept of maps (B, C, M, N) of images of that height and width."""
    rows, columns, aside = considered(layer, (code.shape[2], code.shape[3]), image)
    inner = code[:, :, rows, columns].permute(0, 2, 3, 1)  # as it lies in memory, if it does so
    values, at_row, at_column = strongest_places(inner)
    area = inner.shape[1] * inner.shape[2]
    full = inner.float()
    mean, square = (x.sum(2).sum(1) / area for x in (full, full * full))
    sampled = sampled_places(inner, hashes)
    places = torch.stack([at_row + rows.start, at_column + columns.start], -1)
    told = [_array(x) for x in (values.float(), mean, square)]
    whole: Array = np.isfinite(np.stack(told)).all(0)
    told = [np.where(whole, x, np.float32(0)) for x in told]
    samples = np.where(whole[:, None], _array(sampled), np.float32(0))
    kept = (told[0], _array(places).astype(np.uint16), told[1], told[2])
    return Seen(*kept, samples, ~whole, aside)


def strongest_places(maps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(B, C) the maximum of maps (B, M, N, C), its row and its column.

    Rows' maxima come first: with the channels last those are ten times as quick as an argmax.
    """
    values, row = maps.amax(2).max(1)
    images = torch.arange(len(maps), device=maps.device)[:, None]
    filters = torch.arange(maps.shape[3], device=maps.device)[None]
    line = maps[images, row, :, filters]
    return values, row, line.argmax(2)


def sampled_places(maps: Tensor, hashes: Array) -> Tensor:
    """(B, 64, C) of maps (B, M, N, C), at places that each image draws for itself."""
    rows, columns = maps.shape[1:3]
    wanted = torch.from_numpy(positions(hashes, rows * columns)).to(maps.device)
    images = torch.arange(len(maps), device=maps.device)[:, None]
    return maps[images, wanted // columns, wanted % columns].float()


def positions(hashes: Array, area: int) -> Array:
    """(B, 64) positions, one in every 64th of a map: as good as new ones for every picture."""
    draws = draws_of(hashes, SAMPLES, 0) >> np.uint64(11)
    within = draws.astype(np.float64) / 2.0**53
    return np.minimum(((np.arange(SAMPLES) + within) * area / SAMPLES).astype(np.int64), area - 1)


def _add(
    state: LayerState, seen: Sequence[Seen], layer: EvidenceLayer, pictures: Array, hashes: Array
) -> None:
    if not seen:
        return
    joined: Mapping[str, Array] = {
        name: np.concatenate([getattr(one, name) for one in seen])
        for name in ("values", "places", "mean", "square", "broken")
    }
    values = joined["values"]
    draws = draws_of(hashes, layer.filters, zlib.crc32(layer.name.encode()))
    state.strongest.add(values, pictures, joined["places"], draws)
    exact.add(state.mean, joined["mean"])
    exact.add(state.square, joined["square"])
    state.active += (values > 0).sum(0)
    state.broken += joined["broken"].sum(0)
    state.pictures += len(values)
    state.aside += sum(len(one.values) for one in seen if one.aside)
    for one in seen:
        count_samples(state.histogram, one.samples)


def count_samples(histogram: Array, samples: Array) -> None:
    """Add samples (B, S, C) to a histogram (C, bins), in place."""
    filters, bins = histogram.shape
    places = bins_of(samples) + np.arange(filters) * bins
    counts = np.bincount(places.reshape(-1), minlength=filters * bins)
    histogram += counts.reshape(filters, bins).astype(histogram.dtype)


def _array(tensor: Tensor) -> np.ndarray[Any, Any]:
    return tensor.detach().cpu().numpy()
