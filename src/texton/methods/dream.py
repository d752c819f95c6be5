"""DeepDream: what a layer sees in a photograph already, made stronger (Mordvintsev et al. 2015)."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from texton.errors import TextonError
from texton.methods.method import STEPS, Figure, Method, OnStep, Task
from texton.methods.options import MAX_SEED, Options, Solving, option
from texton.methods.result import Result, Unit
from texton.solve.presets import SolverSettings

if TYPE_CHECKING:
    from torch import Tensor

    from texton.network.network import Network

_STEP = 1.5 / 255  # a pixel's mean move, as published
_LONGEST = 300
_STEPS, _DEEP_STEPS, _DEEP = 10, 20, 64  # pixels: a thing, not a texture, needs longer


@dataclass(frozen=True)
class DreamOptions(Options):
    """Of ``texton dream``."""

    guide: Any = option(None, "A picture whose features are looked for.", named=True, picture=True)
    octaves: int = option(4, "Sizes, from coarse to fine.", low=1, high=12, named=True)
    ratio: float = option(1.4, "Of one octave's size to the one before.", above=1, high=4)
    iterations: int | None = option(
        None,
        "Steps at every size; 10, or 20 of a layer that sees over 64 pixels.",
        low=1,
        high=1000,
        named=True,
    )
    strength: float = option(
        1.0, "Of a step: 1 moves a pixel by 1.5 of 255.", above=0, high=100, named=True
    )
    pools: str = option(
        "max",
        "VGG-19 dreams by max pooling, as it was trained; own: by --pooling, softer.",
        choices=("max", "own"),
        named=True,
    )
    zoom: int = option(0, "Frames of a flight into the dream.", low=0, high=_LONGEST, named=True)
    animation: str = option("webp", "Of --zoom: webp or gif.", choices=("webp", "gif"))
    seed: int = option(0, "The same seed gives the same picture.", low=0, high=MAX_SEED)
    dtype: str = Solving.declared("dtype", "auto")

    def settings(self, field: int) -> SolverSettings:
        """Of one octave, of a layer with a receptive field of so many pixels."""
        return SolverSettings(
            steps=self.iterations or (_DEEP_STEPS if field > _DEEP else _STEPS),
            learning_rate=self.strength * _STEP,
            final_rate=1.0,
            opening=0,
            contrast=0.0,
            early_stop=False,
            tv=0.0,
            rule="ascent",
        )


def dream(
    image: Tensor,
    network: Network,
    layer: str,
    channels: Sequence[int] = (),
    *,
    device: str = "auto",
    on_step: OnStep | None = None,
    **options: Any,
) -> Result:
    """DeepDream of a photograph.

    Args:
        image: (1, C, H, W) in [0, 1].
        channels: of the layer, that are strengthened; all without any.
        options: of `DreamOptions`: ``guide``, ``octaves``, ``iterations``, ``strength``, ``zoom``,
            whose pictures are the result's ``frames``.

    Raises:
        TextonError: an unknown layer, channel, option or device; numbers out of range; an image
            too small.
    """
    label = ",".join(map(str, channels)) or None
    told = DreamOptions.of(options)
    task = Task(network, (Unit(layer, direction=label),), {None: image}, told, device)
    return next(make(task, on_step))


def make(task: Task, on_step: OnStep | None = None) -> Iterator[Result]:
    """A dream for every unit: a layer, or some channels of it, of a photograph."""
    for unit in task.units:
        yield _dreamed(task, unit, on_step)


def _dreamed(task: Task, unit: Unit, on_step: OnStep | None) -> Result:
    from texton.images.files import as_saved, content_hash
    from texton.methods.parts.dreaming import Dreaming, closer
    from texton.methods.parts.looking import field_of
    from texton.methods.parts.seeds import generator_for
    from texton.methods.parts.setup import check_photo, recorded_settings
    from texton.network.device import choose_compute, dtype_named

    told, photo, network = task.options, task.photo(unit), task.network
    check_photo(photo, network)
    channels = _channels(network, unit)
    guide = None if told.guide is None else task.picture(told.guide)
    settings = told.settings(field_of(network, unit.layer or ""))
    compute = choose_compute(task.device, dtype_named(told.dtype))
    compute = network.suited(compute, asked=told.dtype != "auto")
    dreaming = Dreaming(
        network, unit.layer or "", channels, guide, settings, compute, told.pools == "max"
    )
    generator = generator_for(told.seed, content_hash(photo), str(replace(unit, photo=None)), None)
    started = time.perf_counter()
    dreamed = photo
    frames = []
    for frame in range(max(1, told.zoom)):
        seen = closer(dreamed) if frame else dreamed
        dreamed = dreaming.octaves(seen, told.octaves, told.ratio, generator, on_step)
        frames.append(as_saved(dreamed))
    seconds = time.perf_counter() - started
    first = frames[0]
    recorded = recorded_settings(METHOD.name, task, unit, settings, compute)
    return Result(
        image=first[0].cpu(),
        unit=unit,
        figures={
            "rise": dreaming.energy(first) / max(dreaming.energy(photo), 1e-30),
            "moved": float((first.cpu() - photo.cpu()).abs().mean()),
            "steps": dreaming.steps,
        },
        seconds=seconds,
        settings={**recorded, **({"animation": told.animation} if told.zoom else {})},
        trace=tuple(dreaming.trace),
        frames=tuple(frame[0].cpu() for frame in frames) if told.zoom else (),
    )


def _channels(network: Network, unit: Unit) -> list[int]:
    from texton.network.choose import parse_numbers

    count = network.layer(unit.layer or "").channels
    text = unit.direction
    return [] if text is None else parse_numbers(text, count, f"{unit.layer}")


def _named(told: DreamOptions, network: Network, specs: Sequence[str]) -> list[Unit] | None:
    """A picture for every layer, or for some channels of it together."""
    from texton.network.choose import choose_layers

    units: dict[Unit, None] = {}
    for spec in specs:
        named, colon, text = spec.rpartition(":")
        if not colon or spec in network.layers:
            named, text = spec, ""
        for layer in choose_layers(named, network):
            unit = Unit(layer, direction=text or None)
            _channels(network, unit)
            units[unit] = None
    return list(units)


def _check(task: Task) -> None:
    if task.options.zoom:
        raise TextonError("an atlas's pictures stand still: leave --zoom out")
    if task.options.guide is not None:
        task.picture(task.options.guide)


METHOD = Method(
    name="dream",
    title="A photograph in which a layer sees more of what it sees in it",
    caption="{unit} dreams of {photo}",
    axes=("photo", "layer"),
    options=DreamOptions,
    figures=(
        Figure(
            "rise",
            "Rise",
            "The layer's energy (or its likeness to the guide) over the photograph's.",
            digits=1,
        ),
        Figure("moved", "Moved", "How far pixels moved.", "percent", 1),
        STEPS,
    ),
    make=make,
    check=_check,
    named=_named,
    animation=lambda told: f".{told.animation}" if told.zoom else "",
    size=512,
    about="DeepDream: LAYER strengthens all of its maps, LAYER:4,17 these.",
    suffix="dream",
)
