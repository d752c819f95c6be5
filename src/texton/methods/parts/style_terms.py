"""What style transfer minimises, term by term; and the styles themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from texton.errors import TextonError
from texton.methods.method import Task
from texton.methods.parts.fingerprint import Fingerprint, read_fingerprint, statistic_of
from texton.methods.parts.masks import Regions, at_code, regions_at
from texton.methods.parts.paper2016 import paper_terms
from texton.methods.parts.statistics import weighted
from texton.methods.parts.style_tiles import Look
from texton.methods.parts.tiling import Tiling, whole_stride
from texton.network.device import Compute
from texton.solve.blur import blurred
from texton.solve.objective import CodeMatch, Objective, StatisticMatch, WeightedSum
from texton.solve.priors import TotalVariation
from texton.solve.scales import scaled

if TYPE_CHECKING:
    from texton.network.network import Network

Style = Tensor | Fingerprint
Targets = dict[tuple[str, int], Tensor]  # by layer and region
TextureOf = Callable[[Task, Tensor, str], Tensor]


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
    parts: dict[tuple[str, str], list[tuple[float, float]]] = {}
    with torch.no_grad():
        image = image.to(compute.device)
        codes = network.encode(image, objective.layers, compute.exact())
        for kind, layer, weight, term in objective.named:
            value = float(term(codes, image)[0])
            terms["total"] += weight * value
            if kind in terms:
                parts.setdefault((kind, layer), []).append((weight, value))
    for (kind, layer), every in parts.items():  # several where there are regions
        value = sum(weight * value for weight, value in every) / sum(weight for weight, _ in every)
        terms[kind][layer] = every[0][1] if len(every) == 1 else value
    return terms


def style_objective(
    content: Tensor,
    styles: Sequence[Style],
    scale: float,
    network: Network,
    told: Any,
    compute: Compute,
    regions: Regions | None = None,
    targets: Targets | None = None,
) -> StyleObjective:
    """What is minimised at a scale of the content's size.

    Args:
        content: (1, C, H, W), at that scale already; ``styles`` are scaled here.
        told: the options of `texton.methods.style`.
        regions: of the content as it is here, and of the styles as they are given.
        targets: the styles' statistics, where they are known already.
    """
    with torch.no_grad():
        code = network.encode(content, told.content_layer, compute.exact())[told.content_layer]
        if targets is None:
            targets = style_targets(styles, scale, network, told, compute, regions)
    weight = told.weights[0]
    if told.is_paper:
        return _objective2016(code, {layer: x for (layer, _), x in targets.items()}, told)
    named: list[tuple[str, str, float, Objective]] = [
        ("content", told.content_layer, weight, CodeMatch(told.content_layer, code))
    ]
    weights = _position_weights(content, network, told, regions)
    for (layer, region), share in term_weights(told, regions).items():
        statistic = statistic_of(told.matched)
        if weights is not None:
            statistic = weighted(told.matched, weights[layer][region])
        term = StatisticMatch(layer, statistic, targets[layer, region])
        named.append(("style", layer, share, term))
    if told.tv:
        named.append(("smoothness", "", told.tv, TotalVariation()))
    return StyleObjective(named)


def term_weights(told: Any, regions: Regions | None) -> dict[tuple[str, int], float]:
    """The weight of every style term, by layer and region; a region's goes with its area."""
    areas = [1.0] if regions is None else regions.areas()
    layers = zip(told.style_layers, told.layer_shares(), strict=True)
    weight = told.weights[1]
    return {(x, r): weight * share * area for x, share in layers for r, area in enumerate(areas)}


def style_targets(
    styles: Sequence[Style],
    scale: float,
    network: Network,
    told: Any,
    compute: Compute,
    regions: Regions | None = None,
    tiling: Tiling | None = None,
) -> Targets:
    """The styles' statistics by layer and region, mixed by their shares.

    Args:
        tiling: how images are cut that are looked at in tiles.
    """
    mixed = [told.shares()] if regions is None else regions.shares(told.shares())
    keys = [(layer, region) for layer in told.style_layers for region in range(len(mixed))]
    targets: Targets = {key: torch.zeros((), device=compute.device) for key in keys}
    for index, style in enumerate(styles):
        masks = None if regions is None else regions.styles[index]
        found = _found(style, scale, network, told, compute, masks, tiling)
        for layer, region in keys:
            if share := mixed[region][index]:
                own = found[layer, 0 if masks is None else region].to(compute.device)
                targets[layer, region] = targets[layer, region] + share * own
    return targets


