"""One HTML file that needs nothing else, and its numbers as JSON and CSV."""

from __future__ import annotations

import base64
import csv
import io
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from texton.errors import optional
from texton.experiments.report.findings import Cell, Exhibit, Findings, Table
from texton.images.files import write_bytes

with optional("experiments"):
    import jinja2


def write_report(
    root: Path, about: dict[str, Any], settings: dict[str, Any], findings: Findings, command: str
) -> Path:
    """``report.html``, ``data.json`` and a CSV per table; returns the report's path.

    Args:
        about: ``name``, ``title``, ``section``, ``question``, ``method`` (paragraphs).
    """
    tables = [block for block in findings.blocks if isinstance(block, Table)]
    data = {
        "experiment": about["name"],
        "command": command,
        "settings": settings,
        "verdicts": [vars(verdict) for verdict in findings.verdicts],
        "tables": {
            t.name: [dict(zip(t.columns, row, strict=True)) for row in t.rows] for t in tables
        },
        "limits": findings.limits,
        **findings.data,
    }
    text = json.dumps(_finite(data), indent=1, ensure_ascii=False, allow_nan=False, default=float)
    write_bytes(text.encode(), root / "data.json")
    for table in tables:
        write_bytes(_csv(table).encode(), root / f"{table.name}.csv")
    page = (
        _environment()
        .get_template("report.html")
        .render(
            about=about,
            findings=findings,
            blocks=[_shown(block) for block in findings.blocks],
            settings=settings,
            command=command,
        )
    )
    path = root / "report.html"
    write_bytes(page.encode(), path)
    return path


def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("texton.experiments.report", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _shown(block: Table | Exhibit) -> dict[str, Any]:
    if isinstance(block, Table):
        rows = [[_cell(value) for value in row] for row in block.rows]
        words = {place for row in block.rows for place, v in enumerate(row) if isinstance(v, str)}
        return {"table": block, "rows": rows, "words": words}
    coded = base64.b64encode(block.image).decode()
    return {"exhibit": block, "source": f"data:{block.kind};base64,{coded}"}


def _cell(value: Cell) -> str:
    value = _finite(value)
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"
    return str(value)


def _csv(table: Table) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerows([_plain(table.columns), *[_plain(row) for row in table.rows]])
    return buffer.getvalue()


def _plain(row: Sequence[Cell]) -> list[Cell]:
    return ["" if value is None else value for value in map(_finite, row)]


def _finite(value: Any) -> Any:
    """JSON has no NaN and no infinity: what has no value is null. NumPy's numbers as Python's."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
