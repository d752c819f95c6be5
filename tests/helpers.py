"""What several test files use: photographs, a command's outcome, random codes, a small network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from hypothesis import strategies as st
from torch import nn

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


class Sleepy(nn.Module):
    """Filter 0 always on; 1 silent on noise but can be woken; 2 can never be."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 5, padding=2)
        self.relu = nn.ReLU()
        with torch.no_grad():
            self.conv.weight.zero_()
            self.conv.bias.copy_(torch.tensor([0.5, -20.0, -1.0]))
            self.conv.weight[1] = 1.0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.relu(self.conv(x - 0.4))
        return out


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
