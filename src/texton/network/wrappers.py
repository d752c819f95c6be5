"""What training wraps around a module, and nobody means when they name its layers."""

from __future__ import annotations

import copy
from typing import Any

from torch import nn

# What wraps a module, as parts of its keys: torch.compile, DataParallel and its kin, FSDP.
MARKS = ("_orig_mod", "module", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
COMPILED = "_orig_mod."  # nobody's own name for a part
_MAKERS = (  # a scripted or traced module has parts of any name: torch's other classes compute
    *("torch._dynamo.", "torch.nn.parallel.", "torch.optim.swa_utils"),
    *("timm.utils.", "apex.parallel.", "accelerate.", "deepspeed."),
)


def unwrapped(module: nn.Module) -> nn.Module:
    """The module inside: of ``torch.compile``, DataParallel, AveragedModel, one in the other.

    A class of the user's own that calls its part ``module`` is none of them: it may compute.
    """
    while (inside := _inside(module)) is not None:
        module = inside
    return module


def copy_module(module: nn.Module, memo: dict[int, Any] | None = None) -> nn.Module:
    """A deep copy of a module whose parts are all unwrapped; ``memo`` as `copy.deepcopy` has it."""
    memo = {} if memo is None else memo
    for part in reversed(list(module.modules())):  # what is inside first
        if (inside := unwrapped(part)) is not part:
            memo[id(part)] = copy.deepcopy(inside, memo)
    return copy.deepcopy(unwrapped(module), memo)


def bare(key: str) -> str:
    """A state dict's key without what wraps: ``block._orig_mod.0.weight`` is ``block.0.weight``."""
    return ".".join(part for part in key.split(".") if part not in MARKS)


def _inside(module: nn.Module) -> nn.Module | None:
    if not type(module).__module__.startswith(_MAKERS):
        return None
    parts = dict(module.named_children())
    name = next(iter(parts), "")
    return parts[name] if len(parts) == 1 and name in MARKS[:2] else None
