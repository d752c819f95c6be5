"""The house rules: floors, circles, the longest chain; and the drawing in the docs."""

from __future__ import annotations

import ast

import pytest
from tools.architecture import (
    BEGIN,
    END,
    LONGEST,
    PAGE,
    SOURCE,
    Graph,
    circles,
    drawing,
    file_of,
    imports,
    longest_chain,
    modules_in,
    offences,
)


@pytest.fixture(scope="module")
def graph() -> Graph:
    return imports()


def test_the_rules_hold(graph: Graph) -> None:
    assert offences(graph) == []
    assert 8 < len(longest_chain(graph)) <= LONGEST


def test_no_two_files_name_each_other_s_types() -> None:
    typed = imports(typed=True)
    assert circles(typed) == []
    (told,) = circles(typed | {"network/trial.py": {"network/network.py"}})
    assert "network/trial.py" in told and "network/network.py" in told


def test_the_drawing_is_today_s(graph: Graph) -> None:
    drawn = PAGE.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0]
    assert drawn == drawing(graph), "python tools/architecture.py --write"


@pytest.mark.parametrize(
    ("name", "target", "says"),
    [
        ("solve/solver.py", "methods/method.py", "which is not below it"),
        ("atlas/plan.py", "experiments/catalogue.py", "which is not below it"),
        ("errors.py", "images/files.py", "which is not below it"),
        ("version.py", "__init__.py", "which is not below it"),
        ("network/device.py", "network/network.py", "circle of files"),
        ("attic/old.py", "errors.py", "lies on no floor"),
        ("network/weights.py", "network/fast/modules.py", "2 doors"),
    ],
)
def test_an_offence_is_told(name: str, target: str, says: str, graph: Graph) -> None:
    changed = graph | {name: graph.get(name, set()) | {target}}
    assert any(says in line for line in offences(changed))


def test_a_circle_of_folders_without_one_of_files() -> None:
    graph = {
        "a/x/1.py": {"a/y/1.py"},
        "a/y/1.py": set(),
        "a/y/2.py": {"a/x/2.py"},
        "a/x/2.py": set(),
    }
    assert any(line.startswith("circle in a:") for line in offences(graph))


def test_a_long_chain() -> None:
    graph = {f"solve/{n}.py": {f"solve/{n + 1}.py"} for n in range(17)} | {"solve/17.py": set()}
    assert any("a chain of 18 files" in line for line in offences(graph))


def test_which_imports_count() -> None:
    tree = ast.parse(
        "import texton.errors\n"
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    from texton.jobs.store import Store\n"
        "else:\n    from texton.network import codes\n"
        "def lazily():\n    from texton.solve.canvas import PixelCanvas\n"
    )
    files = {name: SOURCE / name for name in imports()}
    found = {file_of(module, files) for module in modules_in(tree)}
    assert found - {None} == {"errors.py", "network/codes.py", "solve/canvas.py"}
