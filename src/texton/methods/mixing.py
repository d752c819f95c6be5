"""The mixing desk: turn single filters' energies up and down, and invert what comes out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from texton.errors import TextonError
from texton.methods.inversions import Inverting
from texton.methods.method import ERROR, STARTS, STEPS, Method, OnStep, Task
from texton.methods.options import option
from texton.methods.result import Result

if TYPE_CHECKING:
    from torch import Tensor

    from texton.network.network import Network


@dataclass(frozen=True)
class MixOptions(Inverting):
    """Of ``texton mix``."""

    energy: dict[int, float] = option(
        None,
        "Factors by channel: 4=3,17=0.2 (0 silences).",
        low=0,
        named=True,
    )

    def __post_init__(self) -> None:
        if not self.energy:
            raise TextonError(
                "name --energy 4=3,17=0.2 to mix; `texton top` shows which filters carry the image"
            )
        super().__post_init__()


def mix(
    image: Tensor, network: Network, layer: str, energy: dict[int, float], **options: Any
) -> Result:
    """Multiply chosen filters' energies, then invert.

    Args:
        energy: factor by channel; 0 silences a filter, 3 triples it.

    Raises:
        TextonError: an unknown channel, a factor below 0 or not finite; else as `invert`.
    """
    return METHOD.picture(image, network, layer, energy=energy, **options)


def top_filters(
    image: Tensor, network: Network, layer: str, count: int = 10, device: str = "auto"
) -> list[tuple[int, float]]:
    """The filters that carry most of a photograph's energy, with their shares, largest first.

    Raises:
        TextonError: an unknown layer, or a count outside the layer's filters.
    """
    import torch

    from texton.network.codes import energy_shares, strongest
    from texton.network.device import choose_compute

    channels = network.layer(layer).channels
    if not 1 <= count <= channels:
        raise TextonError(f"{layer} has {channels} filters: ask for 1 to {channels}")
    with torch.no_grad():
        code = network.encode(image, layer, choose_compute(device).exact())[layer]
    shares = energy_shares(code)[0]
    return [(channel, float(shares[channel])) for channel in strongest(code, count)]


def check(task: Task) -> None:
    """Refuse a channel that one of the task's layers has not."""
    from texton.network.codes import check_channel

    for layer in dict.fromkeys(unit.layer or "" for unit in task.units):
        for channel in task.options.energy:
            check_channel(task.network.layer(layer).channels, channel)


def make(task: Task, on_step: OnStep | None = None) -> Iterator[Result]:
    """A mix for every unit: a layer of a photograph."""
    from texton.methods.parts.inverting import inverted
    from texton.network.codes import scale_energy

    energy = task.options.energy
    for unit in task.units:
        yield inverted(task, unit, lambda code: scale_energy(code, energy), on_step)


METHOD = Method(
    name="mix",
    title="A photograph with chosen filters' energies turned up and down",
    caption="{unit} of {photo}, mixed",
    axes=("photo", "layer"),
    options=MixOptions,
    figures=(ERROR, STEPS, STARTS),
    make=make,
    check=check,
    about="A mixing desk: multiply chosen filters' energies and invert.",
    suffix="mix",
)