def _found(
    style: Style,
    scale: float,
    network: Network,
    told: Any,
    compute: Compute,
    masks: Tensor | None,
    tiling: Tiling | None,
) -> Targets:
    """A style's statistics by layer and region of its own."""
    name, layers = told.matched, told.style_layers
    if isinstance(style, Fingerprint):
        return {(layer, 0): x for layer, x in style.statistic(name, layers).items()}
    image = network.intake(layers).fitted(scaled(style, scale))
    weights = None
    if masks is not None:
        weights = weights_of(network, layers, regions_at(masks, image.shape[2:]))
    if tiling is not None:
        look = Look(network, tiling, name, tuple(layers), weights)
        return look.statistics(image, compute.exact())
    codes = network.encode(image, layers, compute.exact())
    if weights is None:
        return {(layer, 0): statistic_of(name)(codes[layer]) for layer in layers}
    return {
        (layer, region): weighted(name, each)(codes[layer])
        for layer in layers
        for region, each in enumerate(weights[layer])
        if bool(each.sum() > 0)
    }


def _position_weights(
    content: Tensor, network: Network, told: Any, regions: Regions | None
) -> dict[str, Tensor] | None:
    if regions is None:
        return None
    mask = regions_at(regions.content, content.shape[2:])
    return weights_of(network, told.style_layers, mask)


def weights_of(network: Network, layers: Iterable[str], mask: Tensor) -> dict[str, Tensor]:
    """How much each position of the layers' codes counts in each region, (R, M, N).

    Raises:
        TextonError: a layer's positions do not lie on a grid of whole pixels.
    """
    return {layer: at_code(mask, whole_stride(network, layer)) for layer in layers}


def _objective2016(code: Tensor, targets: dict[str, Tensor], told: Any) -> StyleObjective:
    weight, style_weight = told.weights
    content, *styles = paper_terms(told.statistic, told.content_layer, code, targets)
    weighted = [(*content[:2], weight, content[2])]
    for (kind, layer, term), share in zip(styles, told.layer_shares(), strict=True):
        # 2016 summed its layers: a share of one layer in five counts once
        weighted.append((kind, layer, style_weight * share * len(styles), term))
    return StyleObjective(weighted)


def read_styles(task: Task, content: Tensor, texture_of: TextureOf) -> list[Style]:
    """The styles that the task's options name or hold, checked.

    Args:
        texture_of: the texture of the filter that is named, over the content.

    Raises:
        TextonError: no style, one that cannot be read or used, an unknown layer, or the content
            itself.
    """
    network, told = task.network, task.options
    for layer in (told.content_layer, *told.style_layers):
        network.layer(layer)
    if not told.styles:
        raise TextonError("no style is given: name at least one image or .style file, or --model")
    told.shares()
    told.layer_shares()
    styles = [_read_style(task, style, content, texture_of) for style in told.styles]
    for style in styles:
        if isinstance(style, Fingerprint):
            style.check(network, told.matched, told.style_layers)
        else:
            _refuse_itself(style, content)
    return styles


def _refuse_itself(style: Style, content: Tensor) -> None:
    if not isinstance(style, Tensor) or style.shape != content.shape:
        return
    if torch.equal(style.cpu(), content.cpu()):
        raise TextonError("the style is the content itself: there is nothing to carry over")


def read_style(
    name: str,
    network: Network,
    size: int | None,
    enlarge: bool = False,
    white: float | None = None,
    needs: Mapping[str, Any] | None = None,
) -> Style:
    """An image at that size, or a ``.style`` file."""
    from texton.images.files import read_image

    if name.endswith(".style"):
        return read_fingerprint(name)
    told = {"enlarge": enlarge, "white": white, **(needs or {})}
    return read_image(name, size, channels=network.channels, **told)


def softened(style: Style, told: Any) -> Style:
    """An image blurred as the options of `texton.methods.style` say; as it is for the paper's."""
    if told.is_paper or not isinstance(style, Tensor):
        return style
    return blurred(style, told.blur_of(max(style.shape[2:])))


def _read_style(task: Task, style: Any, content: Tensor, texture_of: TextureOf) -> Style:
    """An image, a fingerprint, the name of either, or a filter's own texture."""
    if not isinstance(style, (str, Path)):
        return style  # type: ignore[no-any-return]
    name, network, told = str(style), task.network, task.options
    layer, colon, channels = name.rpartition(":")
    if colon and not Path(name).exists() and (layer in network.layers or channels.isdecimal()):
        return texture_of(task, content, name)
    read: dict[str, Any] = {"white": task.white, "needs": task.needs}
    if told.style_size and not name.endswith(".style"):
        _refuse_itself(read_style(name, network, task.size, **read), content)
    return read_style(name, network, told.style_size or task.size, **read)
