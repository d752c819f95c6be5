"""What units see along an axis, narrowed column by column."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass
class Edges:
    """Where units see from and to, as ranges so far: first + q · period to last + q · period.

    Units that lie closer than the period, ``phases`` in it, each have their own.
    """

    period: int
    phases: int
    first: dict[int, list[int]] = field(default_factory=dict)
    last: dict[int, list[int]] = field(default_factory=dict)
    whole: bool = False
    seen: bool = False

    def narrow(self, column: int, units: Sequence[int]) -> None:
        """These units see the column, and no others."""
        for phase in range(self.phases):
            own = [unit // self.phases for unit in units if unit % self.phases == phase]
            if not own:
                continue  # it lies between what neighbours see
            first = self.first.setdefault(phase, [-(10**9), 10**9])
            last = self.last.setdefault(phase, [-(10**9), 10**9])
            to, since = column - own[0] * self.period, column - own[-1] * self.period
            last[:] = max(last[0], to), min(last[1], to + self.period - 1)
            first[:] = max(first[0], since - self.period + 1), min(first[1], since)

    @property
    def contradicts(self) -> bool:
        """Whether units one period apart do not see alike."""
        edges = [*self.first.values(), *self.last.values()]
        return any(low > high for low, high in edges)

    def next_column(self, tried: set[int]) -> int | None:
        """An untried column, modulo the period, that halves what is not known yet."""
        if self.whole or self.contradicts:
            return None
        for edges, beyond in ((self.last, 1), (self.first, 0)):
            for phase in range(self.phases):
                low, high = edges.get(phase, (0, self.period))
                wanted = (low + high) // 2 + beyond
                if low < high:
                    ahead = (wanted + i for i in range(self.period))
                    untried = (x for x in ahead if x % self.period not in tried)
                    return next(untried, None)
        return None

    @property
    def begins(self) -> int:
        """The first pixel, left of the image mostly, that unit 0 sees; of phases the leftmost."""
        apart = self.period / self.phases
        firsts = [high - math.floor(p * apart) for p, (_, high) in self.first.items()]
        return min(firsts, default=0)

    def centre(self) -> float | None:
        """The middle of what unit 0 sees, in pixels of the image; phases on the average."""
        if self.widest() is None:
            return None
        apart = self.period / self.phases
        middles = [(self.first[p][1] + self.last[p][0]) / 2 - p * apart for p in range(self.phases)]
        return sum(middles) / self.phases

    def widest(self) -> int | None:
        """What the unit sees that sees most."""
        if self.whole or self.contradicts or len(self.last) < self.phases:
            return None
        return max(self.last[p][0] - self.first[p][1] + 1 for p in self.last)
