"""The command line: one thin function a command."""

from __future__ import annotations

import sys
from typing import NoReturn

import typer

from texton.cli import atlas, experiment, filters, inversion, lists, mixing, style
from texton.errors import TextonError

# Typer brings its own click since 0.2x; its exceptions are found by name in both.
_ParserError: type[Exception] = next(
    kind
    for kind in typer.BadParameter.__mro__
    if kind.__name__ == "ClickException" and issubclass(kind, Exception)
)

app = typer.Typer(
    name="texton",
    help="What does every filter of a convolutional network extract?",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command("filter")(filters.filter_command)
app.command("invert")(inversion.invert_command)
app.command("stylize")(style.stylize_command)
app.command("mix")(mixing.mix_command)
app.command("fingerprint")(style.fingerprint_command)
app.command("compare")(style.compare_command)
app.command("experiment", cls=experiment.ManyValues)(experiment.experiment_command)
app.command("layers")(lists.layers_command)
app.add_typer(atlas.app, name="atlas")
app.command("networks")(lists.networks_command)
app.command("info")(lists.info_command)


def main() -> NoReturn:
    """Run the command line: 0 done, 2 a mistake told in one line, 130 interrupted."""
    try:
        code = app(sys.argv[1:] or ["--help"], standalone_mode=False)
    except TextonError as error:
        code = _complain(str(error))
    except _ParserError as error:
        code = _complain(error.format_message())  # type: ignore[attr-defined]
    except (KeyboardInterrupt, typer.Abort):
        print("interrupted", file=sys.stderr)
        code = 130
    sys.exit(code if isinstance(code, int) else 0)


def _complain(message: str) -> int:
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    return 2
