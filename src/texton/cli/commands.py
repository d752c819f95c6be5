"""Every command: one a method, from its declaration, and those that are no method's."""

from __future__ import annotations

from collections.abc import Sequence

import typer

from texton.cli import atlas, experiment, lists, style
from texton.cli.make import command_for
from texton.methods.catalogue import methods
from texton.version import __version__

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
        help="What does every filter of a convolutional network extract?",
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )
    made.callback(invoke_without_command=True)(_version)
    for name, method in methods().items():
        made.command(name)(command_for(method))
    made.command("fingerprint")(style.fingerprint_command)
    made.command("compare")(style.compare_command)
    made.command("top")(style.top_command)
    made.command("experiment", cls=experiment.ManyValues)(experiment.experiment_command)
    made.command("layers")(lists.layers_command)
    made.add_typer(atlas.app(words), name="atlas")
    made.command("networks")(lists.networks_command)
    made.command("info")(lists.info_command)
    return made


def _version(
    version: bool = typer.Option(False, "--version", help="Print the version and leave."),
) -> None:
    if version:
        print(f"texton {__version__}")
        raise typer.Exit()
