"""What works with which network, as docs/networks.md has it: collected from the tests that show it.

    python tools/networks_table.py            # whether the page's table is today's
    python tools/networks_table.py --write    # the table, anew

A test carries ``@pytest.mark.works("what somebody brings", "how texton behaves")``, or a
``pytest.param(…, marks=pytest.mark.works(…))`` does: a row each, in the order of the files.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
TESTS = ROOT / "tests"
PAGE = ROOT / "docs" / "networks.md"
BEGIN, END = "<!-- table: python tools/networks_table.py --write -->\n", "<!-- end -->\n"
MARK = "pytest.mark.works"


class Row(NamedTuple):
    what: str
    how: str
    test: str  # a file, as the repository has it


def rows(folder: Path = TESTS) -> list[Row]:
    """Every row that a test stands for, once, by file and line."""
    files = sorted(folder.rglob("test_*.py"))
    found = {
        Row(*texts, file.relative_to(folder.parent).as_posix())
        for file in files
        for texts in marks_in(file.read_text(encoding="utf-8"), file.name)
    }
    return sorted(found, key=lambda row: (row.test, row.what.casefold(), row.how))


def marks_in(source: str, name: str = "a test") -> Iterator[tuple[str, str]]:
    """What the marks in a file say.

    Raises:
        ValueError: one that is not two plain texts in one line each.
    """
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call) or ast.unparse(node.func) != MARK:
            continue
        texts = [argument.value for argument in node.args if isinstance(argument, ast.Constant)]
        plain = [text for text in texts if isinstance(text, str) and text and "\n" not in text]
        if len(plain) != 2 or len(node.args) != 2 or node.keywords:
            raise ValueError(f"{name}, line {node.lineno}: {MARK}('what', 'how') takes two texts")
        yield plain[0], plain[1]


def table(found: list[Row]) -> str:
    """The rows in Markdown."""
    lines = ["| You bring | texton | Shown by |", "|---|---|---|"]
    for what, how, test in found:
        cells = [
            what.replace("|", "\\|"),
            how.replace("|", "\\|"),
            f"[{Path(test).stem}](../{test})",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def on_the_page() -> str:
    return PAGE.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0]


def main() -> int:
    made = table(rows())
    if sys.argv[1:] == ["--write"]:
        before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
        PAGE.write_text(f"{before}{BEGIN}{made}{END}{rest.partition(END)[2]}", encoding="utf-8")
    same = on_the_page() == made
    print(f"{made.count(chr(10)) - 2} rows: {PAGE.name} {'has them' if same else 'differs'}")
    return not same


if __name__ == "__main__":
    sys.exit(main())
