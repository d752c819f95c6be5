"""What the commands share: their options, where output goes, how progress is told."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

from texton.errors import TextonError
from texton.images.files import MAX_PIXELS, MIN_SIDE, read_settings, write_image
from texton.images.planes import SUFFIX
from texton.jobs.allocator import settle_allocator
from texton.methods.result import Result
from texton.network.load import load_network
from texton.network.network import Network
from texton.reading import whole_number
from texton.solve.solver import Step

DEFAULT_SIZE = 224
_MAX_SIZE = 10_000

Photo = Annotated[Path, typer.Argument(help="An image file, or a .npy.", show_default=False)]
Out = Annotated[
    Path | None, typer.Option("-o", "--out", help="The PNG to write.", show_default=False)
]
Size = Annotated[int, typer.Option(help="Long edge in pixels.")]
Enlarge = Annotated[bool, typer.Option("--enlarge", help="Enlarge photographs that are smaller.")]
Preset = Annotated[str, typer.Option(help="fast, normal, fine or paper (the 2016 algorithm).")]
Steps = Annotated[
    int | None, typer.Option(help="Exactly so many steps, no early stop.", show_default=False)
]
Seed = Annotated[int, typer.Option(help="The same seed gives the same picture.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]
NetworkName = Annotated[str, typer.Option("--network", help="See `texton networks`.")]
Weights = Annotated[
    Path | None,
    typer.Option(help="Other weights: safetensors or a state dict.", show_default=False),
]
Pooling = Annotated[str, typer.Option(help="avg (as in the paper) or max.")]
Bands = Annotated[
    str | None,
    typer.Option(help="The one or three channels a picture shows: 3,2,1.", show_default=False),
]
Force = Annotated[bool, typer.Option("--force", help="Replace files texton did not make.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def check_size(size: int) -> None:
    """Refuse a size that no picture has; fit this process's memory to any other."""
    if not MIN_SIDE <= size <= _MAX_SIZE or size * size > MAX_PIXELS:
        raise TextonError(f"--size is {size}: use {MIN_SIDE} to {_MAX_SIZE}")
    settle_allocator(size * size)


def open_network(
    name: str, weights: Path | None, pooling: str, bands: str | None = None
) -> Network:
    """The network that a command line asks for."""
    return load_network(name, weights=weights, pooling=pooling, bands=parse_bands(bands))


def parse_bands(bands: str | None) -> tuple[int, ...] | None:
    """``3,2,1`` as numbers."""
    try:
        return tuple(whole_number(band.strip()) for band in bands.split(",")) if bands else None
    except ValueError:
        raise TextonError(f"--bands is '{bands}': name channels, like 3,2,1") from None


def tell_assumed(network: Network) -> None:
    """To stderr: what nobody has said about the network, and is taken for granted."""
    if assumed := network.details.get("assumed"):
        print(f"{network.name}: assumed {assumed}", file=sys.stderr)


def check_output(path: Path, force: bool, planes: bool = False) -> Path:
    """Refuse, before anything is computed, a place that could not be written in the end.

    ``planes``: a ``.npy`` with all channels is going to be written beside it.
    """
    if path.suffix.lower() != ".png":
        raise TextonError(f"texton writes PNG: name the file '{path.with_suffix('.png')}'")
    if path.is_dir():
        raise TextonError(f"'{path}' is a folder: name a file in it")
    settings = _settings_of(path) if path.exists() and not force else {}
    if settings is None:
        raise TextonError(f"'{path}' exists and texton did not make it: add --force to replace it")
    beside = path.with_suffix(SUFFIX)
    if planes and beside.exists() and not force and settings.get("planes") != beside.name:
        raise TextonError(f"'{beside}' exists and texton did not make it: add --force")
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise TextonError(f"cannot write '{path}': '{folder}' is not a folder that can be written")
    return path


def recorded_command(name: str, arguments: list[str], options: dict[str, Any]) -> str:
    """A command line that makes the picture again; options at None or False are left out."""
    words = ["texton", name, *arguments]
    for option, value in options.items():
        if value is True:
            words.append(option)
        elif value is not None and value is not False:
            words += [option, str(value)]
    return shlex.join(words)


def tell(made: dict[str, Any], as_json: bool, path: Path) -> None:
    """What a command made, to stdout: one JSON object, or the path alone."""
    print(json.dumps(made, ensure_ascii=False) if as_json else path)


def save_one(result: Result, path: Path, command: str) -> None:
    """Save a picture with the command that makes it again inside."""
    write_image(result.image, path, {"command": command, **result.settings, **result.figures()})


def finish_one(
    result: Result,
    path: Path,
    command: str,
    image: Tensor,
    seed: int,
    as_json: bool,
    more: dict[str, Any] | None = None,
) -> None:
    """Save the one picture that a command made, and tell."""
    save_one(result, path, command)
    made = {
        "image": str(path),
        "network": result.settings["network"],
        "size": [image.shape[3], image.shape[2]],
        "seed": seed,
        "units": [{**result.figures(), "image": str(path)}],
        **(more or {}),
    }
    tell(made, as_json, path)


def warn_dead(results: list[Result]) -> None:
    for result in results:
        if result.status == "dead":
            unit = f"{result.layer}:{result.channel}"
            print(f"dead: {unit} stayed silent from {result.starts} starts", file=sys.stderr)


class UnitProgress:
    """Progress of a number of units: a bar per unit on a terminal, plain lines otherwise."""

    def __init__(self, units: int, bars: Progress | None) -> None:
        self._units, self._done, self._bars = units, 0, bars
        self._task = bars.add_task("", total=None) if bars else None
        self._all = bars.add_task("all", total=units) if bars and units > 1 else None

    def begin(self, name: str) -> None:
        if self._bars and self._task is not None:
            self._bars.reset(self._task, description=name, total=None)

    def step(self, step: Step) -> None:
        if self._bars and self._task is not None:
            self._bars.update(self._task, completed=step.index, total=step.steps)
            if self._all is not None:
                share = min(1.0, step.index / step.steps)
                self._bars.update(self._all, completed=self._done + share)

    def finish(self, result: Result) -> None:
        self._done += 1
        name = result.layer if result.channel is None else f"{result.layer}:{result.channel}"
        achieved = "" if result.achieved is None else f"  achieved {result.achieved:.1%}"
        line = f"{name}  error {result.error:.3f}{achieved}  {result.seconds:.1f} s"
        if self._bars:
            self._bars.console.print(line, highlight=False)
        else:
            print(f"{line}  ({self._done} of {self._units})", file=sys.stderr, flush=True)


@contextmanager
def unit_progress(units: int) -> Iterator[UnitProgress]:
    console = Console(stderr=True)
    if not console.is_terminal:
        yield UnitProgress(units, None)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bars:
        yield UnitProgress(units, bars)


def _settings_of(path: Path) -> dict[str, Any] | None:
    """None of a file that texton did not make."""
    try:
        return read_settings(path)
    except TextonError:
        return None
