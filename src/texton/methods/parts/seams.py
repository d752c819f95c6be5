"""Pictures whose edges meet: which networks and sizes give them, and how well they meet."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from texton.errors import TextonError
from texton.network.device import choose_compute

if TYPE_CHECKING:
    from texton.network.network import Network

_ALIKE = 1e-3  # of the code's size: what rounding may make of a shift
_MOST = 0.99
_TRIED = 64  # pixels a side, or more


def torus_multiple(network: Network, layers: Iterable[str]) -> int:
    """What the sides of an image must be multiples of for these layers to see a torus: their
    strides', or every pool would leave a rest."""
    names = list(layers)
    found = {network.intake(names).multiple}
    for name in names:
        found |= {math.ceil(stride) for stride in network.layer(name).strides}
    return math.lcm(*found)


def check_torus(network: Network, layers: Iterable[str]) -> None:
    """Refuse a network whose codes do not go round with the image, of noise that is rolled.

    Raises:
        TextonError: it pads in a way of its own, or knows where in the image it is.
    """
    names = list(layers)
    if (only := network.intake(names).only) is not None:
        raise TextonError(
            f"{network.name} takes images of {only[1]}×{only[0]} pixels alone, and knows the "
            "places in them: nothing repeats through it, leave --tile out"
        )
    multiple = torus_multiple(network, names)
    side = multiple * max(3, math.ceil(_TRIED / multiple))
    compute = choose_compute("cpu", torch.float32)
    noise = torch.rand(1, network.channels, side, side, generator=torch.Generator().manual_seed(0))
    encode = network.encoder(names, compute, network.frozen(compute, torus=True))
    with torch.no_grad():
        codes = encode(noise)
        rolled = encode(noise.roll((multiple, multiple), (2, 3)))
    for name in names:
        shifts = [round(multiple * positions / side) for positions in codes[name].shape[2:]]
        wanted = codes[name].roll(shifts, (2, 3))
        if float((rolled[name] - wanted).norm()) > _ALIKE * float(wanted.norm()):
            raise TextonError(
                f"'{name}' of {network.name} sees no torus: its code changes where the image is "
                "rolled, as it pads or places in a way of its own: leave --tile out"
            )


def sees_torus(network: Network, layers: Iterable[str], side: int) -> bool:
    """Whether pictures of that side can be tiles through these layers."""
    names = list(layers)
    try:
        check_torus(network, names)
    except TextonError:
        return False
    return side % torus_multiple(network, names) == 0


def seam(image: Tensor) -> float:
    """How much neighbours differ across the edges of a tile (B, C, H, W), over how much they do
    between any two rows or columns inside, of the 99 % that differ least: no seam is seen up to 1.
    The worse of across and down."""
    found = []
    for axis in (2, 3):
        steps = (image - image.roll(1, axis)).abs().mean((0, 1, 5 - axis))
        inside = torch.quantile(steps[1:], _MOST)
        found.append(float(steps[0] / inside.clamp_min(1e-6)))
    return max(found)
