"""What a command line names beside the photograph, and the pictures that this comes to."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from texton.cli.parameters import plain, required
from texton.errors import TextonError
from texton.methods.method import Method
from texton.methods.options import Options, declarations
from texton.methods.result import Unit
from texton.methods.units import axis_of, units_of

if TYPE_CHECKING:
    from texton.network.network import Network

_SPECS = {
    "channel": (
        "filters",
        "LAYER:CHANNELS...",
        "Filters: relu4_2:4, relu4_2:0-4, relu4_2:0,7,31, relu4_2:all, relu4_2:top5.",
    ),
    "layer": ("layers", "LAYER...", "See `texton layers`."),
    "source": (
        "filters",
        "SOURCE...",
        "Pictures, or filters: brick.png, relu4_2:4, relu4_2:0-4.",
    ),
}

_UNNAMED = {
    "channel": "Missing argument 'LAYER:CHANNELS...': name filters, like relu4_2:0-4",
    "layer": "Missing argument 'LAYER...': name a layer, `texton layers` lists them",
    "source": "Missing argument 'SOURCE...': name a picture, or a filter like relu4_2:4",
}


def parameter_of(method: Method) -> inspect.Parameter | None:
    """The words that name them, as Typer takes them; None for a method that asks for none."""
    axis = axis_of(method)
    if axis is None:
        return None
    name, metavar, help = _SPECS[axis]
    if method.named is None:
        return required(name, list[str], help, metavar)
    said = typer.Argument(metavar=metavar, help=help, show_default=False)
    return plain(name, list[str] | None, None, said)


def wanted(
    method: Method, options: Options, specs: list[str], net: Network, image: Any
) -> tuple[Unit, ...]:
    """The pictures that a command line names, of a photograph (1, C, H, W) or of none.

    Raises:
        TextonError: it names none, or what there is not.
    """
    units = tuple(units_of(method, options, specs, net, image))
    axis = axis_of(method)
    if axis is not None and not units:
        raise TextonError(_UNNAMED[axis])
    return units


def source_named(method: Method, values: dict[str, Any]) -> dict[str, Any]:
    """``texton patches FOLDER relu4_2:4``: a folder before the filters is what --from names."""
    words = values.get("filters") or []
    for declared in declarations(method.options):
        unsaid = declared.spec.also == "--from" and values.get(declared.name) is None
        if unsaid and len(words) > 1 and Path(words[0]).is_dir():
            return {**values, declared.name: Path(words[0]), "filters": words[1:]}
    return values
