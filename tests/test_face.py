"""The public face: its names, and what asking for them costs."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import texton


def loaded_after(statement: str) -> set[str]:
    """The modules that a fresh Python holds after ``statement``."""
    code = f"{statement}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "module",
    ["", ".errors", ".version", ".images", ".jobs", ".methods", ".network", ".solve.presets"],
)
def test_nothing_waits_for_torch_before_it_must(module: str) -> None:
    loaded = loaded_after(f"import texton{module}")
    assert f"texton{module}" in loaded
    assert not loaded & {"torch", "numpy", "PIL", "matplotlib", "scipy"}


def test_every_name_is_there_and_listed() -> None:
    assert len(texton.__all__) == len(set(texton.__all__)) > 20
    for name in texton.__all__:
        assert getattr(texton, name) is not None
    assert set(texton.__all__) <= set(dir(texton))
    everything: dict[str, object] = {}
    exec("from texton import *", everything)
    assert set(texton.__all__) <= set(everything)


def test_what_type_checkers_read_is_what_python_finds() -> None:
    tree = ast.parse(Path(texton.__file__).read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    told = {
        alias.asname: statement.module
        for statement in block.body
        if isinstance(statement, ast.ImportFrom)
        for alias in statement.names
    }
    assert told == {name: f"texton.{home}" for name, home in texton._HOME.items()}


def test_a_wrong_name_names_near_ones() -> None:
    with pytest.raises(AttributeError, match=r"no attribute 'invert_filtr'.*'invert_filter'"):
        texton.invert_filtr  # noqa: B018
    with pytest.raises(ImportError):
        from texton import nothing_like_it  # noqa: F401
