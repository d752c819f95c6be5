"""Texture synthesis: a picture's statistics, or a filter's, at any size (Gatys et al. 2015)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from texton.errors import TextonError
from texton.methods.directions import sources
from texton.methods.method import STARTS, STEPS, Figure, Method, OnStep, Task
from texton.methods.options import Solving, option
from texton.methods.result import Result, Unit
from texton.solve.presets import SolverSettings, solver_settings

if TYPE_CHECKING:
    from torch import Tensor

    from texton.network.network import Network

STATISTICS = ("gram", "means", "moments", "shifted", "sorted")
COUNTS = {"fast": (40, 30, 10), "normal": (80, 50, 20), "fine": (200, 120, 60)}

_FILTERS = 160  # pixels a side, of the picture that a filter answers most


@dataclass(frozen=True)
class TextureOptions(Solving):
    """Of ``texton texture``."""

    preset: str = option("normal", "fast, normal or fine.", choices=COUNTS)
    statistic: str = option(
        "gram",
        "What is kept of every layer: gram (matrices), means (the paper's sums), moments, shifted "
        "(Gram matrices of places apart: what repeats), sorted (how often which activation).",
        choices=STATISTICS,
        named=True,
    )
    tile: bool = option(False, "It repeats without a seam, across and down.", named=True)
    texture_layers: tuple[str, ...] = option(
        (), "Comma-separated; relu1_1 to relu4_1 of VGG-19, the like of others."
    )
    source_size: int = option(
        512, "Long edge that a picture is read at; smaller ones as they are.", low=16, high=10_000
    )
    tv: float = option(1.0, "Total variation: against grain.", low=0)

    def settings(self) -> SolverSettings:
        asked = solver_settings(self.preset, steps=self.steps)
        return replace(
            asked,
            rule="lbfgs",
            learning_rate=0.05,
            final_rate=0.1,
            opening=0,
            tv=0.0,
            early_stop=False,
        )

    @property
    def counts(self) -> tuple[int, ...]:
        """Steps of every scale, coarse to fine."""
        return COUNTS[self.preset]

    def solver(self) -> dict[str, Any]:
        return {**super().solver(), "counts": list(self.counts)}


def synthesize(
    source: Tensor | str | Path,
    network: Network,
    *,
    size: int = 512,
    device: str = "auto",
    on_step: OnStep | None = None,
    **options: Any,
) -> Result:
    """A texture like a picture's, or a filter's own, from noise.

    Args:
        source: an image (1, C, H, W) in [0, 1], taken at the size it has; a picture's path; or a
            filter like ``relu4_2:4``, of which the picture that it answers most is the source.
        size: of the texture's sides, in pixels.
        options: of `TextureOptions`: ``statistic``, ``tile``, ``preset``, ``seed``; ``steps`` are
            exactly so many evaluations at full size, without coarser scales.

    Raises:
        TextonError: an unknown filter, layer or statistic; a source too small to see a texture
            in; sides that cannot be tiled through these layers.
    """
    told = TextureOptions.of(options)
    units: tuple[Unit, ...] = (Unit(),)
    photos: dict[str | None, Tensor] = {}
    if isinstance(source, (str, Path)):
        units = tuple(sources([str(source)], network))
    else:
        photos = {None: source}
    if len(units) != 1:
        raise TextonError(f"'{source}' is more than one filter: name one")
    return next(make(Task(network, units, photos, told, device, size), on_step))


def make(task: Task, on_step: OnStep | None = None) -> Iterator[Result]:
    """The texture of every unit: of a picture, or of a filter."""
    check(task)  # of many, the last may be a mistake, and the first took minutes
    for unit in task.units:
        yield _texture(task, unit, on_step)


def check(task: Task) -> None:
    """Refuse layers, sizes and pictures that cannot be used; a filter's own is not made for that.

    Raises:
        TextonError: see `synthesize`.
    """
    from texton.methods.parts.texturing import check_source, planned

    planned(task)
    for unit in task.units:
        if unit.layer is None:
            check_source(_read(task, unit), task.network)


def _texture(task: Task, unit: Unit, on_step: OnStep | None) -> Result:
    from texton.images.files import content_hash
    from texton.methods.parts.seeds import generator_for
    from texton.methods.parts.setup import compute_for, recorded_settings
    from texton.methods.parts.texturing import Synthesis, check_source, planned

    told: TextureOptions = task.options
    plan = planned(task)
    source = _filters_own(task, unit, on_step) if unit.layer is not None else None
    image = _read(task, unit) if source is None else source.image[None]
    check_source(image, task.network)
    compute = compute_for(task.network, told, task.device)
    generator = generator_for(told.seed, content_hash(image), told.statistic, None)
    solved = Synthesis(image, task.network, told, plan, compute, generator, on_step).solve()
    known = replace(task, photos={unit.photo: image})
    recorded = recorded_settings(METHOD.name, known, unit, told.settings(), compute)
    recorded |= {"size": [plan.size[1], plan.size[0]], **solved.about}
    return replace(
        solved.result, unit=unit, settings=recorded, status=source.status if source else "ok"
    )


def _read(task: Task, unit: Unit) -> Tensor:
    """A unit's picture: the task's, or read from the file that it names."""
    if unit.photo in task.photos:
        return task.photo(unit)
    if unit.photo is None:
        raise TextonError("no source is given: name a picture, or a filter like relu4_2:4")
    return replace(task, size=task.options.source_size).picture(unit.photo)


def _filters_own(task: Task, unit: Unit, on_step: OnStep | None) -> Result:
    """The picture that a filter answers most, as the source of its texture."""
    from texton.methods.maximisation import METHOD as MAXIMISATION

    told = task.options
    options = {"seed": told.seed, "dtype": told.dtype, "preset": "fast"}
    if unit.channel is None:
        raise TextonError(f"{unit.layer} alone is no filter: name a channel")
    alone = Task(
        task.network,
        (Unit(unit.layer, unit.channel),),
        {},
        MAXIMISATION.options.of(options),
        task.device,
        min(_FILTERS, task.size or METHOD.size),
    )
    return next(iter(MAXIMISATION.make(alone, on_step)))


METHOD = Method(
    name="texture",
    title="A texture from noise, like a picture's or a filter's own",
    caption="The texture of {unit}",
    axes=("layer", "channel"),
    options=TextureOptions,
    figures=(
        Figure(
            "error",
            "Error",
            "‖statistic − source's‖² / ‖source's‖², mean of layers, of the picture as saved.",
            better="low",
        ),
        Figure(
            "seam",
            "Seam",
            "Of --tile: how much neighbours differ across the edges, over the most that they do "
            "inside (99 % of rows and columns): none is seen up to 1.",
            digits=2,
            better="low",
        ),
        STEPS,
        STARTS,
    ),
    make=make,
    check=check,
    size=512,
    suffix="texture",
    takes_pictures=True,
    about="Statistics of a picture, or of what a filter answers most, matched coarse to fine.",
)
