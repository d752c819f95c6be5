"""Photographs in styles, by either method, at chosen weights."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from texton.experiments.harness.lab import Lab, Work
from texton.experiments.harness.workbench import Made
from texton.images.folder import Picture
from texton.methods.parts.fingerprint import Fingerprint
from texton.methods.style import StyleOptions, stylize

METHODS = ("pmci", "gatys")
_EVALUATIONS = 50  # of the fast preset, over its scales
Weight = float | None


def plan(
    lab: Lab,
    photos: Sequence[Picture],
    styles: Sequence[Picture],
    methods: Sequence[str],
    weights: Sequence[Weight],
    more: Sequence[str] = (),
) -> None:
    """Say how much there is to do; ``more``: keys of further pictures of the same kind."""
    deepest = lab.layers(1)[-1]
    keys = [
        key_of(lab, photo, style.name, method, weight)
        for photo in photos
        for style in styles
        for method in methods
        for weight in weights
    ]
    steps = lab.options.steps or _EVALUATIONS
    lab.plan([Work(lab.network, deepest, (*keys, *more), steps)])


def styled(
    lab: Lab,
    photo: Picture,
    style: Picture,
    method: str,
    weight: Weight = None,
    *,
    target: Fingerprint | None = None,
    name: str = "",
) -> Made:
    """A stylised photograph, with its content and style terms.

    Args:
        weight: of the style; the method's usual without it.
        target: a fingerprint in the style's place, told apart by ``name``.
    """

    def make() -> Made:
        result = stylize(
            photo.image,
            [style.image if target is None else target],
            lab.network,
            **_settings(lab, method, weight),
            seed=lab.options.seed,
            **lab.solving,
        )
        return Made(result.image, result.record())

    return lab.picture(key_of(lab, photo, name or style.name, method, weight), make)


def key_of(lab: Lab, photo: Picture, style: str, method: str, weight: Weight) -> str:
    """``method/style/photo-weight-settings``: other layers must not find these pictures."""
    strength = "" if weight is None else f"-{weight:g}"
    told = json.dumps(_settings(lab, method, weight), sort_keys=True)
    digest = hashlib.sha256(told.encode()).hexdigest()[:8]
    return f"{method}/{style}/{photo.name}{strength}-{digest}"


def content_layer(lab: Lab) -> str:
    """The paper's, or the second of the layers looked at in another network."""
    usual, layers = StyleOptions.content_layer, lab.layers(1)
    return usual if usual in lab.network.layers else layers[min(1, len(layers) - 1)]


def _settings(lab: Lab, method: str, weight: Weight) -> dict[str, Any]:
    return {
        "statistic": method,
        "style_weight": weight,
        "style_layers": lab.layers(1),
        "content_layer": content_layer(lab),
    }
