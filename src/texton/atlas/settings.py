"""The settings of an atlas: all that would mix different pictures if it changed on the way."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from texton.errors import TextonError
from texton.jobs.manifest import Manifest
from texton.methods.parts.seeds import generator_for
from texton.methods.parts.setup import compute_for
from texton.network.network import Network
from texton.solve.presets import solver_settings
from texton.version import __version__

DEFAULTS: dict[str, Any] = {
    "preset": "fast",
    "steps": None,
    "seed": 0,
    "size": 128,
    "enlarge": False,
}
NETWORK_DEFAULTS: dict[str, Any] = {
    "network": "vgg19",
    "weights": None,
    "pooling": "avg",
    "bands": None,
}


def complete(basic: Mapping[str, Any], device: str, network: Network) -> dict[str, Any]:
    """The settings asked for with what this machine and this texton make of them, as JSON has it.

    Raises:
        TextonError: an unknown preset or device, a number out of range.
    """
    solver = solver_settings(basic["preset"], steps=basic["steps"])
    generator_for(basic["seed"], "", "", 0)  # refuses a seed out of range
    compute = compute_for(solver, device)
    settings = {
        **basic,
        **compute.describe(),
        "solver": asdict(solver),
        "preprocessing": network.preprocessing,
        "network_details": {k: v for k, v in network.details.items() if k != "weights"},
    }
    told: dict[str, Any] = json.loads(json.dumps(settings, default=str))
    return told


def check_same(root: Path, old: Manifest, network: Network, settings: Mapping[str, Any]) -> None:
    """Refuse what would mix different pictures into an atlas, and name the difference."""
    for difference in _differences(old, network, settings):
        raise TextonError(f"the atlas in '{root}' {difference}")


def _differences(old: Manifest, network: Network, settings: Mapping[str, Any]) -> Iterator[str]:
    other = "use another --out"
    if old.network != network.name:
        yield f"is of {old.network}, you ask for {network.name}: {other}"
    before, now = old.settings, settings
    details, new_details = before["network_details"], now["network_details"]
    for key in sorted(details.keys() | new_details.keys()):
        if details.get(key) != new_details.get(key):
            yield f"has {key} {details.get(key)}, you ask for {new_details.get(key)}: {other}"
    if old.weights_hash != network.weights_hash:
        yield f"was made with other weights of {old.network}: {other}"
    yield from (
        f"{changed}: put the network back, or {other}" for changed in _changed(old, network)
    )
    for key in DEFAULTS:
        if before[key] != now[key]:
            unset = before[key] is None or before[key] is False
            back = f"leave --{key} out" if unset else f"--{key} {before[key]}"
            was, asked = _told(before[key]), _told(now[key])
            yield f"has {key} {was}, you ask for {asked}: {other} or {back}"
    for key in ("device", "dtype", "memory_format"):
        if before[key].partition(":")[0] != now[key].partition(":")[0]:  # any GPU will do
            yield (
                f"is computed with {key} {before[key]}, this machine would use {now[key]}: "
                f"go on where it was begun, or {other}"
            )
    if before["solver"] != now["solver"]:
        yield (
            f"was begun by texton {old.texton}, whose preset '{now['preset']}' is not that of "
            f"this texton ({__version__}): {other}"
        )


def _changed(old: Manifest, network: Network) -> Iterator[str]:
    """How a network of the same weights is another one than the atlas was begun with."""
    before = old.settings.get("preprocessing", {})  # atlases of before do not tell
    for key, now in network.preprocessing.items():
        if key in before and before[key] != now:
            yield f"was begun with {key} {before[key]} of {old.network}, which now has {now}"
    for layer in old.layers:
        there = network.layers.get(layer.name)
        if there is None:
            yield f"has the layer {layer.name}, which {old.network} no longer has"
        elif (layer.filters, layer.stride) != (there.channels, there.stride):
            yield (
                f"has {layer.name} with {layer.filters} filters and stride {layer.stride}, now "
                f"{old.network} has it with {there.channels} and {there.stride}"
            )


def _told(value: object) -> str:
    if value is None:
        return "not set"
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else str(value)
