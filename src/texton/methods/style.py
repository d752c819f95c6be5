"""Style transfer: a photograph with a painting's energies (PMCI, section 2.3, beside Gatys')."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from texton.errors import TextonError
from texton.images.files import as_saved, content_hash
from texton.methods.algorithm import Algorithm
from texton.methods.fingerprint import STATISTICS, Fingerprint
from texton.methods.paper2016 import WEIGHT_DECAY, paper_terms
from texton.methods.result import Result
from texton.methods.seeds import generator_for
from texton.methods.setup import (
    OnStep,
    algorithm_for,
    check_photo,
    make_solver,
    recorded_settings,
    run,
)
from texton.methods.style_settings import METHODS, StyleSettings
from texton.network.device import Compute
from texton.network.network import Network
from texton.solve.objective import CodeMatch, Objective, StatisticMatch, WeightedSum
from texton.solve.presets import SolverSettings, solver_settings
from texton.solve.priors import TotalVariation

_SCALES = {"fast": (30, 20), "normal": (60, 50, 40), "fine": (120, 120, 120)}
_SMALLEST = 96


def stylize(
    content: Tensor,
    styles: Sequence[Tensor | Fingerprint],
    network: Network,
    style_settings: StyleSettings | None = None,
    *,
    preset: str = "normal",
    steps: int | None = None,
    seed: int = 0,
    device: str = "auto",
    on_step: OnStep | None = None,
) -> Result:
    """A picture with the content of one image and the style of others.

    Solved coarse to fine, each scale from the one before. The style images keep their own
    aspect ratio and are scaled along with the picture.

    Args:
        content: (1, C, H, W) in [0, 1].
        styles: images of any size, or fingerprints; at least one.
        steps: exactly so many evaluations of the network at full size, without coarser scales.

    Returns:
        A `Result`; ``settings["terms"]`` holds every content and style term, of the content
        image (``before``) and of the saved picture (``after``).

    Raises:
        TextonError: unknown layers or methods; weights out of range; an image too small for a
            layer; a fingerprint of another network or without what the method needs; a style
            that is the content itself.
    """
    settings = _settings_for(preset, steps)
    algorithm = algorithm_for(settings)
    paper = algorithm.as_published
    wanted = (style_settings or StyleSettings()).completed(paper)
    check_photo(content, network)
    _check_styles(content, styles, network, wanted)
    compute = algorithm.compute(device)
    generator = generator_for(seed, content_hash(content), wanted.method, None)
    started = time.perf_counter()
    picture, taken = None, 0
    loss = torch.full((1,), 2.0, device=compute.device)  # that of 2016 as it is
    edge = 0 if paper else wanted.bleed
    wide = F.pad(content, (edge,) * 4, mode="reflect")
    exact = settings.steps if paper or steps is not None else None
    for scale, count in _scales(content, preset, exact):
        small = _scaled(wide, scale)
        objective = _objective(small, styles, scale, network, wanted, compute, paper)
        start = _start(picture, small, wanted, generator, algorithm, network.mean_colour)
        canvas = algorithm.canvas(start.to(compute.device))
        at_scale = replace(settings, steps=count)
        solver = make_solver(network, objective, canvas, at_scale, compute, [generator], loss)
        run(solver, on_step)
        picture = canvas.images()
        taken += int(solver.steps[0])
    assert picture is not None
    height, width = content.shape[2:]
    picture = picture[..., edge : edge + height, edge : edge + width]
    picture = algorithm.finish(picture)
    seconds = time.perf_counter() - started
    if wanted.keep_colors:
        picture = with_colors_of(content.to(picture.device), picture)
    saved = as_saved(picture)
    targets = _objective(content, styles, 1.0, network, wanted, compute, paper)
    terms = {"before": measure(targets, content, network, compute)}
    terms["after"] = measure(targets, saved, network, compute)
    recorded = recorded_settings(
        "stylize", network, content, preset, steps, seed, settings, compute
    )
    return Result(
        image=saved[0].cpu(),
        error=terms["after"]["total"],
        achieved=None,
        status="ok",
        layer=wanted.content_layer,
        channel=None,
        steps=taken,
        starts=1,
        seconds=seconds,
        trace=tuple(solver.traces[0]),
        settings=recorded | {"style": asdict(wanted), "terms": terms},
    )


def with_colors_of(content: Tensor, picture: Tensor) -> Tensor:
    """The picture's luma with the content's chroma (ITU-R BT.601); both (B, 3, H, W)."""
    weights = torch.tensor([0.299, 0.587, 0.114], device=picture.device).reshape(1, 3, 1, 1)
    light = (picture * weights).sum(1, keepdim=True)
    chroma = content - (content * weights).sum(1, keepdim=True)
    return (light + chroma).clamp(0, 1)


class StyleObjective(WeightedSum):
    """Content, style and smoothness, with what each term is called."""

    def __init__(self, named: Sequence[tuple[str, str, float, Objective]]) -> None:
        super().__init__([(weight, term) for _, _, weight, term in named])
        self.named = list(named)


def measure(
    objective: StyleObjective, image: Tensor, network: Network, compute: Compute
) -> dict[str, Any]:
    """Every term of an image, unweighted, by kind and layer, in float32."""
    terms: dict[str, Any] = {"content": {}, "style": {}, "total": 0.0}
    with torch.no_grad():
        image = image.to(compute.device)
        codes = network.encode(image, objective.layers, compute.exact())
        for kind, layer, weight, term in objective.named:
            value = float(term(codes, image)[0])
            terms["total"] += weight * value
            if kind in terms:
                terms[kind][layer] = value
    return terms


def _objective(
    content: Tensor,
    styles: Sequence[Tensor | Fingerprint],
    scale: float,
    network: Network,
    wanted: StyleSettings,
    compute: Compute,
    paper: bool,
) -> StyleObjective:
    exact = compute.exact()
    statistic = STATISTICS[METHODS[wanted.method]]
    with torch.no_grad():
        code = network.encode(content, wanted.content_layer, exact)[wanted.content_layer]
        targets = {layer: torch.zeros(()) for layer in wanted.style_layers}
        for style, share in zip(styles, wanted.shares(len(styles)), strict=True):
            if isinstance(style, Fingerprint):
                found = style.statistic(METHODS[wanted.method], wanted.style_layers)
            else:
                codes = network.encode(_scaled(style, scale), wanted.style_layers, exact)
                found = {layer: statistic(codes[layer]) for layer in wanted.style_layers}
            for layer in wanted.style_layers:
                value = found[layer].to(compute.device)
                targets[layer] = targets[layer].to(compute.device) + share * value
    assert wanted.content_weight is not None and wanted.style_weight is not None
    if paper:
        (content_term, *style_terms) = paper_terms(
            wanted.method, wanted.content_layer, code, targets
        )
        weighted = [(*content_term[:2], wanted.content_weight, content_term[2])]
        for (kind, layer, term), share in zip(style_terms, wanted.layer_shares(), strict=True):
            # 2016 summed its layers: a share of one layer in five counts once
            weighted.append((kind, layer, wanted.style_weight * share * len(style_terms), term))
        return StyleObjective(weighted)
    match = CodeMatch(wanted.content_layer, code)
    named: list[tuple[str, str, float, Objective]] = [
        ("content", wanted.content_layer, wanted.content_weight, match)
    ]
    for layer, share in zip(wanted.style_layers, wanted.layer_shares(), strict=True):
        term = StatisticMatch(layer, statistic, targets[layer])
        named.append(("style", layer, wanted.style_weight * share, term))
    if wanted.tv:
        named.append(("smoothness", "", wanted.tv, TotalVariation()))
    return StyleObjective(named)


def _check_styles(
    content: Tensor,
    styles: Sequence[Tensor | Fingerprint],
    network: Network,
    wanted: StyleSettings,
) -> None:
    for layer in (wanted.content_layer, *wanted.style_layers):
        network.layer(layer)
    if not styles:
        raise TextonError("no style is given: name at least one image or .style file")
    wanted.shares(len(styles))
    wanted.layer_shares()
    for style in styles:
        if isinstance(style, Fingerprint):
            style.check(network, METHODS[wanted.method], wanted.style_layers)
        elif style.shape == content.shape and torch.equal(style.cpu(), content.cpu()):
            raise TextonError("the style is the content itself: there is nothing to carry over")


def _settings_for(preset: str, steps: int | None) -> SolverSettings:
    settings = solver_settings(preset, steps=steps)
    if algorithm_for(settings).as_published:
        return replace(settings, weight_decay=WEIGHT_DECAY)
    return replace(
        settings,
        rule="lbfgs",
        learning_rate=0.05,
        final_rate=min(settings.final_rate, 0.1),
        opening=0,
        tv=0.0,
        early_stop=False,
    )


def _scales(content: Tensor, preset: str, steps: int | None) -> list[tuple[float, int]]:
    """(scale, steps) from coarse to fine, a factor of √2 apart, none under 96 pixels a side."""
    if steps is not None:
        return [(1.0, steps)]
    counts = _SCALES[preset]
    side = min(content.shape[2:])
    scales = [2 ** (-(len(counts) - 1 - i) / 2) for i in range(len(counts))]
    return [
        (scale, count)
        for scale, count in zip(scales, counts, strict=True)
        if scale == 1 or side * scale >= _SMALLEST
    ]


def _scaled(image: Tensor, scale: float) -> Tensor:
    if scale == 1:
        return image
    size = [max(16, round(side * scale)) for side in image.shape[2:]]
    return F.interpolate(image, size, mode="bicubic", antialias=True).clamp(0, 1)


def _start(
    picture: Tensor | None,
    content: Tensor,
    wanted: StyleSettings,
    generator: torch.Generator,
    algorithm: Algorithm,
    mean_colour: Tensor,
) -> Tensor:
    if picture is not None:
        size = content.shape[2:]
        return F.interpolate(picture, size, mode="bicubic", antialias=True).clamp(0, 1)
    if wanted.init == "content":
        return content
    return algorithm.start(content.shape[1:], [generator], mean_colour, 0.25)
