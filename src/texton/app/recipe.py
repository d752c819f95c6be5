"""How a picture of the page is made again: as a command line, and as three lines of Python."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from texton.methods.command import NetworkOptions, ReadingOptions, command_of
from texton.methods.declared import Declared
from texton.methods.options import declarations

if TYPE_CHECKING:
    from texton.app.house import House
    from texton.app.photos import Photo
    from texton.methods.method import Method
    from texton.methods.options import Options
    from texton.methods.result import Result


class Asked(Protocol):
    """What a run knows of itself."""

    @property
    def method(self) -> Method: ...
    @property
    def options(self) -> Options: ...
    @property
    def house(self) -> House: ...
    @property
    def network(self) -> str: ...
    @property
    def photo(self) -> Photo | None: ...
    @property
    def of_picture(self) -> bool: ...
    @property
    def size(self) -> int | None: ...
    @property
    def specs(self) -> list[str]: ...


def command_and_python(asked: Asked, result: Result) -> tuple[str, str]:
    """Both name files by their names alone: whoever runs them stands in the photographs' folder."""
    photos = asked.house.photos

    def name(path: Any) -> str:
        found = photos.of_file(Path(path))
        return found.name if found else Path(path).name

    options = _with_names(asked.options, name)
    network = _with_names(asked.house.network_options(asked.network), name)
    network = replace(network, network=asked.network)
    photo = asked.photo.name if asked.photo else None
    words = [*([Path(photo).stem] if photo else []), *asked.specs, asked.method.suffix]
    stem = "-".join(re.sub(r"[^\w.+=,~@#-]+", "-", x) for x in words if x) or asked.method.name
    out = f"{stem[:120]}.png"
    told = [options, ReadingOptions(size=asked.size), network]
    command = command_of(asked.method, photo, asked.specs, told, out)
    return command, _python(asked, options, network, result, out)


def _with_names(options: Any, name: Callable[[Any], str]) -> Any:
    """Options whose files are called by their names."""
    changed = {}
    for declared in declarations(type(options)):
        value = getattr(options, declared.name)
        if value is None or not _names_files(declared):
            continue
        several = isinstance(value, tuple)
        changed[declared.name] = tuple(map(name, value)) if several else name(value)
    return replace(options, **changed)


def _names_files(declared: Declared) -> bool:
    return declared.spec.picture or Path in (declared.base, declared.item)


def _python(
    asked: Asked, options: Options, network: NetworkOptions, result: Result, out: str
) -> str:
    method, size = asked.method, asked.size or asked.method.size
    said = ", ".join(_said(options, size))
    loaded = [repr(network.network)]
    loaded += [f"weights={str(network.weights)!r}"] if network.weights else []
    loaded += [f"pooling={network.pooling!r}"] if network.pooling != "avg" else []
    net = f"texton.load_network({', '.join(loaded)})"
    unit = result.unit
    at = [repr(x) for x in (unit.layer, unit.channel) if x is not None]
    if asked.photo and asked.of_picture:
        at = [f"photo={asked.photo.name!r}"]
    lines = ["import texton; from texton.methods.catalogue import find_method"]
    reads = asked.photo if not asked.of_picture else None
    read = f"texton.read_image({reads.name!r}, {size})" if reads else ""
    if read and unit.direction is None:
        lines.append(f"method, net = find_method({method.name!r}), {net}")
        arguments = ", ".join([read, "net", *at, *([said] if said else [])])
        lines.append(f"method.picture({arguments}).save({out!r})")
        return "\n".join(lines)
    at += [f"direction={unit.direction!r}"] if unit.direction is not None else []
    lines[0] += "; from texton.methods.method import Task, Unit"
    task = f"net, (Unit({', '.join(at)}),), {{{f'None: {read}' if read else ''}}}"
    lines.append(
        f"method, net = find_method({method.name!r}), {net}; "
        f"task = Task({task}, method.options({said}), size={size})"
    )
    lines.append(f"next(iter(method.make(task, None))).save({out!r})")
    return "\n".join(lines)


def _said(options: Options, size: int) -> list[str]:
    """Keyword arguments; a picture is read at the size that the command line reads it at."""

    def spelled(declared: Declared, value: Any) -> str:
        if not declared.spec.picture:
            return repr(str(value) if isinstance(value, Path) else value)
        several = value if isinstance(value, tuple) else (value,)
        read = [f"texton.read_image({str(one)!r}, {size})" for one in several]
        return f"[{', '.join(read)}]" if isinstance(value, tuple) else read[0]

    changed = options.changed()
    return [
        f"{x.name}={spelled(x, changed[x.name])}"
        for x in declarations(type(options))
        if x.name in changed
    ]
