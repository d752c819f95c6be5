"""Which pictures an experiment is of, and the key that each is kept by."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor

from texton.experiments.harness.work import Series
from texton.images.folder import Picture
from texton.methods.catalogue import find_method
from texton.methods.code_inversion import InvertOptions
from texton.methods.feature_map_inversion import FilterOptions
from texton.methods.inversions import inversion_steps
from texton.methods.parts.fingerprint import Fingerprint
from texton.methods.parts.seams import sees_torus
from texton.methods.parts.texturing import layers_of
from texton.methods.result import Unit
from texton.methods.style import StyleOptions, stages
from texton.solve.directions import shares_by_filter
from texton.solve.presets import solver_settings

if TYPE_CHECKING:
    from texton.experiments.harness.lab import Lab
    from texton.network.network import Network

METHODS = ("pmci", "gatys")
_APART = 1000  # between the seeds of two starts


def filters_of(
    lab: Lab,
    kind: str,
    network: Network,
    photo: Picture,
    layer: str,
    channels: Sequence[int],
    start: int = 0,
) -> Series:
    """The textures of single filters; ``start`` numbers the noise that they begin from."""
    told = FilterOptions.of({**lab.solving, "seed": lab.options.seed + start})
    units = tuple(Unit(layer, channel, photo.name) for channel in channels)
    return _textures(lab, kind, network, photo, told, units, list(map(str, channels)))


def directions_of(
    lab: Lab, kind: str, photo: Picture, layer: str, names: Sequence[str], shares: Tensor
) -> Series:
    """The textures of directions: (names, C) share vectors."""
    labels = [f"{kind}/{name}" for name in names]
    named = {label: shares_by_filter(row) for label, row in zip(labels, shares, strict=True)}
    told = FilterOptions.of({**lab.solving, "seed": lab.options.seed, "directions": named})
    units = tuple(Unit(layer, None, photo.name, label) for label in labels)
    return _textures(lab, kind, lab.network, photo, told, units, names, shares)


def maxima_of(
    lab: Lab, kind: str, layer: str, channels: Sequence[int], start: int = 0, natural: bool = False
) -> Series:
    """The maxima of single filters, of no photograph; ``natural``: of the phase alone."""
    told: Any = find_method("maximize").options.of(
        {**lab.solving, "seed": lab.options.seed + start, "natural": natural}
    )
    photo = lab.photos[0]  # that a series has, and no maximum sees
    return Series(
        kind=kind,
        network=lab.network,
        source=lab.source(lab.network),
        photo=photo,
        method="maximize",
        options=told,
        units=tuple(Unit(layer, channel, photo.name) for channel in channels),
        keys=tuple(f"{kind}/{layer}/{channel}-{told.seed}" for channel in channels),
        layer=layer,
        evaluations=told.settings().steps,
    )


def textures_of(lab: Lab, source: Picture, statistic: str) -> Series:
    """One picture: a texture from noise, with a source's statistics; without edges, where the
    network sees a torus."""
    kept = {"seed": lab.options.seed, "statistic": statistic}
    layers = lab.options.layers
    tile = sees_torus(lab.network, layers_of(lab.network, layers), lab.options.size)
    told: Any = find_method("texture").options.of(
        {**lab.solving, **kept, "texture_layers": layers, "tile": tile}
    )
    counts = [told.steps] if told.steps else told.counts[::-1]
    return Series(
        kind=statistic,
        network=lab.network,
        source=lab.source(lab.network),
        photo=source,
        method="texture",
        options=told,
        units=(Unit(photo=source.name),),
        keys=(f"{statistic}/{source.name}-{told.seed}",),
        layer=lab.layers(1)[-2:][0],
        evaluations=sum(count / 4**i for i, count in enumerate(counts)),
    )


def plain(lab: Lab, network: Network, photo: Picture, layer: str) -> Series:
    """One picture: a code inverted as it is, for what the layer loses by itself."""
    return _inverted(lab, network, photo, layer, "plain", seed=lab.options.seed)


def random_style(
    lab: Lab, network: Network, photo: Picture, layer: str, draw: int, start: int = 0
) -> Series:
    """One picture: a code with its energy shared out at random.

    Args:
        draw, start: number the shares and the noise.
    """
    shares, seed = 1000 * lab.options.seed + draw, lab.options.seed + _APART * start
    told = {"modify": "random", "shares_seed": shares, "seed": seed}
    return _inverted(lab, network, photo, layer, f"shares-{draw}", **told)


def styled(
    lab: Lab,
    photo: Picture,
    style: Picture,
    method: str,
    weight: float | None = None,
    *,
    target: Fingerprint | None = None,
    name: str = "",
) -> Series:
    """One picture: a photograph in a style.

    Args:
        weight: of the style; the method's usual without it.
        target: a fingerprint in the style's place, told apart by ``name``.
    """
    kept = {
        "statistic": method,
        "style_weight": weight,
        "style_layers": lab.layers(1),
        "content_layer": content_layer(lab),
    }
    digest = hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:8]
    strength = "" if weight is None else f"-{weight:g}"
    styles = (style.image if target is None else target,)
    intake = lab.network.intake([content_layer(lab), *lab.layers(1)])
    fixed = {"seed": lab.options.seed, "styles": styles, "style_blur": 0.0}  # as the paper does
    told = StyleOptions.of({**lab.solving, **kept, **fixed})
    return Series(
        kind=method,
        network=lab.network,
        source=lab.source(lab.network),
        photo=photo,
        method="stylize",
        options=told,
        units=(Unit(photo=photo.name),),
        # other layers must not find these pictures
        keys=(f"{method}/{name or style.name}/{photo.name}{strength}-{digest}",),
        layer=lab.layers(1)[-1],
        evaluations=sum(count * scale**2 for scale, count in stages(photo.image, told, intake)),
    )


def content_layer(lab: Lab) -> str:
    """The paper's, or the second of the layers looked at in another network."""
    usual, layers = StyleOptions.content_layer, lab.layers(1)
    return usual if usual in lab.network.layers else layers[min(1, len(layers) - 1)]


def _textures(
    lab: Lab,
    kind: str,
    network: Network,
    photo: Picture,
    told: FilterOptions,
    units: tuple[Unit, ...],
    names: Sequence[str],
    shares: Tensor | None = None,
) -> Series:
    layer = str(units[0].layer)
    return Series(
        kind=kind,
        network=network,
        source=lab.source(network),
        photo=photo,
        method="filter",
        options=told,
        units=units,
        keys=tuple(f"{kind}/{layer}/{name}/{photo.name}-{told.seed}" for name in names),
        layer=layer,
        evaluations=solver_settings(told.preset, steps=told.steps).steps,
        shares=shares,
    )


def _inverted(
    lab: Lab, network: Network, photo: Picture, layer: str, kind: str, **options: Any
) -> Series:
    told = InvertOptions.of({**lab.solving, **options})
    name = network.name.replace(":", "-").replace("/", "-")
    return Series(
        kind=kind,
        network=network,
        source=lab.source(network),
        photo=photo,
        method="invert",
        options=told,
        units=(Unit(layer, None, photo.name),),
        keys=(f"{name}/{layer}/{photo.name}/{kind}-{told.seed}",),
        layer=layer,
        evaluations=inversion_steps(told.preset, told.steps),
    )
