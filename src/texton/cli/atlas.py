"""``texton atlas``: pictures of every filter of a network, by any method."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from texton.cli import atlas_site
from texton.cli import output as o
from texton.cli.engines import EngineOptions, make_engine
from texton.cli.parameters import (
    Command,
    command,
    options_from,
    parameters_of,
    plain,
    said_from,
)
from texton.cli.progress import amount, duration, progress
from texton.methods.catalogue import find_method, methods
from texton.methods.command import NetworkOptions, ReadingOptions
from texton.methods.method import Method, without_axes
from texton.methods.result import Unit

if TYPE_CHECKING:
    from texton.atlas.build import Build
    from texton.jobs.engines import Engine
    from texton.jobs.store import Store

_LAYERS = "Names and patterns, 'relu*_2,conv5_4' [rectified layers]"
_CHANNELS = "Of every layer: 0-63, 0,7,31, all or top8 [all]"
_PRESET = {"preset": "fast, normal, fine or paper (the 2016 algorithm). [fast]"}
_DRY_RUN = typer.Option("--dry-run", help="Tell how many units, how long, how much disk.")


def app(words: Sequence[str]) -> typer.Typer:
    """The commands; what ``build`` takes depends on the method that the words name."""
    made = typer.Typer(
        help="Every filter of a network on your photographs: built, resumed, browsed.",
        no_args_is_help=True,
        rich_markup_mode=None,
    )
    if "atlas" in words:
        made.command("build")(_build_command(_method_in(words)))
        made.command("status")(status_command)
        made.command("export")(atlas_site.export_command)
        made.command("serve")(atlas_site.serve_command)
        made.command("compare")(atlas_site.compare_command)
    return made


def _method_in(words: Sequence[str]) -> Method:
    """That of ``--method NAME``, which changes what ``build`` may be told."""
    named = [word.partition("=")[2] for word in words if word.startswith("--method=")]
    named += [name for flag, name in pairwise(words) if flag == "--method"]
    is_build = list(words[:2]) == ["atlas", "build"]
    return find_method(named[-1]) if named and is_build else find_method("filter")


def _build_command(method: Method) -> Command:
    photos = typer.Argument(
        metavar="[PHOTO]...", help="Image files. Without any, the atlas's own are gone on with."
    )
    names = ", ".join(methods())
    found = [
        plain("photos", list[Path] | None, None, photos),
        plain("out", Path, Path("atlas"), typer.Option("-o", "--out", help="The atlas's folder.")),
        plain("method", str | None, None, typer.Option(help=f"{names} [filter]")),
        plain("layers", str | None, None, typer.Option(help=_LAYERS)),
        plain("channels", str | None, None, typer.Option(help=_CHANNELS)),
        *_distinct(parameters_of(method.options, _PRESET, unset=True)),
        *parameters_of(ReadingOptions, {"size": "Long edge in pixels [128]"}, unset=True),
        *parameters_of(NetworkOptions, unset=True),
        *parameters_of(EngineOptions),
        plain("dry_run", bool, False, _DRY_RUN),
        plain("as_json", bool, False, o.JSON),
    ]

    def run(**values: Any) -> None:
        _run(method, values)

    return command(
        run,
        found,
        "Make an atlas, extend it, or go on with it after whatever happened.\n\n"
        "Run it again to continue. More photographs, layers or channels extend the atlas; a "
        "setting that would mix different pictures is refused.",
    )


def _distinct(found: Sequence[Any]) -> list[Any]:
    """A method's words of its own, ``STYLE...``, are an option here: photographs come first."""
    listed = typer.Option(help="One, as often as there are.")
    return [
        plain(one.name, list[str] | None, None, listed) if one.default is one.empty else one
        for one in found
    ]


def _run(method: Method, values: dict[str, Any]) -> None:
    options = said_from(method.options, values)
    if not (values["out"] / "manifest.json").exists():  # else with what the atlas has, later
        method.options.of(options)
    reading, network = (said_from(kind, values) for kind in (ReadingOptions, NetworkOptions))
    ReadingOptions.of(reading)
    NetworkOptions.of(network)
    engine: EngineOptions = options_from(EngineOptions, values)
    from texton.atlas.build import open_build
    from texton.atlas.estimate import estimate
    from texton.atlas.plan import Asked, make_plan

    asked = Asked(
        tuple(values["photos"] or ()),
        values["layers"],
        values["channels"],
        values["method"],
        options,
        network,
        reading,
    )
    out, as_json = values["out"], values["as_json"]
    plan = make_plan(asked, out)
    o.tell_assumed(plan.network)
    for note in plan.notes:
        print(f"note: {note}", file=sys.stderr)
    with closing(make_engine(engine, plan.manifest.settings["device"])) as computed_by:
        if values["dry_run"]:
            _tell_estimate(estimate(plan, out, computed_by), as_json)
            return
        with open_build(asked, out, plan) as build:
            interrupted = _build(build, computed_by)
    _tell_built(build.store, as_json, interrupted)


def status_command(
    atlas: Annotated[Path, typer.Argument(metavar="DIR", help="An atlas.", show_default=False)],
    as_json: o.Json = False,
) -> None:
    """Tell how far an atlas is: units done, failed and left, and how long they will take."""
    from texton.jobs.store import Store

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
    method = find_method(store.manifest.method)
    for record in store.records():
        if record["status"] == "failed":
            told = Unit(record["layer"], record["channel"], record["photo"])
            unit = without_axes(method, told)
            print(f"failed: {unit}: {record.get('reason', 'for a reason not told')}")


def _build(build: Build, engine: Engine) -> bool:
    """Make what is left; whether it was interrupted."""
    before = len(build.store.units()) - len(build.todo)
    try:
        total, method = before + len(build.todo), build.work.method
        with progress(total, before=before) as told, closing(build.run(engine)) as run:
            for made in run:
                unit = without_axes(method, made.unit)
                if made.status == "failed":
                    told.say(f"failed: {unit}: {made.reason}")
                elif made.status == "dead":
                    told.say(f"dead: {unit} stayed silent")
                told.finish()
    except KeyboardInterrupt:
        return True
    return False


def _tell_built(store: Store, as_json: bool, interrupted: bool) -> None:
    from texton.atlas.build import summary

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
    o.tell(made, as_json, store.root)
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
