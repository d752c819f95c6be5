"""A module's copy that only computes: in evaluation mode, with weights that nobody trains."""

from __future__ import annotations

import hashlib
from typing import Any

import torch
from torch import Tensor, nn

from texton.errors import TextonError, first_line
from texton.network.hooks import is_looked_into
from texton.network.wrappers import copy_module


class WeightsVersion:
    """Which weights a module has: equal for as long as nobody writes to them or puts in others."""

    def __init__(self, module: nn.Module) -> None:
        tensors = (*module.parameters(), *module.buffers())
        self._held = [tensor.detach() for tensor in tensors]  # else their memory may be reused
        self._seen = [(t.data_ptr(), -1 if t.is_inference() else t._version) for t in tensors]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, WeightsVersion) and self._seen == other._seen

    __hash__ = None  # type: ignore[assignment]


def weights_hash_of(module: nn.Module) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        if not isinstance(tensor, Tensor):  # what a module adds of its own
            continue
        digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        digest.update(flat.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


def frozen_copy(module: nn.Module, name: str) -> nn.Module:
    """A copy in evaluation mode, without gradients for the weights.

    Those of torch's own modules are shared where they are frozen already and lie as they are
    computed: such modules only read them.

    Raises:
        TextonError: the module cannot be copied.
    """
    memo: dict[int, Any] = {}
    weights = list(module.parameters())
    if all(map(_is_torchs, module.modules())) and all(map(_is_settled, weights)):
        memo = {id(w): nn.Parameter(w.detach(), requires_grad=False) for w in weights}
    try:
        copied = copy_module(module, memo).eval().requires_grad_(False)
    except (RuntimeError, TypeError) as error:
        raise TextonError(f"{name} cannot be copied: {first_line(error)}") from error
    for part in copied.modules():
        if getattr(part, "inplace", False):
            setattr(part, "inplace", False)  # noqa: B010 - not every module has it
    return copied


def check_weights(module: nn.Module, name: str) -> None:
    """Raise a TextonError where a weight is NaN or infinite, in the dtype it is computed in.

    A buffer may be infinite: masks are.
    """
    bad: dict[str, Tensor] = {
        **{key: w for key, w in module.named_parameters() if not bool(w.isfinite().all())},
        **{key: b for key, b in module.named_buffers() if bool(b.isnan().any())},
    }
    for key, tensor in bad.items():
        dtype = str(tensor.dtype).removeprefix("torch.")
        raise TextonError(
            f"{name}: weights hold NaN or infinity ({key}, as {dtype}): nothing comes out of them"
        )


def _is_settled(weight: Tensor) -> bool:
    last = weight.ndim != 4 or weight.is_contiguous(memory_format=torch.channels_last)
    return last and not weight.requires_grad


def _is_torchs(part: nn.Module) -> bool:
    return type(part).__module__.startswith("torch.nn.") and not is_looked_into(part)
