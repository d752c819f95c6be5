"""What texton sees in a network: its images, its layers, and three steps of one filter."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from texton.errors import TextonError
from texton.methods.feature_map_inversion import invert_filter
from texton.network.network import Network

if TYPE_CHECKING:
    from texton.network.layers import Layer

_STEPS = 3
_OCTAVES = (2, 4, 8, 16, 32)


@dataclass(frozen=True)
class Layers:
    """Which layers there are, and what is none.

    Attributes:
        filters: of all layers whose kind is ``conv``; of all where there is none.
        inverted: the layers whose filters can be inverted, by name.
        silent: those with nothing above zero on the trial's picture; another may wake them.
        without: why others cannot be, and which: ``{"gives no gradient": ["head"]}``.
        outside: modules that are no layers, by what they give; those that never run among them.
    """

    names: tuple[str, ...]
    filters: int
    inverted: tuple[str, ...]
    silent: tuple[str, ...]
    without: dict[str, list[str]]
    outside: dict[str, list[str]]


@dataclass(frozen=True)
class Trial:
    """Three steps of feature map inversion of one filter, on a picture of coloured noise.

    Attributes:
        size: (H, W) in pixels.
        errors: before every step, and of the picture as it would be saved.
        seconds: a step.
    """

    layer: str
    channel: int
    size: tuple[int, int]
    errors: tuple[float, ...]
    seconds: float
    device: str
    dtype: str

    @property
    def falls(self) -> bool:
        """Whether the error is smaller in the end."""
        return self.errors[-1] < self.errors[0]


def seen_in(network: Network, picture: Tensor) -> Layers:
    """The layers of a network as they are on a picture (1, C, H, W).

    Raises:
        TextonError: it cannot be run.
    """
    layers = network.layers
    without: dict[str, list[str]] = {}
    silent: list[str] = []
    for name, code in _codes(network, picture):
        if isinstance(code, str):
            without.setdefault(code, []).append(name)
        elif not bool(code.isfinite().all()):
            without.setdefault("not finite on the trial's picture", []).append(name)
        elif not bool((code > 0).any()):
            silent.append(name)
    lost = {name for names in without.values() for name in names}
    convs = [layer for layer in layers.values() if layer.kind == "conv"] or [*layers.values()]
    return Layers(
        names=tuple(layers),
        filters=sum(layer.channels for layer in convs),
        inverted=tuple(name for name in layers if name not in lost),
        silent=tuple(silent),
        without=without,
        outside=_outside(network),
    )


def try_filter(network: Network, picture: Tensor, seen: Layers, device: str) -> Trial:
    """Three steps of the strongest filter of a layer in the middle.

    Raises:
        TextonError: no layer can be inverted; a step fails, or gives what is no number.
    """
    ready = [network.layers[name] for name in seen.inverted if name not in seen.silent]
    if not ready:
        why = "; ".join([*seen.without, *(["silent on noise"] if seen.silent else [])])
        raise TextonError(f"no layer of {network.name} can be inverted: {why}")
    layer = _middle(ready)
    with torch.no_grad():
        code = network.encode(picture, layer.name)[layer.name]
    channel = int(code.clamp_min(0).sum((0, 2, 3)).argmax())
    result = invert_filter(picture, network, layer.name, channel, steps=_STEPS, device=device)
    errors = (*result.trace, result.error)
    if not all(map(_is_number, errors)):
        raise TextonError(
            f"{layer.name}:{channel} of {network.name} has an error that is no number"
        )
    height, width = picture.shape[2:]
    told = {key: str(result.settings[key]) for key in ("device", "dtype")}
    return Trial(layer.name, channel, (height, width), errors, result.seconds / _STEPS, **told)


def trial_picture(network: Network) -> Tensor:
    """Seeded noise of every coarseness, (1, C, H, W), of a size that the network takes."""
    generator = torch.Generator().manual_seed(0)
    height, width = network.trial_size
    picture = torch.rand((1, network.channels, height, width), generator=generator)
    for side in _OCTAVES:
        coarse = torch.rand((1, network.channels, side, side), generator=generator)
        picture = picture + F.interpolate(coarse, (height, width), mode="bilinear")
    low, high = picture.min(), picture.max()
    return (picture - low) / (high - low)


def _codes(network: Network, picture: Tensor) -> Iterator[tuple[str, Tensor | str]]:
    """Every layer's code, or why it has none that can be inverted; all in one run if none fails."""
    image = picture.clone().requires_grad_()
    try:
        codes = network.encode(image, list(network.layers))
    except TextonError:
        for name in network.layers:
            try:
                yield name, network.encode(image, name)[name].detach()
            except TextonError as error:
                cut = "no gradient passes" in str(error)
                yield name, "no gradient passes to the image" if cut else str(error)
    else:
        yield from ((name, code.detach()) for name, code in codes.items())


def _middle(layers: list[Layer]) -> Layer:
    """A rectified layer where there is one: its maps are never negative."""
    rectified = [layer for layer in layers if layer.rectifies] or layers
    return rectified[len(rectified) // 2]


def _outside(network: Network) -> dict[str, list[str]]:
    """What modules give that are no layers: those with weights of their own, and never run."""
    found: dict[str, list[str]] = {}
    for name, gives in network.others.items():
        found.setdefault(_without_sizes(gives), []).append(name)
    for name in _never_run(network):
        found.setdefault("never run on an image", []).append(name)
    return found


def _never_run(network: Network) -> Iterator[str]:
    run = {re.split("[#@]", name)[0] for name in (*network.layers, *network.others)}
    for name, part in network.module.named_modules():
        if name and name not in run and any(True for _ in part.parameters(recurse=False)):
            yield name


def _without_sizes(gives: str) -> str:
    """``a tensor of 1×10 values`` as ``a tensor of 2 axes``: one reason for many modules."""
    sizes = re.search(r"of (\d+(?:×\d+)*) values", gives)
    if sizes:
        count = sizes[1].count("×") + 1
        return gives.replace(sizes[0], f"of {count} ax{'i' if count == 1 else 'e'}s")
    return gives.partition(" with the keys")[0]


def _is_number(value: Any) -> bool:
    return bool(value == value and abs(value) != float("inf"))
