"""A network's classes: what its last layer says of an image, as a code of one position."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING

from torch import Tensor

from texton.errors import TextonError, near_names, optional
from texton.network.device import Compute

if TYPE_CHECKING:
    from texton.network.network import Encoder, Network

CLASS = "class"  # the name under which its codes stand, no layer's


def class_encoder(network: Network, compute: Compute) -> Encoder:
    """Images → ``{"class": scores (B, N, 1, 1)}``, before any softmax that is not the network's."""
    module = network.frozen(compute)

    def encode(image: Tensor) -> dict[str, Tensor]:
        with compute.arithmetic():
            said = module(network.prepare(image, compute))
        scores = getattr(said, "logits", said)
        if not isinstance(scores, Tensor) or scores.ndim != 2:
            what = "×".join(map(str, scores.shape)) if isinstance(scores, Tensor) else "no scores"
            raise TextonError(
                f"{network.name} has no classes, it ends in {what}"
                + ("; its file holds no classifier" if network.name == "vgg19" else "")
                + ": use efficientnet_lite0, or one of torchvision's like torchvision:vgg19"
            )
        return {CLASS: scores[:, :, None, None]}

    return encode


def class_numbers(names: Iterable[str], count: int) -> list[int]:
    """Classes by number, or by ImageNet's English name in networks of its thousand.

    Raises:
        TextonError: there is no such class.
    """
    return [_number(name.strip(), count) for name in names]


def _number(name: str, count: int) -> int:
    if name.isascii() and name.isdigit():
        if int(name) >= count:
            raise TextonError(f"there is no class {name}: the network has 0 to {count - 1}")
        return int(name)
    if count != 1000:
        raise TextonError(
            f"'{name}': names are ImageNet's, this network has {count} classes: give a number"
        )
    known = imagenet_names()
    found = [index for index, one in enumerate(known) if one.lower() == name.lower()]
    if not found:
        near = near_names(name, known)
        raise TextonError(f"there is no class '{name}'{near}: give its number, 0 to 999")
    return found[0]


@cache
def imagenet_names() -> list[str]:
    """The English names of ImageNet's thousand classes."""
    with optional("torchvision"):
        from torchvision.models import ResNet18_Weights
    return list(ResNet18_Weights.DEFAULT.meta["categories"])
