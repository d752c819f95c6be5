"""The pictures that words name, as a method takes them: filters, layers, pictures, or none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal

from texton.methods.directions import sources
from texton.methods.method import Method
from texton.methods.options import Options
from texton.methods.result import Unit

if TYPE_CHECKING:
    from torch import Tensor

    from texton.network.network import Network


def axis_of(method: Method) -> Literal["source", "channel", "layer"] | None:
    """What words name beside the photograph; None of a method that takes none."""
    if method.takes_pictures:
        return "source"
    if "channel" in method.axes:
        return "channel"
    return "layer" if "layer" in method.axes else None


def units_of(
    method: Method, options: Options, specs: Sequence[str], network: Network, image: Tensor | None
) -> Iterator[Unit]:
    """What options name where they name something, else what words do.

    Args:
        specs: ``relu4_2:0-4``, ``relu4_2``; of a method that takes pictures their files too.
        image: the photograph, (1, C, H, W), that ``top5`` is of; None without one.

    Raises:
        TextonError: an unknown layer or channel.
    """
    axis = axis_of(method)
    named = method.named and method.named(options, network, specs)
    if named is not None:
        yield from named
    elif axis == "source":
        yield from sources(specs, network)
    elif axis == "channel":
        from texton.network.choose import parse_filters

        for group in parse_filters(specs, network, image):
            yield from (Unit(group.layer, channel) for channel in group.channels)
    elif axis == "layer":
        yield from (Unit(network.layer(name).name) for name in dict.fromkeys(specs))
    else:
        yield Unit()
