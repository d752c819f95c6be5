"""What an experiment finds: claims judged, tables, pictures."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from PIL import Image

Outcome = Literal["holds", "partly", "not supported", "shown"]
Cell = str | int | float | None


@dataclass(frozen=True)
class Verdict:
    """A claim, how it came out, and the number with its control."""

    claim: str
    outcome: Outcome
    evidence: str


@dataclass(frozen=True)
class Table:
    """Rows under column names; written as CSV too, under ``name``."""

    name: str
    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    note: str = ""


@dataclass(frozen=True)
class Exhibit:
    """A picture or a plot, as it stands in the report."""

    title: str
    image: bytes
    note: str = ""
    kind: str = "image/webp"


@dataclass
class Findings:
    """Everything a report says, in order."""

    verdicts: list[Verdict] = field(default_factory=list)
    blocks: list[Table | Exhibit] = field(default_factory=list)
    limits: list[str] = field(default_factory=list)
    data: dict[str, Any] = field(default_factory=dict)

    def judge(self, claim: str, outcome: Outcome, evidence: str) -> None:
        self.verdicts.append(Verdict(claim, outcome, evidence))

    def show(self, title: str, picture: Image.Image, note: str = "") -> None:
        """Add a picture: small ones as they are, to the pixel."""
        buffer = io.BytesIO()
        picture.convert("RGB").save(buffer, "WEBP", quality=92, method=4)
        self.blocks.append(Exhibit(title, buffer.getvalue(), note))

    def plot(self, title: str, png: bytes, note: str = "") -> None:
        self.blocks.append(Exhibit(title, png, note, "image/png"))

    def table(
        self,
        name: str,
        title: str,
        columns: Sequence[str],
        rows: Sequence[Sequence[Cell]],
        note: str = "",
    ) -> None:
        self.blocks.append(Table(name, title, list(columns), [list(row) for row in rows], note))
