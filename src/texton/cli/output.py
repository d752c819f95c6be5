"""Where a command's output goes, and how it is told."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from texton.errors import TextonError
from texton.images import place

if TYPE_CHECKING:
    from texton.methods.result import Result
    from texton.network.network import Network
    from texton.network.sizes import Intake

OUT = typer.Option("-o", "--out", help="The PNG to write.", show_default=False)
FORCE = typer.Option("--force", help="Replace files texton did not make.")
JSON = typer.Option("--json", help="Print one JSON object.")
Force = Annotated[bool, FORCE]
Json = Annotated[bool, JSON]
PNG = "texton writes PNG"
FOREIGN = "exists and texton did not make it"


def tell_assumed(*networks: Network) -> None:
    """To stderr: what is taken for granted or was found, of their weights and of their images."""
    from texton.network.told import remarkable

    lines = [line for network in networks for line in remarkable(network)]
    print("".join(f"{line}\n" for line in dict.fromkeys(lines)), end="", file=sys.stderr)


def tell_intake(network: Network, crop: str, layers: Sequence[str] = ()) -> Intake:
    """Which images reach these layers, or all; told to stderr where there is one size.

    Args:
        crop: of `ReadingOptions`; ``""`` where no photograph is read.
    """
    known = [name for name in layers if name in network.layers]
    intake = network.intake(known if known and len(known) == len(layers) else None)
    if intake.only is not None and crop != "none":
        height, width = intake.only
        what = "of a photograph the middle at that size (--crop none leaves it whole)"
        say(
            f"{network.name} takes images of {width}×{height} pixels alone: "
            f"{what if crop else 'pictures have that size'}"
        )
    return intake


def say(line: str) -> None:
    """To stderr."""
    print(line, file=sys.stderr)


def check_suffix(path: Path) -> None:
    """Refuse what is no PNG's name."""
    place.check_suffix(path, ".png", PNG)


def check_output(path: Path, force: bool, planes: bool = False, frames: str = "") -> Path:
    """Refuse, before anything is computed, a place that could not be written in the end.

    ``planes``: a ``.npy`` with all channels is going to be written beside it; ``frames``:
    and an animation, of that ending.
    """
    settings: dict[str, Any] = {}

    def foreign(path: Path) -> str:
        found = _settings_in(path)
        settings.update(found or {})
        return FOREIGN if found is None else ""

    place.check_file(path, ".png", PNG, force, foreign)
    beside = path.with_suffix(".npy")
    if planes and beside.exists() and not force and settings.get("planes") != beside.name:
        raise TextonError(f"'{beside}' {FOREIGN}: add --force")
    moving = path.with_suffix(frames) if frames else path
    if frames and moving.exists() and not force and settings.get("frames") != moving.name:
        raise TextonError(f"'{moving}' {FOREIGN}: add --force")
    return path


RESUME = ".resume"  # of the file that keeps a solve beside its picture


def forget(options: Any) -> None:
    """Take away what was kept of a solve whose picture is written."""
    if getattr(options, "resume", False) and options.kept is not None:
        options.kept.unlink(missing_ok=True)


def tell(made: dict[str, Any], as_json: bool, path: Path) -> None:
    """What a command made, to stdout: one JSON object, or the path alone."""
    print(json.dumps(made, ensure_ascii=False, default=str) if as_json else path)


def warn_dead(results: Sequence[Result], whose: str = "") -> None:
    """To stderr; ``whose`` is the network of a series."""
    for result in results:
        if result.status == "dead":
            starts = f" from {result.starts} starts" if "starts" in result.figures else ""
            print(
                f"dead: {f'{whose}  ' if whose else ''}{result.unit} stayed silent{starts}",
                file=sys.stderr,
            )


def _settings_in(path: Path) -> dict[str, Any] | None:
    from texton.images.files import read_settings

    try:
        return read_settings(path)
    except TextonError:
        return None
