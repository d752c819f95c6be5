"""Every command: one a method, from its declaration, and those that are no method's."""

from __future__ import annotations

from collections.abc import Sequence

import typer

from texton.cli import app as live
from texton.cli import atlas, check, experiment, lists, model, scan, style, train
from texton.cli.frames import framed
from texton.cli.make import command_for
from texton.cli.many import ManyValues
from texton.cli.parameters import Command
from texton.cli.words import words_command
from texton.methods.catalogue import methods
from texton.methods.method import Method

# Typer brings its own click since 0.2x; its exceptions are found by name in both.
PARSER_ERROR: type[Exception] = next(
    kind
    for kind in typer.BadParameter.__mro__
    if kind.__name__ == "ClickException" and issubclass(kind, Exception)
)


def app(words: Sequence[str]) -> typer.Typer:
    """The command line, as Typer has it, for these words."""
    made = typer.Typer(
        name="texton",
        help="What does every filter of a convolutional network extract? (--version tells which.)",
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )
    for name, method in methods().items():
        made.command(name, cls=ManyValues)(
            _command(method) if name in words else _named(f"{method.title}.")
        )
    others: dict[str, Command] = {
        "fingerprint": style.fingerprint_command,
        "compare": style.compare_command,
        "top": style.top_command,
        "words": words_command,
        "experiment": experiment.experiment_command,
        "scan": scan.scan_command,
        "app": live.app_command,
        "model": model.model_command,
        "check": check.check_command,
        "layers": lists.layers_command,
        "networks": lists.networks_command,
        "info": lists.info_command,
    }
    for name, command in others.items():
        kind = ManyValues if name in ("experiment", "model") else None
        asked: Command = command if name in words else _named(command.__doc__ or "")
        made.command(name, cls=kind)(asked)
    made.add_typer(atlas.app(words), name="atlas")
    made.add_typer(train.app(words), name="train")
    return made


def _command(method: Method) -> Command:
    return framed(method) if method.takes_frames else command_for(method)


def _named(doc: str) -> Command:
    """In the place of a command that the words do not name: to be listed, half as quickly built."""

    def command() -> None: ...

    command.__doc__ = doc
    return command
