"""Feature map inversion: what does a filter extract? (the paper's section 2.1)"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, groupby
from typing import TYPE_CHECKING, Any

from texton.errors import TextonError
from texton.methods.directions import Directed, check_filters, named_units, shares_of
from texton.methods.method import ERROR, STARTS, STEPS, Figure, Method, OnStep, Task
from texton.methods.result import Result, Unit
from texton.solve.presets import solver_settings

if TYPE_CHECKING:
    from torch import Tensor

    from texton.network.network import Network
    from texton.solve.directions import Shares


@dataclass(frozen=True)
class FilterOptions(Directed):
    """Of ``texton filter``."""


def invert_filter(
    image: Tensor, network: Network, layer: str, channel: int, **options: Any
) -> Result:
    """Feature map inversion of one filter; options as in `invert_filters`."""
    return next(iter_filters(image, network, layer, [channel], **options))


def invert_direction(
    image: Tensor,
    network: Network,
    layer: str,
    shares: Shares,
    name: str | None = None,
    **options: Any,
) -> Result:
    """Feature map inversion of a direction of channel space: several filters in given shares.

    The target gives filter c the share u_c of all activity at every position; a filter is the
    direction whose only share is 1.

    Args:
        shares: u, a vector of a number per filter or ``{4: 0.5, 7: 0.5}``; none negative, as no
            rectified map can reach it.
        name: directions of one name begin from the same noise; the shares themselves by default.
        options: as in `invert_filters`.

    Raises:
        TextonError: as `invert_filters`; shares of another layer, negative, infinite or all zero.
    """
    from texton.solve.directions import shares_by_filter

    label = name or ",".join(f"{c}={u:.6g}" for c, u in shares_by_filter(shares).items())
    return next(iter_filters(image, network, layer, {label: shares}, **options))


def invert_filters(
    image: Tensor,
    network: Network,
    layer: str,
    channels: Sequence[int] | Mapping[str, Shares],
    **options: Any,
) -> list[Result]:
    """Feature map inversion of several filters of one layer: what does each of them extract?

    Args:
        image: the photograph, (1, C, H, W) in [0, 1].
        layer, channels: the filters, numbered from 0; or directions, each by a name that tells
            it apart, with shares as in `invert_direction`.
        options: of `FilterOptions`: ``preset``; ``steps``, exactly so many evaluations of the
            network per filter, the opening included; ``seed``, which gives the same picture
            whatever else is asked for beside it; ``device``; ``on_step``, called after every step.

    Raises:
        TextonError: an unknown layer, channel, preset or device; numbers out of range; an image
            too small for the layer or that leaves it silent.
    """
    return list(iter_filters(image, network, layer, channels, **options))


def iter_filters(
    image: Tensor,
    network: Network,
    layer: str,
    channels: Sequence[int] | Mapping[str, Shares],
    *,
    device: str = "auto",
    on_step: OnStep | None = None,
    **options: Any,
) -> Iterator[Result]:
    """`invert_filters`, one result after the other as they are solved."""
    if isinstance(channels, Mapping):
        from texton.solve.directions import share_vector, shares_by_filter

        for name, shares in channels.items():
            share_vector(shares, network.layer(layer).channels, name)  # refuses a vector of others
        named = {name: shares_by_filter(shares) for name, shares in channels.items()}
        options["directions"] = named
        units = tuple(Unit(layer, direction=name) for name in named)
    else:
        units = tuple(Unit(layer, int(channel)) for channel in channels)
    told = FilterOptions.of(options)
    yield from make(Task(network, units, {None: image}, told, device), on_step)


def make(task: Task, on_step: OnStep | None = None) -> Iterator[Result]:
    """The texture of every unit: a filter, or a direction, of a layer on a photograph."""
    for _, group in groupby(task.units, key=lambda x: (x.layer, x.photo, x.direction is None)):
        yield from _of_one_layer(task, list(group), on_step)


def _of_one_layer(task: Task, wanted: list[Unit], on_step: OnStep | None) -> Iterator[Result]:
    from texton.images.files import content_hash
    from texton.methods.parts.filter_inversion import FilterInversion
    from texton.methods.parts.seeds import generator_for
    from texton.methods.parts.setup import check_photo, compute_for, recorded_settings
    from texton.network.device import in_batches
    from texton.solve.directions import shares_by_filter

    if any(x.channel is None and x.direction is None for x in wanted):
        raise TextonError(f"{wanted[0].layer} alone is no filter: name a channel")
    image, layer, told = task.photo(wanted[0]), wanted[0].layer or "", task.options
    check_photo(image, task.network)
    settings = solver_settings(told.preset, steps=told.steps)
    compute = compute_for(task.network, told, task.device)
    inversion = FilterInversion(image, task.network, layer, settings, compute)
    directed = wanted[0].direction is not None
    units = inversion.units(
        {x.direction or "": _shares(task, x) for x in wanted}
        if directed
        else [x.channel or 0 for x in wanted]
    )
    photo = content_hash(image)

    def solve(part: slice) -> list[Result]:
        names = [f"{layer}/{x.direction}" if directed else layer for x in wanted[part]]
        each = zip(names, wanted[part], strict=True)
        drawn = [generator_for(told.seed, photo, name, x.channel) for name, x in each]
        return list(inversion.solve(units[part], drawn, on_step))

    parts = in_batches(len(wanted), compute, solve, inversion.bytes_each)
    side_by_side = chain.from_iterable(parts)
    for unit, result in zip(wanted, side_by_side, strict=True):
        own = {unit.direction: shares_by_filter(_shares(task, unit))} if directed else None
        alone = replace(task, options=replace(told, direction=None, directions=own))
        recorded = recorded_settings(METHOD.name, alone, unit, settings, compute)
        yield replace(result, unit=unit, settings=recorded)


def _shares(task: Task, unit: Unit) -> Shares:
    return shares_of(task.options, unit, task.network.layer(unit.layer or "").channels)


METHOD = Method(
    name="filter",
    title="The texture that a filter extracts from a photograph",
    caption="The texture that {unit} extracts from {photo}",
    axes=("photo", "layer", "channel"),
    options=FilterOptions,
    figures=(
        ERROR,
        Figure(
            "achieved",
            "Achieved",
            "How much of the activity asked of the filter the picture reaches; dead below 0.5 %.",
            "percent",
            1,
            "high",
        ),
        Figure(
            "energy_share",
            "Energy",
            "The filter's share of the photograph's energy in this layer.",
            "percent",
            2,
            "high",
        ),
        Figure(
            "leakage",
            "Leakage",
            "The share of the picture's energy in other filters of the layer.",
            "percent",
            1,
            "low",
        ),
        STEPS,
        STARTS,
    ),
    make=make,
    check=check_filters,
    named=named_units,
    about="Feature map inversion: one filter gives its picture, several a labelled sheet.",
)
