"""Photographs in styles, by either method, at chosen weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from texton.experiments.frame.lab import Lab, Work
from texton.experiments.frame.samples import Picture
from texton.experiments.frame.workbench import Made
from texton.methods.fingerprint import Fingerprint
from texton.methods.style_settings import StyleSettings
from texton.methods.style_transfer import stylize
from texton.result import Result

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
    deepest = _settings(lab, "pmci", None).style_layers[-1]
    keys = [
        _key(photo, style.name, method, weight)
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
            _settings(lab, method, weight),
            seed=lab.options.seed,
            **lab.solving,
        )
        return Made(result.image, {**result.figures(), "terms": _terms(result)})

    return lab.picture(_key(photo, name or style.name, method, weight), make)


def key_of(photo: Picture, style: str, method: str, weight: Weight) -> str:
    return _key(photo, style, method, weight)


def _settings(lab: Lab, method: str, weight: Weight) -> StyleSettings:
    layers = tuple(lab.layers(1))
    content = StyleSettings.content_layer
    if content not in lab.network.layers:
        content = layers[min(1, len(layers) - 1)]
    return StyleSettings(
        method=method, style_weight=weight, style_layers=layers, content_layer=content
    )


def _terms(result: Result) -> dict[str, Any]:
    """Content and style after solving, each averaged over its layers."""
    after = result.settings["terms"]["after"]
    return {kind: sum(after[kind].values()) / len(after[kind]) for kind in ("content", "style")}


def _key(photo: Picture, style: str, method: str, weight: Weight) -> str:
    strength = "" if weight is None else f"-{weight:g}"
    return f"{method}/{style}/{photo.name}{strength}"
