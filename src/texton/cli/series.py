"""One network with one checkpoint after the other, so that one sees a filter learn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from texton.cli.parameters import options_from
from texton.methods.command import NetworkOptions
from texton.methods.options import Options, option

if TYPE_CHECKING:
    from texton.methods.method import Task
    from texton.methods.result import Result
    from texton.network.network import Network


@dataclass(frozen=True)
class SeriesOptions(Options):
    """In the place of a network's ``weights``."""

    weights: tuple[Path, ...] = option(
        (), "Other weights: safetensors, a checkpoint, FILE::KEY of it; several give a row each."
    )


@dataclass(frozen=True)
class Series:
    """Which networks a command is asked for: one, or one with several checkpoints.

    Attributes:
        network: all but the weights.
        weights: a row each; empty for the network's own.
    """

    network: NetworkOptions
    weights: SeriesOptions

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Series:
        """From what a command line says; a checkpoint that is named twice counts once."""
        said: SeriesOptions = options_from(SeriesOptions, values)
        network: NetworkOptions = options_from(NetworkOptions, {**values, "weights": None})
        return cls(network, SeriesOptions(tuple(dict.fromkeys(said.weights))))

    @property
    def choices(self) -> list[NetworkOptions]:
        return [replace(self.network, weights=x) for x in self.weights.weights or (None,)]

    @property
    def labels(self) -> list[str]:
        """The files' names; with their folders where two have the same. Empty for one network."""
        names = Counter(path.name for path in self.weights.weights)
        if len(self.weights.weights) < 2:
            return [""]
        return [x.name if names[x.name] == 1 else str(x) for x in self.weights.weights]

    @property
    def name(self) -> str:
        """What a default file name says of it."""
        paths = self.weights.weights
        return f"{paths[0].stem}-to-{paths[-1].stem}" if len(paths) > 1 else ""


@dataclass(frozen=True, eq=False)
class Member:
    """One network of a series with its task.

    Attributes:
        own: of what pictures record, what differs from network to network.
    """

    label: str
    choice: NetworkOptions
    task: Task
    own: dict[str, Any] = field(default_factory=dict)

    def row(self, result: Result, layers: int) -> str:
        """The name of a result's row: the layer, the checkpoint, or both."""
        layer = result.layer or ""
        if not self.label:
            return layer
        return f"{layer}  {self.label}" if layers > 1 else self.label


def own_details(networks: Sequence[Network]) -> list[dict[str, Any]]:
    """What identifies each network of several and differs between them."""
    told = [network.describe() for network in networks]
    keys = dict.fromkeys(key for one in told for key in one)
    differ = [key for key in keys if any(one.get(key) != told[0].get(key) for one in told)]
    return [{key: one.get(key) for key in differ} for one in told]
