"""Declared options as parameters of commands: one declaration, read here for the command line."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from texton.methods.declared import Declared
from texton.methods.options import Options, declarations

Command = Callable[..., None]
_PLAIN = (int, float, bool, str, Path)


def command(run: Command, parameters: Iterable[inspect.Parameter], doc: str) -> Command:
    """A function that Typer reads as if it had been written with those parameters.

    ``run`` is called with their values by name.
    """

    def called(**values: Any) -> None:
        run(**values)

    kept = list(parameters)
    called.__signature__ = inspect.Signature(kept)  # type: ignore[attr-defined]
    called.__annotations__ = {one.name: one.annotation for one in kept}
    called.__doc__ = doc
    return called


def parameters_of(
    options: type[Options],
    help_of: Mapping[str, str] | None = None,
    *,
    unset: bool = False,
) -> list[inspect.Parameter]:
    """A parameter for every option of a class that a command line may say.

    Args:
        help_of: other words for the help of some.
        unset: without the defaults, for commands that must know what was said.
    """
    every = [x for x in declarations(options) if not x.spec.hidden]
    return [_parameter(x, (help_of or {}).get(x.name, x.spec.help), unset) for x in every]


def options_from(options: type[Options], values: Mapping[str, Any]) -> Any:
    """An instance from the values that Typer gives; those that nobody said stay defaults.

    Raises:
        TextonError: a text that spells no value, or one that is refused.
    """
    return options.of(said_from(options, values))


def said_from(options: type[Options], values: Mapping[str, Any]) -> dict[str, Any]:
    """What was said, by name.

    Raises:
        TextonError: a text that spells no value.
    """
    told: dict[str, Any] = {}
    for declared in declarations(options):
        value = values.get(declared.name)
        if value is None or value == []:
            continue
        if isinstance(value, str) and declared.base is not str:
            value = declared.parse(value)
        told[declared.name] = tuple(value) if isinstance(value, list) else value
    return told


def plain(name: str, kind: Any, default: Any, parameter: Any) -> inspect.Parameter:
    """A parameter that is no declared option: where output goes, how it is told."""
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=default,
        annotation=Annotated[kind, parameter],
    )


def required(name: str, kind: Any, help: str, metavar: str | None = None) -> inspect.Parameter:
    """A word, or several, that must be given."""
    argument = typer.Argument(metavar=metavar or name.upper(), help=help)
    return plain(name, kind, inspect.Parameter.empty, argument)


def _parameter(declared: Declared, help: str, unset: bool) -> inspect.Parameter:
    """Numbers in a row come as text: they are parsed where all are checked."""
    name = declared.name
    flags = [declared.flag, *([declared.spec.also] if declared.spec.also and not unset else [])]
    if declared.spec.argument:
        word = name[:-1].upper()
        if declared.default != () or unset:  # an atlas makes an option of it
            return required(name, list[str], help, f"{word}...")
        said = typer.Argument(metavar=f"[{word}]...", help=help, show_default=False)
        return plain(name, list[str] | None, None, said)
    if declared.item is Path:
        return plain(name, list[Path] | None, None, typer.Option(*flags, help=help))
    kind = declared.base if declared.base in _PLAIN else str
    if unset or declared.default in (None, ()):
        says_little = declared.default in (None, ()) or declared.default is False
        usual = says_little or not unset or help != declared.spec.help
        help = help if usual else f"{help} [{declared.spell(declared.default)}]"
        return plain(name, kind | None, None, typer.Option(*flags, help=help, show_default=False))
    default = declared.default if kind is not str else declared.spell(declared.default)
    shown = typer.Option(*flags, help=help, show_default=default is not False)
    return plain(name, kind, default, shown)
