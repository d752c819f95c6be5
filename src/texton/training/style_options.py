"""What the training of a style may be told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from texton.methods.options import option
from texton.methods.style import StyleOptions
from texton.training.options import TrainingOptions

SHALLOW = ("relu1_1", "relu2_1", "relu3_1", "relu4_1")
_SHARED = (
    *("statistic", "content_weight", "style_weight", "content_layer", "style_layers"),
    *("layer_weights", "tv", "style_size", "style_blur"),
)


@dataclass(frozen=True)
class StyleTraining(TrainingOptions):
    """What is matched, as `texton stylize` is told it, and how large the network is."""

    batch: int = TrainingOptions.declared("batch", 1)
    crop: int = TrainingOptions.declared("crop", 192)
    statistic: str = StyleOptions.declared("statistic", "pmci")
    content_weight: float | None = StyleOptions.declared("content_weight", None)
    style_weight: float | None = StyleOptions.declared("style_weight", None)
    content_layer: str = StyleOptions.declared("content_layer", "relu2_2")
    style_layers: tuple[str, ...] = StyleOptions.declared("style_layers", SHALLOW)
    layer_weights: tuple[float, ...] = StyleOptions.declared("layer_weights", ())
    tv: float = StyleOptions.declared("tv", 5.0)
    style_size: int = option(
        256, "Long edge of the paintings: how large their strokes become.", low=16, high=10_000
    )
    style_blur: float | None = StyleOptions.declared("style_blur", None)
    width: int = option(8, "Filters of its first convolution; 32: Johnson et al.", low=1, high=256)
    residuals: int = option(5, "Residual blocks.", low=1, high=32)
    output: str = option(
        "added",
        "added: the photograph is added before the end, and not learnt first; or tanh.",
        choices=("added", "tanh"),
    )
    from_: Path | None = option(
        None, "Begin with what another of the same width has learnt, of whatever styles."
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.sought(("a painting",)).layer_shares()

    def sought(self, styles: Sequence[Any]) -> StyleOptions:
        """What `stylize` is told where it minimises the same."""
        shared = {name: getattr(self, name) for name in _SHARED}
        return StyleOptions(styles=tuple(styles), **shared)
