"""Style transfer: a photograph with a painting's energies (PMCI, section 2.3, beside Gatys')."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from texton.errors import TextonError
from texton.methods.method import STARTS, STEPS, Figure, Method, OnStep, Task
from texton.methods.options import Solving, declarations, option
from texton.methods.parts.fingerprint import STYLE_LAYERS
from texton.methods.result import Result
from texton.solve.presets import PRESETS, SolverSettings, solver_settings

if TYPE_CHECKING:
    from torch import Tensor

    from texton.methods.parts.fingerprint import Fingerprint
    from texton.network.network import Network
    from texton.network.sizes import Intake

STATISTIC_OF = {"pmci": "means", "gatys": "gram", "moments": "moments"}
_COUNTS = {"fast": (30, 20), "normal": (60, 50, 40), "fine": (120, 120, 120)}
_FINE = 512  # pixels of a long edge, from which on one is finer than strokes
# Of more than can be solved as one: strokes are laid out where a step is cheap.
_LARGE = {
    "fast": (30, 20, 15, 10, 6, 4),
    "normal": (60, 50, 40, 30, 15, 8),
    "fine": (120, 120, 120, 80, 40, 20),
}


@dataclass(frozen=True)
class StyleOptions(Solving):
    """What of the content and of the style is kept, and how strongly.

    Every term is divided by its own target and averaged over its layers, so that a weight
    means the same for every method, layer set, image size and network.
    """

    whole: ClassVar[int] = 1_200_000  # pixels that are solved as one; more take over 4 GB

    styles: tuple[Any, ...] = option(
        (),
        "Images, .style files, or filters like relu4_2:4 (what that filter extracts).",
        argument=True,
        picture=True,
        named=True,
    )
    statistic: str = option(
        "pmci",
        "pmci (filter means), gatys (Gram matrices), moments.",
        choices=STATISTIC_OF,
        named=True,
        also="--method",
    )
    content_weight: float | None = option(
        None, "1; with --preset paper 10.", above=0, usual={"": 1.0, "paper": 10.0}
    )
    style_weight: float | None = option(
        None, "10; with --preset paper 1.", above=0, usual={"": 10.0, "paper": 1.0}
    )
    content_layer: str = option("relu2_2", "Whose code is kept.")
    style_layers: tuple[str, ...] = option(STYLE_LAYERS, "Comma-separated.")
    layer_weights: tuple[float, ...] = option(
        (), "A weight per style layer: 5,4,3,2,1; alike by default.", above=0
    )
    init: str | None = option(
        None,
        "content or noise (the paper preset's default).",
        choices=("content", "noise"),
    )
    style_mix: tuple[float, ...] = option(
        (), "A share per style: 0.7,0.3.", above=0, named=True, also="--blend"
    )
    model: Path | None = option(
        None,
        "Paint at once: a file of `texton train style`, in place of styles.",
        named=True,
        holds="style",
    )
    style_size: int | None = option(
        None, "Long edge of the styles; --size by default.", low=16, high=10_000
    )
    style_blur: float | None = option(
        None,
        "Pixels that style images are blurred by: a painting's own grain is no stroke. By default "
        "1 from 512 pixels of long edge on, 0.7 at 256.",
        low=0,
        high=20,
    )
    keep_colors: str | None = option(
        None,
        "luma: the content's chroma is laid over the picture; statistics: the styles are given "
        "its mean and covariance first.",
        choices=("luma", "statistics"),
        named=True,
    )
    mask: tuple[Path, ...] = option(
        (),
        "Regions by even greys: the content's mask, then one for each style, or none: each region "
        "then has a style of its own, the darkest the first.",
        picture=True,
        named=True,
    )
    depth: int | None = option(
        None, "8 or 16 bits; 16 by default of a photograph that has them.", low=8, high=16
    )
    start: Any = option(
        None, "A picture to begin from, at full size alone, like the frame before.", picture=True
    )
    tile_size: int | None = option(
        None,
        "Pixels a side that are solved at a time, for less memory; by default 512 of pictures "
        "over 1.2 megapixels.",
        low=32,
        high=10_000,
    )
    resume: bool = option(
        False,
        "Keep the solve beside the picture every half minute; go on where one was kept.",
        typed=True,
    )
    kept: Path | None = option(None, "Where it is kept.", hidden=True)
    alpha: Any = option(None, "How opaque the photograph is, (H, W).", hidden=True)
    tv: float = option(5.0, "Total variation: keeps flat skies flat.", low=0)
    bleed: int = option(
        4,
        "Pixels solved around the picture and cut off: no frame by padding.",
        low=0,
        high=15,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.style_layers:
            raise TextonError("no style layers: name at least one")
        if self.preset == "paper" and self.statistic == "moments":
            raise TextonError("the paper preset has pmci and gatys, not moments: use another")
        if self.is_paper and (self.mask or self.tile_size or self.start is not None):
            raise TextonError("the paper preset has no masks, tiles or start: use another")
        if self.depth not in (None, 8, 16):
            raise TextonError(f"depth is {self.depth}: use 8 or 16")

    def settings(self) -> SolverSettings:
        return _settings(self)

    def solver(self) -> dict[str, Any]:
        return {**asdict(_settings(self)), "counts": list(_COUNTS.get(self.preset, ()))}

    @property
    def matched(self) -> str:
        """What is matched of a code: the name of a function of `texton.network.codes`."""
        return STATISTIC_OF[self.statistic]

    @property
    def is_paper(self) -> bool:
        return self.preset == "paper"

    @property
    def weights(self) -> tuple[float, float]:
        """Of content and style."""
        usual = {x.name: x.spec.usually(self.preset) for x in declarations(type(self))}
        return (
            self.content_weight or usual["content_weight"],
            self.style_weight or usual["style_weight"],
        )

    def blur_of(self, long_edge: int) -> float:
        """Pixels that a style image of that size is blurred by.

        By default as a square root: strokes grow with a picture, what layers see of waves a few
        pixels long does not.
        """
        return min(1.0, (long_edge / _FINE) ** 0.5) if self.style_blur is None else self.style_blur

    @property
    def begins_with(self) -> str:
        return self.init or ("noise" if self.is_paper else "content")

    def shares(self) -> list[float]:
        """One share per style; they sum to 1."""
        return _shares(self.style_mix, len(self.styles), "shares for {} styles")

    def layer_shares(self) -> list[float]:
        """One share per style layer; they sum to 1."""
        return _shares(self.layer_weights, len(self.style_layers), "weights for {} style layers")


def stylize(
    content: Tensor,
    styles: Sequence[Tensor | Fingerprint],
    network: Network,
    **options: Any,
) -> Result:
    """A picture with the content of one image and the style of others.

    Solved coarse to fine, each scale from the one before. The style images keep their own
    aspect ratio and are scaled along with the picture.

    Args:
        content: (1, C, H, W) in [0, 1].
        styles: images of any size, or fingerprints; at least one.
        options: of `StyleOptions`; ``steps`` are exactly so many evaluations of the network at
            full size, without coarser scales. ``device``, ``on_step``.

    Returns:
        A `Result`; ``settings["terms"]`` holds every content and style term, of the content
        image (``before``) and of the saved picture (``after``).

    Raises:
        TextonError: unknown layers or methods; weights out of range; an image too small for a
            layer; a fingerprint of another network or without what the method needs; a style
            that is the content itself.
    """
    return METHOD.picture(content, network, styles=tuple(styles), **options)


def make(task: Task, on_step: OnStep | None = None) -> Iterator[Result]:
    """The photograph of every unit in the styles of the options."""
    if task.options.model is not None:
        from texton.methods.parts.feed_forward import check_model, painted

        model = check_model(task)
        yield from (painted(task, unit, model) for unit in task.units)
        return
    from texton.methods.parts.stylizing import Painting

    for unit in task.units:
        painting = Painting(task, unit, _texture)
        plan = stages(painting.content, task.options, painting.intake)
        yield painting.painted(plan, on_step)


def check(task: Task) -> None:
    """Refuse a style that cannot be read or used, and a photograph too small for its layers.

    A filter's own texture is not made for that.
    """
    from texton.methods.parts.masks import read_regions
    from texton.methods.parts.style_terms import read_styles

    if task.options.model is not None:
        from texton.methods.parts.feed_forward import check_model

        check_model(task)
        return
    for content in {unit.photo: task.photo(unit) for unit in task.units}.values():
        styles = read_styles(task, content, _named)
        if task.options.mask:
            read_regions(task.options.mask, content, styles)
        layers = (task.options.content_layer, *task.options.style_layers)
        task.network.encode(content, layers)


def _settings(told: StyleOptions) -> SolverSettings:
    from texton.methods.parts.paper2016 import WEIGHT_DECAY

    settings = solver_settings(told.preset, steps=told.steps)
    if told.is_paper:
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


def stages(content: Tensor, told: StyleOptions, intake: Intake) -> list[tuple[float, int]]:
    """(scale, steps), coarse to fine; the last alone for a network of one size."""
    from texton.solve.scales import scales

    if told.steps is not None or told.is_paper:
        return [(1.0, told.steps or PRESETS[told.preset].steps)]
    if told.start is not None:
        return [(1.0, _COUNTS[told.preset][-1])]
    large = content.shape[2:].numel() > told.whole
    every = scales(content, (_LARGE if large else _COUNTS)[told.preset])
    return every if intake.only is None else every[-1:]


def _texture(task: Task, content: Tensor, name: str) -> Tensor:
    """What the filter of that name extracts from the content."""
    from texton.methods.feature_map_inversion import invert_filter

    layer, channel = _filter_named(task, content, name)
    options = {"device": task.device, "seed": task.options.seed}
    return invert_filter(content, task.network, layer, channel, **options).image[None]


def _named(task: Task, content: Tensor, name: str) -> Tensor:
    """In its texture's place, where only the name is looked at."""
    _filter_named(task, content, name)
    return content[..., :1, :1]


