"""A module's copy that only computes: in evaluation mode, with weights that nobody trains."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterator, Sequence
from typing import Any
from typing import cast as cast_to

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize, prune
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm
from torch.overrides import TorchFunctionMode

from texton.errors import TextonError, first_line
from texton.network.device import Compute
from texton.network.hooks import is_looked_into
from texton.network.wrappers import COMPILED, copy_module

_WEIGHING = (WeightNorm, SpectralNorm, prune.BasePruningMethod)
FORWARD_HOOKS = ("_forward_hooks", "_forward_pre_hooks")
_HOOKS = (
    *(*FORWARD_HOOKS, "_backward_hooks", "_backward_pre_hooks"),
    *("_forward_hooks_with_kwargs", "_forward_pre_hooks_with_kwargs"),
    *("_forward_hooks_always_called", "_state_dict_hooks", "_state_dict_pre_hooks"),
    *("_load_state_dict_pre_hooks", "_load_state_dict_post_hooks"),
)


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
    named = {name.replace(COMPILED, ""): x for name, x in module.state_dict().items()}
    for name, tensor in sorted(named.items()):
        if not isinstance(tensor, Tensor):  # what a module adds of its own
            continue
        digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        digest.update(flat.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


def frozen_copy(module: nn.Module, name: str, hooks: bool = False) -> nn.Module:
    """A copy in evaluation mode, without gradients for the weights.

    Those of torch's own modules are shared where they are frozen already and lie as they are
    computed: such modules only read them. What cannot be copied, as files and locks, is shared.

    Args:
        hooks: keep the module's hooks, for one whose forward needs them.

    Raises:
        TextonError: the module cannot be copied.
    """
    memo: dict[int, Any] = {}
    weights = list(module.parameters())
    if all(map(_is_torchs, module.modules())) and all(map(_is_settled, weights)):
        memo = {id(w): nn.Parameter(w.detach(), requires_grad=False) for w in weights}
    if not hooks:
        for part in module.modules():
            memo.update((id(found), _torchs_own(found)) for found in _hooks_of(part))
    try:
        with _Copying():
            copied = _copy(module, memo).eval()
    except Exception as error:  # a stranger's module may raise anything
        raise TextonError(f"{name} cannot be copied: {first_line(error)}") from error
    for part in copied.modules():
        _settle_weights(part)
        if not isinstance(part, torch.jit.ScriptModule) and getattr(part, "inplace", False):
            setattr(part, "inplace", False)  # noqa: B010 - not every module has it
    for weight in copied.parameters():
        weight.requires_grad_(False)
    return copied


def cast(module: nn.Module, compute: Compute) -> nn.Module:
    """The module's tensors as they are computed, those that it holds unregistered too.

    Complex weights stay complex: a real number has no room for them.
    """

    def turned(tensor: Tensor) -> Tensor:
        dtype: torch.dtype | None = compute.dtype if tensor.is_floating_point() else None
        if tensor.is_complex():
            dtype = torch.complex64
        tensor = tensor.to(compute.device, dtype)
        return tensor.to(memory_format=compute.memory_format) if tensor.ndim == 4 else tensor

    module._apply(turned)  # type: ignore[no-untyped-call]
    for part in module.modules():
        for key, value in vars(part).items():
            if isinstance(value, Tensor):
                setattr(part, key, turned(value))
    return module


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


def is_hooked(module: nn.Module, kinds: Sequence[str] = _HOOKS) -> bool:
    """Whether somebody looks into a module, or it into its parts."""
    hooks = (found for part in module.modules() for found in _hooks_of(part, kinds))
    return any(found != _torchs_own(found) for found in hooks)


def is_plain(module: nn.Module) -> bool:
    """Whether it is made of torch's own modules alone, whose forwards do nothing but compute."""
    return all(map(_is_torchs, module.modules()))


def _is_torchs(part: nn.Module) -> bool:
    return type(part).__module__.startswith("torch.nn.") and not is_looked_into(part)


class _Copying(TorchFunctionMode):
    """Copies what `deepcopy` refuses of tensors: codes that a module has kept, with their graph,
    weights that a pre-hook computes, and what was made in inference mode."""

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if function is Tensor.__deepcopy__ and not isinstance(args[0], nn.Parameter):
            tensor, memo = args
            if tensor.is_inference() or not tensor.is_leaf:
                memo[id(tensor)] = tensor.detach().clone()
                return memo[id(tensor)]
        return function(*args, **(kwargs or {}))


def _copy(module: nn.Module, memo: dict[int, Any]) -> nn.Module:
    before = dict(memo)
    try:
        return copy_module(module, memo)
    except (TypeError, AttributeError, NotImplementedError):  # "cannot pickle '_io.TextIOWrapper'"
        memo = before
    tensors = {id(x) for x in (*module.parameters(), *module.buffers())}
    for part in module.modules():
        held = {k: v for k, v in vars(part).items() if k not in vars(nn.Module())}
        for value in held.values():
            if id(value) in tensors:
                continue
            try:
                copy.deepcopy(value, dict(memo))
            except (TypeError, AttributeError, NotImplementedError):
                memo[id(value)] = value
    return copy_module(module, memo)


def _hooks_of(part: nn.Module, kinds: Sequence[str] = _HOOKS) -> Iterator[dict[Any, Any]]:
    for key in kinds:
        if isinstance(found := vars(part).get(key), dict):
            yield found


def _torchs_own(hooks: dict[Any, Any]) -> dict[Any, Any]:
    """Those that compute a weight before every forward; others are somebody's who looks in."""
    return type(hooks)((key, hook) for key, hook in hooks.items() if isinstance(hook, _WEIGHING))


def _settle_weights(part: nn.Module) -> None:
    """Weights that are computed in every forward (weight norm, spectral norm, pruning,
    parametrizations), computed once: nobody trains them here."""
    for key, hook in list(part._forward_pre_hooks.items()):
        if isinstance(hook, _WEIGHING):
            del part._forward_pre_hooks[key]
            hook.remove(part)
    if parametrize.is_parametrized(part):
        names = list(cast_to(nn.ModuleDict, part.parametrizations))
        with torch.no_grad():
            values = {name: getattr(part, name).detach().clone() for name in names}
        # Not torch's own way to remove them: it takes them from the class, which the original has.
        part.__class__ = type(part).__bases__[0]
        del part.parametrizations
        for name, value in values.items():
            part.register_parameter(name, nn.Parameter(value, requires_grad=False))
