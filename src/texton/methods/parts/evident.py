"""What a scan's pictures say of a layer's filters: how strongly they excite them, and what runs
through the layers before."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from texton.errors import TextonError
from texton.evidence.format import Place
from texton.evidence.patches import field_box
from texton.methods.parts.scanned import evidence_of
from texton.methods.parts.sweep import LayerPaths, span, sweep
from texton.methods.parts.trust import texture_means, trust
from texton.network.device import Compute
from texton.solve.maximise import Ranked

if TYPE_CHECKING:
    from texton.network.network import Network

_OTHERS = 4  # filters: with fewer there is little that a filter's pictures could differ from
_PLACES = 8  # the strongest, whose values are averaged by rank
_LEVELS = 256  # that a map's values are kept at
_RELEVANT = 16  # maps of an earlier layer


class Evident:
    """The evidence of one layer.

    Attributes:
        strongest: (C,), every filter's strongest activation.

    Raises:
        TextonError: the folder is no evidence, has not this layer, or is of another network.
    """

    def __init__(
        self,
        network: Network,
        folder: Path,
        layer: str,
        channels: Sequence[int],
        compute: Compute,
    ) -> None:
        self._evidence = evidence_of(network, folder)
        self._network, self._layer, self._compute = network, layer, compute
        self._found = self._evidence.layer(layer)
        self.strongest = torch.from_numpy(self._found.top_value[:, 0].copy())
        self._channels = list(channels)
        self._paths: LayerPaths | None = None

    def path(self, channel: int, image: Tensor) -> float | None:
        """How a picture (1, C, H, W) of a filter runs through the scanned layers before it: 1 as
        the filter's strongest patches do, 0 as those of other filters (see `trust`)."""
        if self._paths is None:
            self._paths = self._swept()
        paths, filters = self._paths, self._compared()
        if not paths.means:
            return None
        count = paths.count[:, filters].numpy()
        natural = {
            name: (means[:, filters].numpy() / np.maximum(count, 1)[..., None]).astype(np.float64)
            for name, means in paths.means.items()
        }
        pictures, _ = texture_means(
            self._network,
            list(paths.means),
            filters,
            lambda other: image if other == channel else None,
            self._compute,
        )
        found = trust(pictures, natural, np.asarray((count > 0).all(0), bool))
        value = float(found[filters.index(channel)])
        return value if math.isfinite(value) else None

    def ranked(self, channel: int) -> dict[str, Ranked]:
        """The values that maps have around a filter's strongest places, by layer.

        Of the layer, the filter's map; of the last rectified layer of every stride before it,
        the maps whose activation times the filter's slope adds most.

        Raises:
            TextonError: nothing excites it, or the pictures are no longer there.
        """
        layers = self._before()
        encode = self._network.encoder([*layers, self._layer], self._compute.exact())
        values: dict[str, list[Tensor]] = {}
        relevant: dict[str, list[Tensor]] = {}
        for place in self._found.places(channel)[:_PLACES]:
            try:
                image = self._evidence.read(place.picture)
            except TextonError:
                continue
            image = image.to(self._compute.device).requires_grad_(True)
            codes = encode(image)
            own = codes[self._layer][0, channel, place.row, place.column]
            slopes = torch.autograd.grad(own, [codes[x] for x in layers]) if layers else ()
            for name, slope in zip(layers, slopes, strict=True):
                adds = (codes[name] * slope).detach().clamp_min(0).sum((0, 2, 3))
                relevant.setdefault(name, []).append(adds / adds.sum().clamp_min(1e-12))
            for name in (*layers, self._layer):
                around = self._around(codes[name].detach(), place, image.shape[2:])
                values.setdefault(name, []).append(around)
        if not values:
            raise TextonError(
                f"nothing in '{self._evidence.root}' excites {self._layer}:{channel}, or its "
                "pictures are gone: leave --match out"
            )
        ranked = {}
        for name, found in values.items():
            mean = torch.stack(found).mean(0)
            if name == self._layer:
                ranked[name] = Ranked([channel], mean[channel][None], torch.ones(1).to(mean))
                continue
            weights, maps = torch.stack(relevant[name]).mean(0).topk(min(_RELEVANT, len(mean)))
            ranked[name] = Ranked(maps.tolist(), mean[maps], weights)
        return ranked

    def _around(self, code: Tensor, place: Place, size: Sequence[int]) -> Tensor:
        """(C, levels): every map's values where the place looks, upwards."""
        box = field_box(self._evidence.layers[self._layer], place, *size).inside(*size)
        rows, columns = code.shape[2:]
        top, bottom = span(box.top, box.bottom, rows / size[0], rows)
        left, right = span(box.left, box.right, columns / size[1], columns)
        seen = code[0, :, top:bottom, left:right].float().flatten(1).sort(1).values
        return F.interpolate(seen[None], _LEVELS, mode="linear", align_corners=True)[0]

    def _before(self) -> list[str]:
        """The last rectified layer of every stride before this one."""
        names = list(self._network.layers)
        known = [self._network.layers[x] for x in names[: names.index(self._layer)]]
        last = {layer.stride: layer.name for layer in known if layer.rectifies}
        return list(last.values())

    def _compared(self) -> list[int]:
        """The filters of the pictures, and some to tell them from, those that are on first."""
        every = np.argsort(-self._found.active_pictures, kind="stable").tolist()
        wanted = max(_OTHERS, len(self._channels))
        return list(dict.fromkeys([*self._channels, *every]))[:wanted]

    def _swept(self) -> LayerPaths:
        names = list(self._network.layers)
        before = names[: names.index(self._layer)]
        asked: dict[str, list[int]] = {x: [] for x in before if x in self._evidence.layers}
        asked[self._layer] = self._compared()
        return sweep(self._network, self._evidence, asked, self._compute)[self._layer]
