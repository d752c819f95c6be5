"""What is asked of a scan, and what it is of once it is begun."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from texton.errors import TextonError
from texton.evidence.manifest import EvidenceManifest
from texton.version import __version__

if TYPE_CHECKING:
    from texton.methods.command import NetworkOptions
    from texton.network.network import Network

About = Callable[["Network"], None]


@dataclass(frozen=True)
class ScanAsked:
    """What a command asks for."""

    folder: Path
    network: NetworkOptions
    layers: str | None
    size: int
    top: int
    seed: int
    white: float | None = None
    crop: str = "auto"


def make_manifest(asked: ScanAsked, about: About) -> EvidenceManifest:
    """What a new scan is of: the network is loaded, told ``about``, and its layers are measured.

    Raises:
        TextonError: an unknown network or layer.
    """
    import torch

    from texton.evidence.geometry import measure_layers
    from texton.network.choose import choose_layers
    from texton.network.device import choose_compute

    network = asked.network.load()
    about(network)
    compute = network.suited(choose_compute(asked.network.device))
    told = asked.network.as_json()
    names = choose_layers(asked.layers, network)
    intake = network.intake(names)
    return EvidenceManifest(
        texton=__version__,
        torch=torch.__version__,
        network=network.name,
        weights_hash=network.weights_hash,
        network_options={k: told[k] or None for k in ("network", "weights", "pooling", "bands")},
        settings={
            "size": intake.edge(asked.size),
            "top": asked.top,
            "seed": asked.seed,
            "channels": network.channels,
            **intake.told(asked.crop),
            **({} if asked.white is None else {"white": asked.white}),
            **compute.describe(),
        },
        layers=measure_layers(network, names, asked.size),
        roots=(str(asked.folder.absolute()),),
    )


def extended(there: EvidenceManifest, asked: ScanAsked) -> EvidenceManifest:
    """The manifest of a scan that goes on, its folder among the roots.

    Raises:
        TextonError: it was begun with other settings.
    """
    settings, told = there.settings, asked.network.as_json()
    one_size = isinstance(settings.get("crop"), list)
    keys = ("top", "seed", "white") if one_size else ("size", "top", "seed", "white", "crop")
    asks: dict[str, Any] = {key: getattr(asked, key) for key in keys}
    has: dict[str, Any] = {key: settings.get(key) for key in asks}
    if not one_size:
        has["crop"] = has["crop"] or "auto"
    for key in ("network", "weights", "pooling", "bands"):
        asks[key], has[key] = told[key] or None, there.network_options.get(key)
    if asked.layers is not None:
        from texton.network.choose import choose_layers

        asks["layers"] = choose_layers(asked.layers, asked.network.load())
        has["layers"] = [layer.name for layer in there.layers]
    for key, value in asks.items():
        if value != has[key]:
            raise TextonError(
                f"the evidence was begun with {key} {has[key]}, not {value}: use another --out"
            )
    root = str(asked.folder.absolute())
    return there if root in there.roots else replace(there, roots=(*there.roots, root))
