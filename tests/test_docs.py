"""The commands that README and docs show are ones that the command line takes."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer

from texton.cli.commands import app

ROOT = Path(__file__).parent.parent
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))


def shown(page: Path) -> list[str]:
    """The lines of a page's code blocks that call texton, joined where they go on."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [line for line in lines if re.match(r"texton [a-z]", line)]


LINES = [line for page in PAGES for line in shown(page)]


def test_there_are_lines() -> None:
    assert len(LINES) > 30


@pytest.mark.parametrize("line", LINES)
def test_a_line_that_is_shown_is_understood(line: str) -> None:
    words = shlex.split(line, comments=True)[1:]
    command = typer.main.get_command(app(words))
    rest = list(words)
    while commands := getattr(command, "commands", None):
        assert rest[0] in commands, line
        command = commands[rest.pop(0)]
    command.make_context("texton", rest)  # raises what the user would be told
