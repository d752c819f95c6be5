"""``texton scan``: what excites every filter in a folder of pictures."""

from __future__ import annotations

import sys
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from texton.cli import output as o
from texton.cli.engines import EngineOptions, make_engine
from texton.cli.parameters import command, options_from, parameters_of, plain, required
from texton.cli.progress import progress
from texton.methods.command import LARGEST, SMALLEST, NetworkOptions, ReadingOptions
from texton.methods.options import MAX_SEED, Options, option

if TYPE_CHECKING:
    from texton.evidence.pictures import Scanned
    from texton.jobs.engines import Engine
    from texton.jobs.scan import Scan

_MOST_TOLD = 20  # unreadable pictures that are named on the screen; the list names all


@dataclass(frozen=True)
class ScanOptions(Options):
    """Of ``texton scan``."""

    layers: str | None = option(None, "Names and patterns, 'relu*_2,conv5_4' [rectified layers]")
    top: int = option(16, "Strongest places kept of every filter.", low=1, high=1000)
    size: int = option(224, "Long edge in pixels.", low=SMALLEST, high=LARGEST)
    white: float | None = ReadingOptions.declared("white", None)
    crop: str = option(
        "auto",
        "auto: as the network needs it; square: the middle.",
        choices=("auto", "square"),
    )
    seed: int = option(0, "Draws the sampled places.", low=0, high=MAX_SEED)


def _scan(folder: Path, out: Path, as_json: bool, **values: Any) -> None:
    told: ScanOptions = options_from(ScanOptions, values)
    engine: EngineOptions = options_from(EngineOptions, values)
    network: NetworkOptions = options_from(NetworkOptions, values)
    from texton.jobs.scan import open_scan
    from texton.jobs.scan_asked import ScanAsked

    asked = ScanAsked(
        folder, network, told.layers, told.size, told.top, told.seed, told.white, told.crop
    )
    with open_scan(asked, out, o.tell_assumed) as scan:
        interrupted = False
        _tell_needs(scan)
        try:
            _look(scan, folder)
            with closing(make_engine(engine, scan.manifest.settings["device"])) as computed_by:
                _run(scan, computed_by)
        except KeyboardInterrupt:
            interrupted = True
        scan.merge()
        left = sum(block.end - block.start for block in scan.left())
        made = _summary(scan, out)
    if interrupted:
        print("interrupted: what is finished is kept, run it again to go on", file=sys.stderr)
    elif left:
        print(f"{left:,} pictures are not scanned: run it again for another try", file=sys.stderr)
    o.tell(made, as_json, out)
    if interrupted or left:
        raise typer.Exit(130 if interrupted else 1)


def _tell_needs(scan: Scan) -> None:
    """What the network's images must be, and what becomes of pictures that are not so."""
    settings, name = scan.manifest.settings, scan.manifest.network
    if isinstance(settings.get("crop"), list):
        rows, columns = settings["crop"]
        alone = f"{name} takes images of {columns}×{rows} pixels alone"
        o.say(f"{alone}: of every picture the middle at that size")
    elif "multiple" in settings:
        multiples = f"{name} takes sides that are multiples of {settings['multiple']}"
        o.say(f"{multiples}: pictures are trimmed to that")


def _look(scan: Scan, folder: Path) -> None:
    """Look at what is new, and name what is no use."""
    from texton.evidence.looking import files_in
    from texton.jobs.scan import check_enough

    with progress() as told:
        total = sum(1 for _ in files_in(folder, scan.manifest.settings["channels"], told.say))
        told.total = total
        unreadable = 0

        def tell(count: int, scanned: Scanned) -> None:
            nonlocal unreadable
            if scanned.status == "unreadable":
                unreadable += 1
                if unreadable <= _MOST_TOLD:
                    told.say(f"skipped: {scanned.path}: {scanned.reason}")
            told.reach(count, max(total, count), "" if count < total else "looked at")

        scan.look(folder, tell)
        if unreadable > _MOST_TOLD:
            more = unreadable - _MOST_TOLD
            told.say(f"skipped: {more:,} more, told in {scan.pictures.file}")
    check_enough(scan, folder)


def _run(scan: Scan, engine: Engine) -> None:
    """Scan until nothing is left, or nothing gets on."""
    while left := scan.left():
        every = scan.pictures
        sizes = {block: block.end - block.start for block in left}
        before, gave_up = len(every) - sum(sizes.values()), 0
        with progress(len(every), before=before) as told, closing(scan.run(engine)) as run:
            done = before
            for made in run:
                for lost in made.skipped:
                    told.say(f"skipped: {lost}")
                if made.reason is not None:
                    told.say(f"failed: pictures {made.block.start} and on: {made.reason}")
                    gave_up += 1
                done += sizes[made.block]
                told.reach(done, len(every))
        scan.merge()
        if gave_up or len(scan.left()) == len(left):
            return


def _summary(scan: Scan, out: Path) -> dict[str, Any]:
    from texton.evidence.format import Evidence

    statuses = [picture.status for picture in scan.pictures]
    made: dict[str, Any] = {
        "evidence": str(out),
        "network": scan.manifest.network,
        "layers": len(scan.manifest.layers),
        "pictures": statuses.count("ok"),
        "copies": statuses.count("copy"),
        "unreadable": statuses.count("unreadable") + len(scan.manifest.skipped),
    }
    if scan.manifest.state:
        found = Evidence.open(out)
        layers = [found.layer(name) for name in found.layers]
        made["scanned"] = layers[0].pictures
        made["filters"] = sum(layer.layer.filters for layer in layers)
        made["dead"] = sum(int(layer.dead.sum()) for layer in layers)
    return made


scan_command = command(
    _scan,
    [
        required("folder", Path, "Pictures, in folders of any depth."),
        plain("out", Path, Path("evidence"), typer.Option("-o", "--out", help="The folder.")),
        *parameters_of(ScanOptions),
        *parameters_of(NetworkOptions),
        *parameters_of(EngineOptions),
        plain("as_json", bool, False, o.JSON),
    ],
    "Find what excites every filter in a folder of pictures: strongest places, figures.\n\n"
    "Run it again to go on after whatever happened, or when there are more pictures.",
)
