"""All feature maps of a layer on a photograph, small: what a grid of them is drawn from."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from texton.methods.command import ReadingOptions
from texton.reading import to_json

if TYPE_CHECKING:
    from texton.app.house import House

SIDE = 56  # the most rows and columns that are sent
_KEPT = 64 << 20  # bytes of maps that were asked for before


@dataclass(frozen=True)
class Maps:
    """``bytes`` (C, M, N) uint8, each map over its own maximum; ``header`` is JSON."""

    bytes: bytes
    header: str


class MapMaker:
    """For the worker's thread alone."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._kept: OrderedDict[tuple[Any, ...], Maps] = OrderedDict()

    def __call__(self, photo: str, network: str, layer: str, size: int | None) -> Maps:
        """
        Raises:
            TextonError: an unknown photograph, network or layer; a photograph that is too small.
        """
        key = photo, network, layer, size
        if key not in self._kept:
            self._kept[key] = self._made(*key)
            while sum(len(one.bytes) for one in self._kept.values()) > _KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return self._kept[key]

    def _made(self, photo: str, network: str, layer: str, size: int | None) -> Maps:
        import torch
        import torch.nn.functional as F

        from texton.network.codes import energy_shares
        from texton.network.device import choose_compute

        net = self._house.network(network)
        known = net.layer(layer).name
        intake = net.intake([known])
        file = self._house.photos[photo].file
        edge = intake.edge(size or 224)
        reading = ReadingOptions(size=size)
        image = reading.read(file, edge, net.channels, intake, lambda line: None)
        compute = net.suited(choose_compute(self._house.given.device, torch.float32))
        with torch.no_grad():
            code = net.encode(image.to(compute.device), known, compute)[known][0].float()
            energies = energy_shares(code[None])[0]
            rows, columns = (min(SIDE, side) for side in code.shape[1:])
            pooled = F.adaptive_max_pool2d(code[None], (rows, columns))[0].clamp_min(0)
            peaks = pooled.amax((1, 2))
            scaled = pooled / peaks.clamp_min(1e-12)[:, None, None]
            pixels = scaled.mul(255).round().to(torch.uint8).cpu()
        told = {
            "channels": len(code),
            "rows": rows,
            "columns": columns,
            "energies": _short(energies),
            "peaks": _short(peaks),
        }
        return Maps(pixels.numpy().tobytes(), to_json(told))


def _short(values: Any) -> list[float]:
    return [float(f"{value:.5g}") for value in values.tolist()]


def layers_json(house: House, name: str) -> dict[str, Any]:
    """A network's layers, for the drawing of it; for the worker's thread alone."""
    network = house.network(name)
    return {
        "name": name,
        "layers": [
            {
                "name": layer.name,
                "kind": layer.kind,
                "channels": layer.channels,
                "field": layer.receptive_field,
                "stride": layer.stride,
            }
            for layer in network.layers.values()
        ],
    }
