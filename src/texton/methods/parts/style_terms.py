"""What style transfer minimises, term by term; and the styles themselves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from texton.errors import TextonError
from texton.methods.method import Task
from texton.methods.parts.fingerprint import Fingerprint, read_fingerprint, statistic_of
from texton.methods.parts.paper2016 import paper_terms
from texton.network.device import Compute
from texton.solve.objective import CodeMatch, Objective, StatisticMatch, WeightedSum
from texton.solve.priors import TotalVariation
from texton.solve.scales import scaled

if TYPE_CHECKING:
    from texton.network.network import Network

Style = Tensor | Fingerprint
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
    with torch.no_grad():
        image = image.to(compute.device)
        codes = network.encode(image, objective.layers, compute.exact())
        for kind, layer, weight, term in objective.named:
            value = float(term(codes, image)[0])
            terms["total"] += weight * value
            if kind in terms:
                terms[kind][layer] = value
    return terms


def style_objective(
    content: Tensor,
    styles: Sequence[Style],
    scale: float,
    network: Network,
    told: Any,
    compute: Compute,
) -> StyleObjective:
    """What is minimised at a scale of the content's size.

    Args:
        content: (1, C, H, W), at that scale already; ``styles`` are scaled here.
        told: the options of `texton.methods.style`.
    """
    with torch.no_grad():
        code = network.encode(content, told.content_layer, compute.exact())[told.content_layer]
        targets = _targets(styles, scale, network, told, compute)
    weight, style_weight = told.weights
    if told.is_paper:
        return _objective2016(code, targets, told)
    named: list[tuple[str, str, float, Objective]] = [
        ("content", told.content_layer, weight, CodeMatch(told.content_layer, code))
    ]
    statistic = statistic_of(told.matched)
    for layer, share in zip(told.style_layers, told.layer_shares(), strict=True):
        term = StatisticMatch(layer, statistic, targets[layer])
        named.append(("style", layer, style_weight * share, term))
    if told.tv:
        named.append(("smoothness", "", told.tv, TotalVariation()))
    return StyleObjective(named)


def _targets(
    styles: Sequence[Style], scale: float, network: Network, told: Any, compute: Compute
) -> dict[str, Tensor]:
    """The styles' statistics by layer, mixed by their shares."""
    name = told.matched
    targets = {layer: torch.zeros((), device=compute.device) for layer in told.style_layers}
    intake = network.intake(told.style_layers)
    for style, share in zip(styles, told.shares(), strict=True):
        if isinstance(style, Fingerprint):
            found = style.statistic(name, told.style_layers)
        else:
            image = intake.fitted(scaled(style, scale))
            codes = network.encode(image, told.style_layers, compute.exact())
            found = {layer: statistic_of(name)(codes[layer]) for layer in told.style_layers}
        for layer in told.style_layers:
            targets[layer] = targets[layer] + share * found[layer].to(compute.device)
    return targets


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
        raise TextonError("no style is given: name at least one image or .style file")
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


def with_colors_of(content: Tensor, picture: Tensor) -> Tensor:
    """The picture's luma with the content's chroma (ITU-R BT.601); both (B, 3, H, W)."""
    weights = torch.tensor([0.299, 0.587, 0.114], device=picture.device).reshape(1, 3, 1, 1)
    light = (picture * weights).sum(1, keepdim=True)
    chroma = content - (content * weights).sum(1, keepdim=True)
    return (light + chroma).clamp(0, 1)
