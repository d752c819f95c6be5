"""What several test files use: the photographs, a command's outcome, random codes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from hypothesis import strategies as st

EXAMPLES = Path(__file__).parent.parent / "examples"


@dataclass
class Outcome:
    """How a command ended: its exit code and what it printed."""

    code: int
    out: str
    err: str


Run = Callable[..., Outcome]


def assert_refused(outcome: Outcome, says: str, code: int = 2) -> None:
    """One line that says what to do, and nothing on stdout."""
    assert outcome.code == code, outcome.err
    assert outcome.out == ""
    assert outcome.err.startswith("error: ") and outcome.err.count("\n") == 1, outcome.err
    assert says in outcome.err


@st.composite
def codes(draw: st.DrawFn) -> torch.Tensor:
    """Rectified codes, often with silent maps, sometimes wholly silent."""
    sizes = st.tuples(st.integers(1, 2), st.integers(1, 6), st.integers(1, 5), st.integers(1, 5))
    size = draw(sizes)
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    code = torch.randn(size, generator=generator).clamp_min(0) * draw(
        st.sampled_from([1e-3, 1, 1e3])
    )
    silent = draw(st.lists(st.booleans(), min_size=size[1], max_size=size[1]))
    code[:, torch.tensor(silent)] = 0
    return code
