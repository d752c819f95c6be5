"""The table of docs/networks.md: collected from the marks of the tests, and up to date."""

from __future__ import annotations

from pathlib import Path

import pytest
from tools.networks_table import Row, marks_in, on_the_page, rows, table


def test_the_table_is_today_s() -> None:
    assert on_the_page() == table(rows()), "python tools/networks_table.py --write"


def test_marks_are_found_on_tests_and_on_their_parameters(tmp_path: Path) -> None:
    text = (
        "import pytest\n"
        "@pytest.mark.works('a|b', 'it ' 'loads')\n@pytest.mark.slow\ndef test_a(): ...\n"
        "@pytest.mark.parametrize('x', [pytest.param(1, marks=pytest.mark.works('c', 'd'))])\n"
        "def test_b(x): ...\n"
    )
    (tmp_path / "tests" / "inner").mkdir(parents=True)
    (tmp_path / "tests" / "inner" / "test_x.py").write_text(text)
    (tmp_path / "tests" / "helpers.py").write_text(text)
    found = rows(tmp_path / "tests")
    file = "tests/inner/test_x.py"
    assert found == [Row("a|b", "it loads", file), Row("c", "d", file)]
    assert "| a\\|b | it loads | [test_x](../tests/inner/test_x.py) |\n" in table(found)


@pytest.mark.parametrize("said", ["'a'", "'a', 1", "'a', b", "'a', how='b'", "'a\\nb', 'c'"])
def test_a_mark_that_is_no_row_is_told(said: str) -> None:
    with pytest.raises(ValueError, match="line 1"):
        list(marks_in(f"pytest.mark.works({said})"))
