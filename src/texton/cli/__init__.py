"""The command line: parse, call, print; nothing is loaded before it is needed."""

from __future__ import annotations

import io
import os
import sys
import warnings
from typing import Any, NoReturn

from texton.errors import TextonError, TextonWarning, first_line
from texton.version import __version__


def main() -> NoReturn:
    """Run the command line: 0 done, 2 a mistake told in one line, 130 interrupted."""
    if sys.argv[1:] == ["--version"]:
        print(f"texton {__version__}")
        sys.exit()
    import typer

    from texton.cli.commands import PARSER_ERROR, app

    words = sys.argv[1:] or ["--help"]
    _tell_warnings()
    try:
        _write_names_as_they_are()
        code = app(words)(words, standalone_mode=False)
        sys.stdout.flush()
    except TextonError as error:
        code = _complain(str(error))
    except BrokenPipeError:  # whoever reads has had enough, as in `texton layers | head -1`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 141
    except OSError as error:  # of a name too long, a disk that is gone: what no command foresaw
        name = f"'{error.filename}': " if error.filename else ""
        code = _complain(f"{name}{error.strerror or error}")
    except PARSER_ERROR as error:
        code = _complain(error.format_message())  # type: ignore[attr-defined]
    except (RuntimeError, MemoryError) as error:
        code = _complain(_without_room(error))
    except (KeyboardInterrupt, typer.Abort):
        print("interrupted", file=sys.stderr)
        code = 130
    sys.exit(code if isinstance(code, int) else 0)


def _without_room(error: Exception) -> str:
    """What to do about a device that has no room for one image, wherever it was noticed.

    Raises:
        Exception: the error itself, where it says something else.
    """
    from texton.network.device import is_out_of_memory, no_room

    if not is_out_of_memory(error):
        raise error
    return no_room("the device", first_line(error))


def _write_names_as_they_are() -> None:
    """A file's name may hold bytes that are no text; its path goes to stdout all the same."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="surrogateescape")


def _tell_warnings() -> None:
    """Texton's own as a line each, whenever they come up; others as Python shows them."""
    others = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *rest: Any, **more: Any) -> None:
        if issubclass(category, TextonWarning):
            print(message, file=sys.stderr)
        else:
            others(message, category, *rest, **more)

    warnings.showwarning = show
    warnings.simplefilter("always", TextonWarning)


def _complain(message: str) -> int:
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    return 2
