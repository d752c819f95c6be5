"""The frozen copies that codes come from, and which weights they were made of."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from texton.network.device import Compute
from texton.network.frozen import (
    FORWARD_HOOKS,
    WeightsVersion,
    cast,
    check_weights,
    frozen_copy,
    is_hooked,
    weights_hash_of,
)
from texton.network.torus import make_torus

try:
    from texton.network.fast import make_lean as make_lean
except ModuleNotFoundError as error:  # the folder may be deleted: it saves time alone
    if error.name != "texton.network.fast":
        raise

    def make_lean(module: nn.Module) -> None: ...


class Copies:
    """Of one module, which is never changed: a copy is made anew whenever its weights have been.

    Attributes:
        with_hooks: whether the module's own hooks are needed in them.
    """

    def __init__(self, module: nn.Module, name: str) -> None:
        self._module, self._name = module, name
        self.with_hooks = False
        self._hashed: tuple[WeightsVersion, str] | None = None
        self._kept: dict[tuple[Any, ...], tuple[WeightsVersion, nn.Module]] = {}

    @property
    def leave_hooks_out(self) -> bool:
        """Whether somebody's forward hooks, which may change codes, are not in them."""
        return not self.with_hooks and is_hooked(self._module, FORWARD_HOOKS)

    def new(self) -> nn.Module:
        """The module as it is, frozen and in evaluation mode."""
        return frozen_copy(self._module, self._name, self.with_hooks)

    def frozen(self, compute: Compute, torus: bool = False) -> nn.Module:
        """The copy for a device and dtype.

        Args:
            torus: what it pads is what lies at the opposite edge.

        Raises:
            TextonError: a module that cannot be copied; weights that are NaN or infinite.
        """
        version = WeightsVersion(self._module)
        kind = compute.device, compute.dtype, compute.channels_last, self.with_hooks, torus
        made_from, module = self._kept.get(kind, (None, None))
        if module is None or made_from != version:
            with torch.inference_mode(False):  # it is kept, and gradients pass it later
                module = self.new()
                make_lean(module)
                if torus:
                    make_torus(module)
                module = cast(module, compute)
            check_weights(module, self._name)
            self._kept[kind] = (version, module)
        return module

    @property
    def weights_hash(self) -> str:
        """A hash of all parameters and buffers, as they are now."""
        version = WeightsVersion(self._module)
        if self._hashed is None or self._hashed[0] != version:
            self._hashed = version, weights_hash_of(self._module)
        return self._hashed[1]
