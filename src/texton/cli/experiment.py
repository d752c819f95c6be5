"""``texton experiment``: the paper's figures and claims."""

from __future__ import annotations

import json
import sys
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

import typer

from texton.cli import output as o
from texton.cli.engines import EngineOptions, make_engine
from texton.cli.parameters import command, parameters_of, plain, required, said_from
from texton.cli.progress import progress
from texton.errors import TextonError
from texton.experiments.harness.options import Options
from texton.methods.command import recorded

_ENGINE = {"engine": "Workers that make the pictures, local or ray; this process without."}


def _run(name: str, out: Path | None, as_json: bool, **values: Any) -> None:
    said = said_from(Options, values)
    if name == "list":
        _list(as_json)
        return
    options = Options.of(said)
    workers = EngineOptions.of(said_from(EngineOptions, values))
    has_engine = values.get("engine") is not None
    if not has_engine and (workers.workers or workers.address):
        raise TextonError("--workers and --address are an engine's: add --engine local or ray")
    # scipy and scikit-image, which no other command needs
    from texton.experiments.catalogue import find_experiment
    from texton.experiments.harness.run import run_experiment
    from texton.jobs.allocator import settle_allocator
    from texton.network.device import choose_compute

    experiment = find_experiment(name)
    settle_allocator(options.size**2)
    root = out or Path("experiments") / name
    arguments = [name, *([str(options.folder)] if options.folder else [])]
    again = recorded("experiment", arguments, [options], root, said)
    device = str(choose_compute(options.device).device)
    engine = closing(make_engine(workers, device)) if has_engine else nullcontext()
    with engine as computed_by, progress() as told:
        made = run_experiment(
            experiment,
            root,
            said,
            command=again,
            on_unit=lambda key, done, units: told.reach(done, units, key),
            tell=told.say,
            engine=computed_by,
        )
    for verdict in made["verdicts"]:
        print(f"{verdict['outcome']}: {verdict['claim']}", file=sys.stderr)
    o.tell(made, as_json, Path(made["report"]))


experiment_command = command(
    _run,
    [
        required("name", str, "`list`, or the experiment's name.", "NAME"),
        plain(
            "folder",
            Path | None,
            None,
            typer.Argument(help="Of style-identity: a folder with one subfolder per style."),
        ),
        plain("out", Path | None, None, typer.Option("-o", "--out", help="Its folder.")),
        *parameters_of(Options, unset=True),
        *parameters_of(EngineOptions, _ENGINE, unset=True),
        plain("as_json", bool, False, o.JSON),
    ],
    "The paper's figures and claims: a report with pictures, numbers and controls.",
)


def _list(as_json: bool) -> None:
    from texton.experiments.catalogue import EXPERIMENTS

    if as_json:
        told = {x.name: {"title": x.title, "question": x.question} for x in EXPERIMENTS.values()}
        print(json.dumps({"experiments": told}, ensure_ascii=False))
        return
    width = max(map(len, EXPERIMENTS))
    for experiment in EXPERIMENTS.values():
        print(f"{experiment.name:{width}}  {experiment.title}")
