"""``texton atlas``: every filter of a network on some photographs."""

from __future__ import annotations

import json
import sys
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import typer

from texton.atlas.build import Build, open_build, summary
from texton.atlas.estimate import estimate
from texton.atlas.plan import Asked, Plan, make_plan
from texton.cli import atlas_site
from texton.cli import output as c
from texton.cli.parameters import options_from
from texton.cli.progress import amount, duration, progress
from texton.errors import TextonError, near_names
from texton.jobs.engines import Engine, LocalEngine, RayEngine
from texton.jobs.store import Store
from texton.methods.command import NetworkOptions, ReadingOptions

ENGINES = ("local", "ray")

app = typer.Typer(
    help="Every filter of a network on your photographs: built, resumed, browsed.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.command("export")(atlas_site.export_command)
app.command("serve")(atlas_site.serve_command)


def _said(text: str, *names: str) -> Any:
    """An option without a default of its own: an atlas that is there keeps what it has."""
    return typer.Option(*names, help=text, show_default=False)


Photos = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="[PHOTO]...",
        help="Image files. Without any, the atlas's own are gone on with.",
        show_default=False,
    ),
]
Layers = Annotated[str | None, _said("Names and patterns, 'relu*_2,conv5_4' [rectified layers]")]
Channels = Annotated[str | None, _said("Of every layer: 0-63, 0,7,31, all or top8 [all]")]
Size = Annotated[int | None, _said("Long edge in pixels [128]")]
Enlarge = Annotated[bool | None, _said("Enlarge photographs that are smaller.", "--enlarge")]
Preset = Annotated[str | None, _said("fast, normal, fine or paper (the 2016 algorithm) [fast]")]
Steps = Annotated[int | None, _said("Exactly so many steps, no early stop.")]
Seed = Annotated[int | None, _said("The same seed gives the same pictures [0]")]
NetworkName = Annotated[str | None, _said("See `texton networks` [vgg19]", "--network")]
Weights = Annotated[Path | None, _said("Other weights: safetensors or a state dict.")]
Pooling = Annotated[str | None, _said("avg (as in the paper) or max [avg]")]
Bands = Annotated[str | None, _said("The one or three channels a picture shows: 3,2,1.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]
Workers = Annotated[int | None, _said("How many units at a time [one per core; one on a GPU]")]
Address = Annotated[str | None, _said("Of a Ray cluster that is running: HOST:PORT or auto.")]


@app.command("build")
def build_command(
    photos: Photos = None,
    out: Annotated[Path, typer.Option("-o", "--out", help="The atlas's folder.")] = Path("atlas"),
    layers: Layers = None,
    channels: Channels = None,
    size: Size = None,
    enlarge: Enlarge = None,
    preset: Preset = None,
    steps: Steps = None,
    seed: Seed = None,
    network: NetworkName = None,
    weights: Weights = None,
    pooling: Pooling = None,
    bands: Bands = None,
    device: Device = "auto",
    engine: Annotated[str, typer.Option(help="local or ray.")] = "local",
    workers: Workers = None,
    address: Address = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Tell how many units, how long, how much disk.")
    ] = False,
    as_json: c.Json = False,
) -> None:
    """Make an atlas, extend it, or go on with it after whatever happened.

    Run it again to continue. More photographs, layers or channels extend the atlas; a setting
    that would mix different pictures is refused.
    """
    ReadingOptions(size=size)
    _check_engine(engine, workers, address)
    chosen = {"network": network, "weights": _text(weights), "pooling": pooling}
    settings = {"preset": preset, "steps": steps, "seed": seed, "size": size, "enlarge": enlarge}
    asked = Asked(
        tuple(photos or ()),
        layers,
        channels,
        {**chosen, "bands": _bands(bands)},
        settings,
        device,
    )
    plan = make_plan(asked, out)
    c.tell_assumed(plan.network)
    for note in plan.notes:
        print(f"note: {note}", file=sys.stderr)
    with closing(_engine(engine, workers, address, plan)) as computed_by:
        if dry_run:
            _tell_estimate(estimate(plan, out, computed_by), as_json)
            return
        with open_build(asked, out, plan) as build:
            interrupted = _build(build, computed_by)
    _tell_built(build.store, as_json, interrupted)


@app.command("status")
def status_command(
    atlas: Annotated[Path, typer.Argument(metavar="DIR", help="An atlas.", show_default=False)],
    as_json: c.Json = False,
) -> None:
    """Tell how far an atlas is: units done, failed and left, and how long they will take."""
    store = Store.open(atlas)
    status = store.status()
    if as_json:
        print(json.dumps(status))
        return
    done = f"{status['done']:,} of {_units(status['units'])} done"
    dead = f", {status['dead']:,} of them dead" if status["dead"] else ""
    failed = f", {status['failed']:,} failed" if status["failed"] else ""
    print(f"{done}{dead}{failed}, {status['left']:,} left")
    if status["seconds_left"]:
        how = "" if status["running"] else " of a build (none is at work)"
        print(f"{status['rate']:.2f} a second: {duration(status['seconds_left'])}{how}")
    elif status["left"] and not status["running"]:
        print("no build is at work")
    for record in store.records():
        if record["status"] == "failed":
            unit = f"{record['layer']}:{record['channel']} on {record['photo']}"
            print(f"failed: {unit}: {record.get('reason', 'for a reason not told')}")


def _check_engine(engine: str, workers: int | None, address: str | None) -> None:
    if engine not in ENGINES:
        raise TextonError(f"unknown engine '{engine}'{near_names(engine, ENGINES)}: local or ray")
    if address is not None and engine != "ray":
        raise TextonError("--address is a Ray cluster's: add --engine ray")
    if workers is not None and not 1 <= workers <= 10_000:
        raise TextonError(f"--workers is {workers}: use 1 or more")


def _engine(engine: str, workers: int | None, address: str | None, plan: Plan) -> Engine:
    device = plan.manifest.settings["device"]
    if engine == "ray":
        if ":" in device:
            raise TextonError(f"--device {device}: Ray chooses the GPU, use --device cuda")
        return RayEngine(address, workers, gpus=1 if device == "cuda" else 0)
    return LocalEngine(workers or (None if device == "cpu" else 1))


def _build(build: Build, engine: Engine) -> bool:
    """Make what is left; whether it was interrupted."""
    before = len(build.store.units()) - len(build.todo)
    try:
        total = before + len(build.todo)
        with progress(total, before=before) as told, closing(build.run(engine)) as run:
            for made in run:
                if made.status == "failed":
                    told.say(f"failed: {made.unit}: {made.reason}")
                elif made.status == "dead":
                    told.say(f"dead: {made.unit} stayed silent")
                told.finish()
    except KeyboardInterrupt:
        return True
    return False


def _tell_built(store: Store, as_json: bool, interrupted: bool) -> None:
    made = summary(store)
    if made["failed"]:
        print(
            f"{_units(made['failed'])} failed (`texton atlas status {store.root}` names them): "
            "run it again for another try",
            file=sys.stderr,
        )
    if interrupted:
        print(
            f"interrupted: {made['done']:,} of {_units(made['units'])} finished, "
            "run it again to go on",
            file=sys.stderr,
        )
    elif made["left"]:
        print(
            f"{_units(made['left'])} of finished jobs are not in '{store.root}': make sure that "
            "nothing else writes there and that every machine sees the same folder",
            file=sys.stderr,
        )
    c.tell(made, as_json, store.root)
    if interrupted or made["failed"] or made["left"]:
        raise typer.Exit(130 if interrupted else 1)


def _tell_estimate(expected: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(expected))
        return
    there = expected["units"] - expected["left"]
    units = _units(expected["left"]) + (f" ({there:,} more are there)" if there else "")
    workers = f"{expected['workers']} worker{'s' if expected['workers'] > 1 else ''}"
    print(
        f"{units}, about {duration(expected['seconds'])} with {workers}, "
        f"{amount(expected['bytes'])} (measured on {expected['measured']} units)"
    )


def _units(count: int) -> str:
    return "1 unit" if count == 1 else f"{count:,} units"


def _bands(bands: str | None) -> tuple[int, ...] | None:
    return None if bands is None else options_from(NetworkOptions, {"bands": bands}).bands


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
