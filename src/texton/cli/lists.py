"""Commands that only tell: ``layers``, ``networks``, ``info``."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from texton.cli import output as o
from texton.cli.parameters import command, options_from, parameters_of, plain
from texton.errors import TextonError
from texton.methods.catalogue import methods
from texton.methods.command import NetworkOptions

if TYPE_CHECKING:
    from texton.network.layers import Layer
    from texton.network.network import Network

_COLUMNS = ("layer", "kind", "filters", "stride", "receptive field")


def _layers(as_json: bool, **values: Any) -> None:
    choice: NetworkOptions = options_from(NetworkOptions, values)
    net = choice.load()
    layers = net.measured_layers.values()
    o.tell_assumed(net)
    if as_json:
        print(json.dumps({"network": net.name, "layers": [asdict(x) for x in layers]}))
        return
    rows = [_COLUMNS] + [(x.name, x.kind, str(x.channels), _stride(x), _field(x)) for x in layers]
    widths = [max(len(row[i]) for row in rows) for i in range(len(_COLUMNS))]
    for row in rows:
        left = [cell.ljust(width) for cell, width in zip(row[:2], widths[:2], strict=True)]
        right = [cell.rjust(width) for cell, width in zip(row[2:], widths[2:], strict=True)]
        print("  ".join(left + right))
    if any(x.measured for x in layers):
        print("~ measured, the others are added up from kernels; all: the whole image")
    if any(x.status == "at most" for x in layers):
        print("≤ at most: it goes with the place")
    if net.resizes:
        print("? not known: the network brings every image to another size itself")
    print(_footer(net))


layers_command = command(
    _layers,
    [*parameters_of(NetworkOptions), plain("as_json", bool, False, o.JSON)],
    "List a network's layers: name, kind, filters, stride and receptive field in pixels.",
)


def networks_command(as_json: o.Json = False) -> None:
    """List the networks that are built in, and the forms that name any other."""
    from texton.network.load import FORMS, NETWORKS

    if as_json:
        print(json.dumps({"networks": NETWORKS, "forms": FORMS}))
        return
    listed = {**NETWORKS, **FORMS}
    width = max(map(len, listed))
    for name, text in listed.items():
        print(f"{name.ljust(width)}  {text}")


def info_command(
    file: Annotated[Path, typer.Argument(help="What texton made.", show_default=False)],
    as_json: o.Json = False,
) -> None:
    """Print how a picture or a trained network was made, and the command that makes it again."""
    settings = _told_in(file)
    if settings is None:
        raise TextonError(f"'{file}' carries no settings: texton did not make it, or not this copy")
    if as_json:
        print(json.dumps(settings, ensure_ascii=False))
        return
    units, command = settings.get("units"), settings.get("command")
    for key, value in settings.items():
        if key not in ("units", "command"):
            print(f"{key}: {json.dumps(value, ensure_ascii=False).strip(chr(34))}")
    for unit in units if isinstance(units, list) else []:
        print(f"  {_unit(unit, settings.get('method'))}")
    if isinstance(command, str) and command.isprintable():  # it stands in the file as anyone likes
        print(command)


def _told_in(file: Path) -> dict[str, Any] | None:
    from texton.learned.file import SUFFIX, read_header

    if file.suffix.lower() == SUFFIX:
        return read_header(file).told()
    from texton.images.files import read_settings

    return read_settings(file)


def _unit(unit: Any, method: Any) -> str:
    """A unit of a sheet: as its method shows it, or as it stands in the file."""
    known = methods().get(method) if isinstance(method, str) else None
    if known is None or not isinstance(unit, dict):
        return json.dumps(unit, ensure_ascii=False)
    name = ":".join(str(unit[key]) for key in ("layer", "channel") if unit.get(key) is not None)
    name = f"{unit['weights']}  {name}" if isinstance(unit.get("weights"), str) else name
    told = [f"{x.label.lower()} {x.text(unit.get(x.key))}" for x in known.shown()]
    return "  ".join([name, *told])


def _stride(layer: Layer) -> str:
    """Of rows × columns where they differ."""
    rows, columns = (f"{x:.3g}" for x in layer.strides)
    return rows if rows == columns else f"{rows}×{columns}"


def _field(layer: Layer) -> str:
    if layer.status == "not known":
        return "?"
    if layer.status == "at most":
        return f"≤{layer.receptive_field}"
    side = "all" if layer.receptive_field is None else str(layer.receptive_field)
    return f"~{side}" if layer.measured else side


def _footer(net: Network) -> str:
    kinds = Counter(layer.kind for layer in net.layers.values())
    filters = sum(layer.channels for layer in net.layers.values() if layer.kind == "conv")
    counted = [f"{kinds[kind]} {kind}" for kind in ("conv", "ReLU", "pool") if kinds[kind]]
    return ", ".join([*counted, f"{filters:,} filters"])
