"""VGG-19 by max pooling, as it was trained, where the paper's averages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from texton.network.copies import make_lean
from texton.network.device import Compute
from texton.network.frozen import cast

if TYPE_CHECKING:
    from texton.network.network import Network


def by_maximum(module: nn.Module) -> nn.Module:
    """A copy of one's own, its average pools made max pools."""
    for parent in list(module.modules()):
        for name, part in list(parent.named_children()):
            if isinstance(part, nn.AvgPool2d):
                told = (part.kernel_size, part.stride, part.padding)
                setattr(parent, name, nn.MaxPool2d(*told, ceil_mode=part.ceil_mode))
    return module


def pooled_by_maximum(network: Network, compute: Compute) -> nn.Module | None:
    """What ``Network.encoder`` runs in place of its own; None for all but networks of either
    pooling that average."""
    if network.details.get("pooling") != "avg":
        return None
    module = by_maximum(network.copied())
    make_lean(module)
    return cast(module, compute)
