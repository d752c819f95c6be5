"""Series of textures: one layer's filters, or directions, inverted on one photograph."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from torch import Tensor

from texton.experiments.harness.lab import Lab, Work, in_turn
from texton.experiments.harness.workbench import Made
from texton.images.folder import Picture
from texton.methods.feature_map_inversion import iter_filters
from texton.network.network import Network
from texton.solve.presets import solver_settings


@dataclass(frozen=True, eq=False)
class Series:
    """Units ``kind/layer/name/photo-seed``.

    Attributes:
        kind: what tells it from other series of the experiment.
        names: of filters their channel numbers.
        shares: (names, C) share vectors of directions; None for filters.
    """

    kind: str
    network: Network
    photo: Picture
    layer: str
    names: tuple[str, ...]
    seed: int
    shares: Tensor | None = None

    @property
    def keys(self) -> tuple[str, ...]:
        where = f"{self.photo.name}-{self.seed}"
        return tuple(f"{self.kind}/{self.layer}/{name}/{where}" for name in self.names)


def filters_of(
    lab: Lab, kind: str, network: Network, photo: Picture, layer: str, channels: Sequence[int]
) -> Series:
    """Single filters, by `texton.invert_filters`."""
    return Series(kind, network, photo, layer, tuple(map(str, channels)), lab.options.seed)


def plan(lab: Lab, series: Sequence[Series]) -> None:
    """Say how much there is to do."""
    steps = solver_settings(lab.options.preset, steps=lab.options.steps).steps
    lab.plan([Work(s.network, s.layer, s.keys, steps) for s in series])


def solve(lab: Lab, series: Series) -> list[Made]:
    """The pictures of a series, in its order; those on disk are not made again."""

    def make(missing: list[str]) -> Iterable[tuple[str, Made]]:
        rows = [series.keys.index(key) for key in missing]
        names = [series.names[row] for row in rows]
        image, network, layer = series.photo.image, series.network, series.layer
        if series.shares is None:
            units: list[int] | dict[str, Tensor] = [int(name) for name in names]
        else:
            labels = [f"{series.kind}/{name}" for name in names]
            units = dict(zip(labels, series.shares[rows], strict=True))
        made = iter_filters(image, network, layer, units, seed=series.seed, **lab.solving)
        return in_turn(made, missing)

    found = lab.pictures(series.keys, make)
    return [found[key] for key in series.keys]
