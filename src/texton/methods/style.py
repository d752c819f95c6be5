"""Style transfer: a photograph with a painting's energies (PMCI, section 2.3, beside Gatys')."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from texton.errors import TextonError
from texton.methods.method import STARTS, STEPS, Figure, Method, OnStep, Task
from texton.methods.options import Solving, option
from texton.methods.parts.fingerprint import STYLE_LAYERS
from texton.methods.result import Result, Unit
from texton.solve.presets import PRESETS, SolverSettings, solver_settings

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from texton.methods.parts.algorithm import Algorithm
    from texton.methods.parts.fingerprint import Fingerprint
    from texton.methods.parts.style_terms import StyleObjective
    from texton.network.network import Network
    from texton.network.sizes import Intake

STATISTIC_OF = {"pmci": "means", "gatys": "gram", "moments": "moments"}
_COUNTS = {"fast": (30, 20), "normal": (60, 50, 40), "fine": (120, 120, 120)}


@dataclass(frozen=True)
class StyleOptions(Solving):
    """What of the content and of the style is kept, and how strongly.

    Every term is divided by its own target and averaged over its layers, so that a weight
    means the same for every method, layer set, image size and network.
    """

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
    content_weight: float | None = option(None, "1; with --preset paper 10.", above=0)
    style_weight: float | None = option(None, "10; with --preset paper 1.", above=0)
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
    style_mix: tuple[float, ...] = option((), "A share per style: 0.7,0.3.", above=0, named=True)
    style_size: int | None = option(
        None, "Long edge of the styles; --size by default.", low=16, high=10_000
    )
    keep_colors: bool = option(False, "Keep the content's colours.", named=True)
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
        content, style = (10.0, 1.0) if self.is_paper else (1.0, 10.0)
        return self.content_weight or content, self.style_weight or style

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
    for unit in task.units:
        yield _stylized(task, unit, on_step)


def check(task: Task) -> None:
    """Refuse a style that cannot be read or used, and a photograph too small for its layers.

    A filter's own texture is not made for that.
    """
    from texton.methods.parts.style_terms import read_styles

    for content in {unit.photo: task.photo(unit) for unit in task.units}.values():
        read_styles(task, content, _named)
        layers = (task.options.content_layer, *task.options.style_layers)
        task.network.encode(content, layers)


def _stylized(task: Task, unit: Unit, on_step: OnStep | None) -> Result:
    import torch
    import torch.nn.functional as F

    from texton.images.files import as_saved, content_hash
    from texton.methods.parts import setup
    from texton.methods.parts.seeds import generator_for
    from texton.methods.parts.style_terms import (
        measure,
        read_styles,
        style_objective,
        with_colors_of,
    )
    from texton.solve.scales import scaled

    content, network, told = task.photo(unit), task.network, task.options
    setup.check_photo(content, network)
    if told.keep_colors and network.channels not in (1, 3):
        raise TextonError(
            f"{network.name} takes {network.channels} channels, of which none are colours to keep: "
            "leave --keep-colors out"
        )
    styles = read_styles(task, content, _texture)
    settings = _settings(told)
    algorithm = setup.algorithm_for(settings)
    compute = setup.compute_for(network, told, task.device)
    generator = generator_for(told.seed, content_hash(content), told.statistic, None)
    started = time.perf_counter()
    picture, taken, trace = None, 0, []
    loss = torch.full((1,), 2.0, device=compute.device)  # that of 2016 as it is
    intake = network.intake((told.content_layer, *told.style_layers))
    edge = 0 if told.is_paper or intake.only or 2 * told.bleed % intake.multiple else told.bleed
    wide = F.pad(content, (edge,) * 4, mode="reflect")
    plan = stages(content, told, intake)
    for scale, count in plan:
        small = scaled(wide, scale, intake.near)
        objective = style_objective(small, styles, scale, network, told, compute)
        start = _start(picture, small, told, generator, algorithm, network.mean_colour)
        canvas = algorithm.canvas(start.to(compute.device))
        at_scale = replace(settings, steps=count)
        solver = setup.make_solver(network, objective, canvas, at_scale, compute, [generator], loss)
        setup.run(solver, on_step)
        picture = canvas.images()
        taken += int(solver.steps[0])
        trace += solver.traces[0]
    assert picture is not None
    height, width = content.shape[2:]
    picture = picture[..., edge : edge + height, edge : edge + width]
    picture = algorithm.finish(picture)
    seconds = time.perf_counter() - started
    if told.keep_colors:
        picture = with_colors_of(content.to(picture.device), picture)
    saved = as_saved(picture)
    targets: StyleObjective = style_objective(content, styles, 1.0, network, told, compute)
    before, after = (measure(targets, x, network, compute) for x in (content, saved))
    recorded = setup.recorded_settings(METHOD.name, task, unit, settings, compute)
    scales = {"scales": [{"scale": scale, "steps": count} for scale, count in plan]}
    return Result(
        image=saved[0].cpu(),
        unit=unit,
        figures={
            "total": after["total"],
            "content": _mean(after["content"]),
            "style": _mean(after["style"]),
            "steps": taken,
            "starts": 1,
        },
        seconds=seconds,
        trace=tuple(trace),
        settings={**recorded, **scales, "terms": {"before": before, "after": after}},
    )


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
    every = scales(content, _COUNTS[told.preset])
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


def _start(
    picture: Tensor | None,
    content: Tensor,
    told: StyleOptions,
    generator: torch.Generator,
    algorithm: Algorithm,
    mean_colour: Tensor,
) -> Tensor:
    from texton.solve.scales import resized

    if picture is not None:
        return resized(picture, content.shape[2:])
    if told.begins_with == "content":
        return content
    return algorithm.start(content.shape[1:], [generator], mean_colour, 0.25)


def _mean(terms: dict[str, float]) -> float:
    return sum(terms.values()) / len(terms)


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
    about="Paint a photograph in the style of others (PMCI, or Gatys' style transfer).",
)
