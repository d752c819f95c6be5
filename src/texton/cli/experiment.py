"""``texton experiment``: the paper's figures and claims."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from typer.core import TyperCommand

from texton.cli import output as c

_MANY = ("--photos", "--styles")

Name = Annotated[str, typer.Argument(help="`list`, or the experiment's name.", metavar="NAME")]
Folder = Annotated[
    Path | None,
    typer.Argument(
        help="Of style-identity: a folder with one subfolder of pictures per style.",
        show_default=False,
    ),
]
Photos = Annotated[
    list[Path] | None,
    typer.Option(help="Photographs: files or folders; two samples by default."),
]
Styles = Annotated[
    list[Path] | None,
    typer.Option(help="Style pictures: files or folders; four samples by default."),
]
Own = "; the experiment's own by default."


class ManyValues(TyperCommand):
    """``--styles a.jpg b.jpg``: what a shell makes of ``--styles paintings/*.jpg``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, _repeated(args))


def experiment_command(
    name: Name,
    folder: Folder = None,
    photos: Photos = None,
    styles: Styles = None,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Folder; experiments/NAME by default.")
    ] = None,
    network: c.NetworkName = "vgg19",
    layers: Annotated[
        str | None, typer.Option(help="Comma-separated; the paper's by default.")
    ] = None,
    size: Annotated[int | None, typer.Option(help="Long edge in pixels" + Own)] = None,
    preset: Annotated[str | None, typer.Option(help="fast, normal, fine or paper" + Own)] = None,
    steps: c.Steps = None,
    filters: Annotated[int | None, typer.Option(help="Filters per layer" + Own)] = None,
    repeats: Annotated[int | None, typer.Option(help="Independent draws" + Own)] = None,
    seed: c.Seed = 0,
    device: c.Device = "auto",
    as_json: c.Json = False,
) -> None:
    """The paper's figures and claims: a report with pictures, numbers and controls."""
    # scipy and scikit-image, which no other command needs
    from texton.experiments.harness.options import Options
    from texton.experiments.harness.run import find_experiment, run_experiment

    if name == "list":
        _list(as_json)
        return
    options = locals()
    c.check_size(Options.size if size is None else size)
    find_experiment(name)
    chosen = {
        key: options[key]
        for key in ("folder", "network", "size", "preset", "steps", "filters", "repeats", "seed")
    }
    chosen |= {"photos": tuple(photos or ()), "styles": tuple(styles or ()), "device": device}
    chosen["layers"] = tuple(part for word in (layers or "").split(",") if (part := word.strip()))
    root = out or Path("experiments") / name
    with _Progress() as progress:
        made = run_experiment(
            name,
            root,
            chosen,
            command=_command(options, root),
            on_unit=progress.unit,
            tell=progress.say,
        )
    for verdict in made["verdicts"]:
        print(f"{verdict['outcome']}: {verdict['claim']}", file=sys.stderr)
    c.tell(made, as_json, Path(made["report"]))


def _list(as_json: bool) -> None:
    from texton.experiments.catalogue import EXPERIMENTS

    if as_json:
        told = {x.name: {"title": x.title, "question": x.question} for x in EXPERIMENTS.values()}
        print(json.dumps({"experiments": told}, ensure_ascii=False))
        return
    width = max(map(len, EXPERIMENTS))
    for experiment in EXPERIMENTS.values():
        print(f"{experiment.name:{width}}  {experiment.title}")


def _command(options: dict[str, Any], root: Path) -> str:
    arguments = [options["name"], *([str(options["folder"])] if options["folder"] else [])]
    for option in ("photos", "styles"):
        if options[option]:
            arguments += [f"--{option}", *map(str, options[option])]
    plain = ("layers", "size", "preset", "steps", "filters", "repeats")
    given = {f"--{key}": options[key] for key in plain}
    defaults = {"network": "vgg19", "seed": 0, "device": "auto"}
    given |= {f"--{k}": options[k] for k, usual in defaults.items() if options[k] != usual}
    return c.recorded_command("experiment", arguments, given | {"--out": root})


def _repeated(args: list[str]) -> list[str]:
    """``--photos a b`` as ``--photos a --photos b``; without a value last, for Typer to refuse."""
    told: list[str] = []
    bare: list[str] = []
    option: str | None = None
    for word in args:
        if word.startswith("-") and word != "-":
            option = word if word in _MANY else None
            (told if option is None else bare).append(word)
        elif option is not None:
            told += [option, word]
            bare = [name for name in bare if name != option]
        else:
            told.append(word)
    return told + bare[:1]


class _Progress:
    """A bar on a terminal; elsewhere a line for every twentieth of the work."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        self._bars = Progress(
            *columns, TimeRemainingColumn(), console=self._console, transient=True
        )
        self._terminal = self._console.is_terminal
        self._task = self._bars.add_task("", total=None) if self._terminal else None
        self._told = 0

    def __enter__(self) -> _Progress:
        if self._terminal:
            self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._terminal:
            self._bars.stop()

    def say(self, text: str) -> None:
        if self._terminal:
            self._console.print(text, highlight=False)
        else:
            print(text, file=sys.stderr, flush=True)

    def unit(self, key: str, done: int, units: int) -> None:
        if self._task is not None:
            self._bars.update(self._task, completed=done, total=units, description=key)
        elif done * 20 // units > self._told or done == units:
            self._told = done * 20 // units
            print(f"{done} of {units}  {key}", file=sys.stderr, flush=True)
