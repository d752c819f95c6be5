"""From a name or a module to a Network."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from texton.errors import TextonError, near_names
from texton.network import Network
from texton.weights import VGG19_BLOCKS, paper_vgg19, vgg19_from_file

NETWORKS = {
    "vgg19": "VGG-19 of ILSVRC-2014 (Simonyan & Zisserman), the paper's network; average pooling",
}
POOLINGS = ("avg", "max")
_CAFFE_MEAN = (123.68, 116.779, 103.939)
_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def load_network(
    network: str | nn.Module | Network = "vgg19",
    *,
    weights: str | Path | None = None,
    pooling: str = "avg",
    bands: Sequence[int] | None = None,
) -> Network:
    """A network by name, or any module as it is.

    Args:
        network: ``"vgg19"``, or an ``nn.Module`` that takes RGB images in [0, 1] (for other
            preprocessing make a `Network` yourself).
        weights: another VGG-19: a safetensors file or a state dict, with the paper's names or
            torchvision's.
        bands: the channels that pictures show; see `Network`.
        pooling: ``avg``, as in the paper, or ``max``, as the network was trained.

    Raises:
        TextonError: an unknown name or pooling, weights that are missing, damaged or foreign.
    """
    if isinstance(network, Network):
        return network
    if isinstance(network, nn.Module):
        return Network(network, name=type(network).__name__, bands=bands)
    if network != "vgg19":
        raise TextonError(
            f"unknown network '{network}'{near_names(network, NETWORKS)}: "
            f"use one of {', '.join(NETWORKS)}"
        )
    if pooling not in POOLINGS:
        raise TextonError(f"unknown pooling '{pooling}': use avg or max")
    if weights is None:
        state, torchvision, origin = paper_vgg19(), False, "ILSVRC-2014"
    else:
        state, torchvision = vgg19_from_file(weights)
        origin = str(weights)
    return Network(
        _vgg19(state, pooling, origin),
        name="vgg19",
        mean=_IMAGENET_MEAN if torchvision else _CAFFE_MEAN,
        std=_IMAGENET_STD if torchvision else 1.0,
        input_range=1.0 if torchvision else 255.0,
        bands=bands,
        details={"weights": origin, "pooling": pooling},
    )


def _vgg19(state: dict[str, Tensor], pooling: str, origin: str) -> nn.Module:
    parts: OrderedDict[str, nn.Module] = OrderedDict()
    entering = 3
    for block, (count, filters) in enumerate(VGG19_BLOCKS, 1):
        for index in range(1, count + 1):
            with torch.device("meta"):  # its random weights would only be thrown away
                conv = nn.Conv2d(entering, filters, 3, padding=1)
            parts[f"conv{block}_{index}"] = conv
            parts[f"relu{block}_{index}"] = nn.ReLU()
            entering = filters
        parts[f"pool{block}"] = nn.AvgPool2d(2) if pooling == "avg" else nn.MaxPool2d(2)
    module = nn.Sequential(parts)
    try:
        module.load_state_dict(state, assign=True)
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1].strip()
        raise TextonError(f"'{origin}' is not a VGG-19: {reason}") from None
    return module.eval().requires_grad_(False)
