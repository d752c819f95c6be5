"""The command line: parse, call, print; nothing is loaded before it is needed."""

from __future__ import annotations

import sys
from typing import NoReturn

from texton.errors import TextonError


def main() -> NoReturn:
    """Run the command line: 0 done, 2 a mistake told in one line, 130 interrupted."""
    import typer

    from texton.cli.commands import PARSER_ERROR, app

    words = sys.argv[1:] or ["--help"]
    try:
        code = app(words)(words, standalone_mode=False)
    except TextonError as error:
        code = _complain(str(error))
    except PARSER_ERROR as error:
        code = _complain(error.format_message())  # type: ignore[attr-defined]
    except (KeyboardInterrupt, typer.Abort):
        print("interrupted", file=sys.stderr)
        code = 130
    sys.exit(code if isinstance(code, int) else 0)


def _complain(message: str) -> int:
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    return 2
