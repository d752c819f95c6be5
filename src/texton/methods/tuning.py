"""Tuning: what a filter answers to gratings and colours, without any photograph."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from texton.errors import TextonError
from texton.methods.method import Figure, Method, OnStep, Task
from texton.methods.options import Options
from texton.methods.result import Result, Unit

if TYPE_CHECKING:
    from texton.network.network import Network


@dataclass(frozen=True)
class TuningOptions(Options):
    """Of ``texton tuning``, which has none: the stimuli are always the same."""


def tuning(network: Network, layer: str, channel: int, device: str = "auto") -> Result:
    """What a filter answers to about 220 gratings, colours and blots.

    Its figures: ``orientation`` in degrees and its ``selectivity``, ``period`` in pixels, ``hue``
    in degrees, ``opponency`` and ``colour``. None where the filter does not answer.

    Raises:
        TextonError: an unknown layer or channel.
    """
    unit = Unit(layer, channel)
    return next(make(Task(network, (unit,), {}, TuningOptions(), device)))


def check(task: Task) -> None:
    """Refuse channels that their layers have not."""
    from texton.network.codes import check_channel

    for unit in task.units:
        if unit.channel is None:
            raise TextonError(f"{unit.layer} alone is no filter: name a channel")
        check_channel(task.network.layer(unit.layer or "").channels, unit.channel)


def make(task: Task, on_step: OnStep | None = None) -> Iterator[Result]:
    """The tuning of every unit, a filter of a layer: one pass for as many as stand together."""
    from texton.images.files import as_saved
    from texton.methods.parts.tuned import stimuli_for, tune
    from texton.methods.parts.tuning_plot import as_image, draw_tuning
    from texton.network.device import choose_compute

    check(task)
    compute = task.network.suited(choose_compute(task.device).exact())
    for layer, group in groupby(task.units, key=lambda x: x.layer or ""):
        started, units = time.perf_counter(), list(group)
        found = tune(task.network, [layer], compute)[layer]
        stimuli = stimuli_for(task.network, [layer])
        each = (time.perf_counter() - started) / len(units)
        for unit in units:
            channel = unit.channel or 0
            best = int(found.best[channel])
            picture = draw_tuning(found, channel, stimuli.images[best])
            image = as_saved(as_image(picture))
            answer = float(found.answers[best, channel])
            figures = {**found.figures(channel), "answer": answer}
            recorded = _recorded(task, compute.describe())
            yield Result(
                image, unit, figures, each, "ok" if answer > found.unit else "dead", recorded
            )


def _recorded(task: Task, computed: dict[str, str]) -> dict[str, Any]:
    import torch

    from texton.version import __version__

    told = {"texton": __version__, "torch": torch.__version__, "method": METHOD.name}
    return {**told, **task.network.describe(), **computed}


_SHARE = "0 is none, 1 is all"
METHOD = Method(
    name="tuning",
    title="What a filter answers to gratings and colours",
    caption="What {unit} answers to gratings, blots and colours",
    axes=("layer", "channel"),
    options=TuningOptions,
    figures=(
        Figure(
            "orientation",
            "Orientation",
            "Of the bars that the filter answers most, in degrees counter-clockwise: 0 lies, 90 "
            "stands. Says little where the selectivity is small.",
            digits=0,
        ),
        Figure(
            "selectivity",
            "Orientation selectivity",
            f"1 − circular variance over eight orientations: {_SHARE}: one orientation alone.",
            digits=2,
        ),
        Figure(
            "period",
            "Period",
            "Of the gratings that the filter answers most, in pixels from bar to bar; 4 and 32 "
            "are the ends of what is shown.",
            digits=1,
        ),
        Figure(
            "hue",
            "Hue",
            "That the filter answers most, in degrees: 0 red, 60 yellow, 120 green, 180 cyan, "
            "240 blue, 300 magenta. Says little where the opponency is small.",
            digits=0,
        ),
        Figure(
            "opponency",
            "Colour opponency",
            "The answer to the best hue against that to its opposite, (a − b) / (a + b): "
            f"{_SHARE}: the opposite is answered by silence.",
            digits=2,
        ),
        Figure(
            "colour",
            "Colour share",
            "Of the answers to coloured and to light–dark gratings of the same contrast in RGB, "
            "the coloured ones' share: 0.5 is as much for either.",
            digits=2,
        ),
        Figure("answer", "Answer", "The mean of the map at the strongest stimulus.", shown=False),
    ),
    make=make,
    check=check,
    about="Physiology: about 220 gratings, blots and colours in one pass, no photograph needed.",
    suffix="tuning",
)
