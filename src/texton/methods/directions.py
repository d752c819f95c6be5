"""Directions of channel space, as a command line and Python name them; torch waits."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from texton.errors import TextonError, first_line
from texton.methods.method import Task
from texton.methods.options import Solving, option
from texton.methods.result import Unit

if TYPE_CHECKING:
    import numpy as np

    from texton.network.network import Network
    from texton.solve.directions import Shares

_ROW = "row"


@dataclass(frozen=True)
class Directed(Solving):
    """Of methods whose pictures are of filters, or of directions in their place.

    ``directions`` of Python are shares by filter, or vectors, by the name that units give.
    """

    direction: dict[int, float] | None = option(
        None, "Instead of channels, shares of several: 4=1,17=0.5.", named=True
    )
    directions: Any = option(
        None,
        "Instead of channels, directions: the rows of a .npy (N, filters); LAYER:0-4 takes some.",
        named=True,
        picture=True,
        holds="numbers",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.direction is not None and self.directions is not None:
            raise TextonError(
                "--direction is one, --directions are a file's rows: name one of both"
            )
        if self.direction is not None and not self.direction:
            raise TextonError("--direction names no channel: write 4=1,17=0.5")


def named_units(told: Directed, network: Network, specs: Sequence[str]) -> list[Unit] | None:
    """The units that options name on layers, or rows of a file on them; None where they name none.

    Raises:
        TextonError: an unknown layer; channels where a direction is named; a file that is no array
            of this layer's directions, or has no such row.
    """
    if told.direction is None and told.directions is None:
        return None
    from texton.network.choose import choose_layers, parse_numbers

    units: dict[Unit, None] = {}
    for spec in specs:
        if told.direction is not None:
            if ":" in spec and spec not in network.layers:
                raise TextonError(f"'{spec}' names channels, and so does --direction: name a layer")
            label = spell_shares(told.direction)
            layers = choose_layers(spec, network)
            units.update(dict.fromkeys(Unit(name, direction=label) for name in layers))
            continue
        named, colon, text = spec.rpartition(":")
        for name in choose_layers(named if colon else spec, network):
            count = len(rows_of(told.directions, network.layer(name).channels))
            what = f"'{told.directions}'"
            rows = parse_numbers(text, count, what) if colon else range(count)
            units.update(dict.fromkeys(Unit(name, direction=f"{_ROW}{row}") for row in rows))
    return list(units)


def check_filters(task: Task) -> None:
    """Refuse directions of an atlas, whose units are filters."""
    if task.options.direction is not None or task.options.directions is not None:
        raise TextonError("an atlas is of a network's filters: leave --direction(s) out")


def shares_of(told: Directed, unit: Unit, channels: int) -> Shares:
    """The shares of a unit's direction; its filters are texts where they come out of a file."""
    if told.direction is not None:
        return told.direction
    if isinstance(told.directions, Mapping):
        shares = told.directions[unit.direction]
        if isinstance(shares, Mapping):
            return {int(channel): float(share) for channel, share in shares.items()}
        return shares  # type: ignore[no-any-return]
    import torch

    row = int((unit.direction or "").removeprefix(_ROW))
    return torch.tensor(rows_of(told.directions, channels)[row], dtype=torch.float32)


def spell_shares(shares: Mapping[int, float]) -> str:
    """``4=1,17=-0.5``."""
    return ",".join(f"{channel}={share:.6g}" for channel, share in sorted(shares.items()))


def spec_of(unit: Unit) -> str:
    """What a command line says for a unit, beside its options."""
    if unit.layer is None and unit.photo is not None:
        return unit.photo
    named = (unit.direction or "").removeprefix(_ROW)  # a row, or several channels of one picture
    last = unit.channel if "=" in named or not named else named
    return f"{unit.layer}" if last is None else f"{unit.layer}:{last}"


def sources(words: Sequence[str], network: Network) -> Iterator[Unit]:
    """The units that words name where pictures stand beside filters: ``brick.png``, ``relu4_2:4``.

    Raises:
        TextonError: an unknown layer or channel.
    """
    from texton.network.choose import parse_filters

    for word in words:
        if not _names_filters(word, network):
            yield Unit(photo=word)
            continue
        for group in parse_filters([word], network, None):
            yield from (Unit(group.layer, channel) for channel in group.channels)


def _names_filters(word: str, network: Network) -> bool:
    """Whether a word is no picture's path: layers may have dots and slashes in their names."""
    if os.path.exists(word):  # noqa: PTH110 - a Path's raises where it is longer than names
        return False
    _, colon, channels = word.rpartition(":")
    if not colon:
        return word in network.layers or not Path(word).suffix
    return not Path(channels).suffix and len(Path(channels).parts) == 1


def labels(units: Sequence[Unit]) -> Iterator[str]:
    """What stands over every unit's picture in a sheet."""
    for unit in units:
        named = "" if unit.channel is None else str(unit.channel)
        photo = Path(unit.photo).stem if unit.layer is None and unit.photo else ""
        yield unit.direction or named or photo


def rows_of(path: str | Path, channels: int) -> np.ndarray[Any, Any]:
    """Directions (N, channels) of a .npy, as they lie on the disk; no pickle is opened.

    Raises:
        TextonError: it cannot be read, or is no array of that many columns.
    """
    import numpy as np

    try:
        rows = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise TextonError(f"'{path}' is no .npy of numbers: {first_line(error)}") from None
    if not isinstance(rows, np.ndarray) or rows.dtype.kind not in "fiu" or rows.ndim != 2:
        raise TextonError(f"'{path}' is no .npy of numbers with two axes, directions and filters")
    if rows.shape[1] != channels:
        raise TextonError(f"'{path}' has directions of {rows.shape[1]} filters: give {channels}")
    if not len(rows):
        raise TextonError(f"'{path}' has no rows")
    return rows
