"""What style transfer keeps of the content and of the style, and how strongly."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from texton.errors import TextonError, near_names
from texton.methods.fingerprint import STYLE_LAYERS
from texton.methods.paper2016 import CONTENT_WEIGHT, STYLE_WEIGHT

METHODS = {"pmci": "means", "gatys": "gram", "moments": "moments"}


@dataclass(frozen=True)
class StyleSettings:
    """What of the content and of the style is kept.

    Every term is divided by its own target and averaged over its layers, so that a weight
    means the same for every method, layer set, image size and network.

    Attributes:
        content_weight, style_weight: 1 and 10 by default; with the paper preset 10 and 1, on
            the scale of 2016.
        method: ``pmci`` matches each filter's mean (the paper's sums), ``gatys`` Gram matrices,
            ``moments`` means and standard deviations.
        layer_weights: one per style layer, divided by their sum; all alike by default.
        mix: one weight per style; they are divided by their sum.
        init: start from the ``content`` or from ``noise``; by default from the content, with
            the paper preset from noise.
        keep_colors: take the style's light and dark only, and keep the content's colours.
        tv: weight of total variation, which keeps flat skies flat.
        bleed: pixels solved around the picture and cut off, where zero padding would draw a
            frame; without them the picture itself matches its targets most exactly.
    """

    method: str = "pmci"
    content_weight: float | None = None
    style_weight: float | None = None
    content_layer: str = "relu2_2"
    style_layers: tuple[str, ...] = STYLE_LAYERS
    layer_weights: tuple[float, ...] = field(default=())
    mix: tuple[float, ...] = field(default=())
    init: str | None = None
    keep_colors: bool = False
    tv: float = 5.0
    bleed: int = 4

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            near = near_names(self.method, METHODS)
            raise TextonError(f"unknown method '{self.method}'{near}: use {', '.join(METHODS)}")
        if self.init not in (None, "content", "noise"):
            raise TextonError(f"unknown start '{self.init}': use content or noise")
        for name in ("content_weight", "style_weight"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise TextonError(f"{name.replace('_', ' ')} is {value}: use more than 0")
        if not 0 <= self.tv < float("inf"):
            raise TextonError(f"tv is {self.tv}: use 0 or more")
        if not 0 <= self.bleed <= 15:
            raise TextonError(f"bleed is {self.bleed}: use 0 to 15 pixels")
        if not self.style_layers:
            raise TextonError("no style layers: name at least one")
        if any(not 0 < weight < float("inf") for weight in self.mix):
            raise TextonError("a style's share is not above 0: leave that style out")
        if any(not 0 < weight < float("inf") for weight in self.layer_weights):
            raise TextonError("a layer's weight is not above 0: leave that layer out")

    def completed(self, paper: bool) -> StyleSettings:
        """The same with what the preset decides filled in: that of 2016, or today's."""
        content, style = (CONTENT_WEIGHT, STYLE_WEIGHT) if paper else (1.0, 10.0)
        return replace(
            self,
            content_weight=self.content_weight or content,
            style_weight=self.style_weight or style,
            init=self.init or ("noise" if paper else "content"),
            tv=0.0 if paper else self.tv,
        )

    def shares(self, styles: int) -> list[float]:
        """One share per style; they sum to 1."""
        return _shares(self.mix, styles, "shares for {} styles")

    def layer_shares(self) -> list[float]:
        """One share per style layer; they sum to 1."""
        return _shares(self.layer_weights, len(self.style_layers), "weights for {} style layers")


def _shares(weights: tuple[float, ...], count: int, what: str) -> list[float]:
    weights = weights or (1.0,) * count
    if len(weights) != count:
        raise TextonError(f"{len(weights)} {what.format(count)}: give one for each")
    return [weight / sum(weights) for weight in weights]