def _filter_named(task: Task, content: Tensor, name: str) -> tuple[str, int]:
    from texton.network.choose import parse_filters

    (filters,) = parse_filters([name], task.network, content)
    if len(filters.channels) != 1:
        raise TextonError(f"'{name}' is more than one filter: name one, like {filters.layer}:4")
    return filters.layer, filters.channels[0]


def _shares(weights: tuple[float, ...], count: int, what: str) -> list[float]:
    weights = weights or (1.0,) * count
    if len(weights) != count:
        raise TextonError(f"{len(weights)} {what.format(count)}: give one for each")
    return [weight / sum(weights) for weight in weights]


METHOD = Method(
    name="stylize",
    title="A photograph in the style of other pictures",
    caption="{photo}, in another style",
    axes=("photo",),
    options=StyleOptions,
    figures=(
        Figure("total", "Loss", "Every term times its weight, added up.", better="low"),
        Figure("content", "Content", "The content terms, averaged over layers.", better="low"),
        Figure("style", "Style", "The style terms, averaged over layers.", better="low"),
        STEPS,
        STARTS,
    ),
    make=make,
    check=check,
    size=512,
    keeps_alpha=True,
    takes_frames=True,
    about="Paint a photograph in the style of others (PMCI, or Gatys' style transfer).",
)
