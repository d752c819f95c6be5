"""What is kept of a layer's filters beside an atlas: parts, tuning, trust; as JSON has them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from texton.evidence.format import Evidence
from texton.methods.parts.composition import Contributions
from texton.methods.parts.sweep import LayerPaths
from texton.methods.parts.trust import Texture, texture_means, trust
from texton.methods.parts.tuned import Tuning
from texton.network.device import Compute
from texton.network.network import Network

LISTED = 8  # parts of each sign that are kept
_LEAST = 0.005  # of all that is added: less is none on a page
Record = dict[str, Any]


def measured(
    network: Network,
    evidence: Evidence,
    layer: str,
    channels: Sequence[int],
    paths: LayerPaths,
    tuning: Tuning,
    texture: Texture,
    compute: Compute,
) -> Record:
    """Everything about a layer's filters that pages show and that takes the network to know."""
    trusted = _trusted(network, channels, paths, texture, compute)
    filters = {}
    for at, channel in enumerate(channels):
        filters[str(channel)] = {
            **_parts(paths, channel),
            "trust": _short(trusted[at]),
            "tuning": _tuning(tuning, channel),
        }
    wiring = paths.wiring
    source = None if wiring is None else unpooled(network, wiring.source)
    return {"source": source, "pictures": evidence.layer(layer).pictures, "filters": filters}


def unpooled(network: Network, layer: str) -> str:
    """The layer whose filters a pool passes on under their own numbers; itself, if it is none."""
    while layer in network.layers and network.layers[layer].kind == "pool":
        layer = network.layers[layer].source
    return layer


def _parts(paths: LayerPaths, channel: int) -> Record:
    """``half``, ``against``, and lists of [channel, share, kernel] of what adds and takes away."""
    places = int(paths.count[:, channel].sum())
    if paths.wiring is None or paths.fed is None or not places:
        return {"half": None, "against": None, "adds": [], "takes": []}
    wiring = paths.wiring
    mean = paths.fed[channel] / places
    found = Contributions(channel, wiring.inputs(channel), mean, places)

    def told(channels: Sequence[int]) -> list[Any]:
        kernels = (wiring.weight[channel, one - found.inputs.start] for one in channels)
        shares = (_short(found.of(one) / max(found.added, 1e-12)) for one in channels)
        every = zip(channels, shares, map(_kernel, kernels), strict=True)
        return [list(one) for one in every if abs(one[1] or 0) >= _LEAST]

    return {
        "half": found.for_half() or None,
        "against": _short(found.taken / found.added) if found.added else None,
        "adds": told(found.adding[:LISTED]),
        "takes": told(found.taking[:LISTED]),
    }


def _kernel(kernel: Tensor) -> list[list[float]]:
    return [[round(float(x), 4) for x in row] for row in kernel]


def _tuning(tuning: Tuning, channel: int) -> Record:
    curve, colours = tuning.orientation_curve[:, channel], tuning.colours[:, channel]
    periods = tuning.period_curves[..., channel]
    return {
        **{key: _short(value) for key, value in tuning.figures(channel).items()},
        "orientations": _shares(curve),
        "periods": [_shares(row, float(periods.max())) for row in periods],
        "hues": _shares(colours, float(colours.max()))[:12] if len(colours) > 2 else [],
    }


def _shares(values: Tensor, most: float | None = None) -> list[float]:
    top = float(values.max()) if most is None else most
    return [round(float(x) / top, 3) if top > 0 else 0.0 for x in values]


def _trusted(
    network: Network,
    channels: Sequence[int],
    paths: LayerPaths,
    texture: Texture,
    compute: Compute,
) -> Sequence[float]:
    if not paths.means:
        return [math.nan] * len(channels)
    chosen = list(channels)
    textures, there = texture_means(network, list(paths.means), chosen, texture, compute)
    count = paths.count[:, chosen].numpy()
    natural = {
        name: (means[:, chosen].numpy() / np.maximum(count, 1)[..., None]).astype(np.float64)
        for name, means in paths.means.items()
    }
    both = np.asarray((count > 0).all(0), bool)
    return [float(value) for value in trust(textures, natural, there & both)]


def _short(value: float | None) -> float | None:
    """Four digits; JSON has no NaN."""
    return None if value is None or not math.isfinite(value) else float(f"{value:.4g}")


def feeds(records: Mapping[str, Record]) -> dict[tuple[str, int], list[tuple[str, int, float]]]:
    """Which filters of later layers name a filter among their parts, the strongest first."""
    found: dict[tuple[str, int], list[tuple[str, int, float]]] = {}
    for layer, record in records.items():
        for channel, told in record["filters"].items():
            for part, share, _ in told["adds"]:
                found.setdefault((record["source"], part), []).append((layer, int(channel), share))
    return {key: sorted(some, key=lambda x: -x[2]) for key, some in found.items()}
