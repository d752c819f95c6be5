"""What an engine is: jobs in, results out, whatever dies on the way."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Generator, Hashable, Iterator, Sequence
from typing import Generic, Protocol, TypeVar

Item = TypeVar("Item", bound=Hashable)
Made = TypeVar("Made")
ItemIn = TypeVar("ItemIn", bound=Hashable, contravariant=True)
MadeOut = TypeVar("MadeOut", covariant=True)
MOST_DEATHS = 3


class Work(Protocol[ItemIn, MadeOut]):
    """What a worker does: pickled once for every worker, called once for every job."""

    @property
    def together(self) -> bool:
        """Whether it is at several items of a job at a time: any may have killed its worker."""
        ...

    def prepare(self) -> None:
        """What a worker needs before its first job. It may be called again.

        What it raises ends the whole run; a worker that dies of it died of no item.
        """
        ...

    def __call__(self, items: Sequence[ItemIn], /) -> Iterator[MadeOut]:
        """One result for every item, in order, each as soon as it is there.

        What it raises ends the whole run: a mistake in one item is a result like any other.
        It may be called again for items that it has done, where a worker died in between.
        """
        ...

    def give_up(self, item: ItemIn, reason: str, /) -> MadeOut:
        """The result of an item that keeps killing its worker; called in the parent."""
        ...


class Engine(Protocol):
    """Some workers. ``local`` and ``ray`` are two; a third needs nothing but this."""

    @property
    def workers(self) -> int:
        """How many jobs are done at a time."""
        ...

    def close(self) -> None:
        """Let go of what it holds, once it is no longer needed."""
        ...

    def run(
        self, jobs: Sequence[Sequence[Item]], work: Work[Item, Made]
    ) -> Generator[Made, None, None]:
        """The results of all items of all jobs, in the order in which they are finished.

        A job is done by one worker, in order. A worker that dies is replaced and what it had not
        finished is done again; an item that kills its worker three times is given up. Closing
        the iterator stops the workers.

        Raises:
            TextonError: raised by the work itself, or no worker can be started.
        """
        ...


class Ledger(Generic[Item]):
    """Which jobs are waiting, and which items have killed their workers how often.

    Kept alike by every engine, so that they mean the same by "retried" and by "given up".
    """

    def __init__(self, jobs: Sequence[Sequence[Item]], together: bool = False) -> None:
        self._waiting = deque(tuple(job) for job in jobs if job)
        self._together = together
        self._deaths: Counter[Item] = Counter()

    def __len__(self) -> int:
        return len(self._waiting)

    def take(self) -> tuple[Item, ...] | None:
        """The next job, or None."""
        return self._waiting.popleft() if self._waiting else None

    def died(self, rest: Sequence[Item]) -> Item | None:
        """A worker died before ``rest[0]`` was finished: an item to give up, or None.

        The suspect goes alone, so that it takes nothing with it a second time; what came after
        it is innocent. Of items that were worked on together all are suspects: they go on in
        halves until one is left.
        """
        if self._together and len(rest) > 1:
            half = -(-len(rest) // 2)
            self._waiting.extend((tuple(rest[:half]), tuple(rest[half:])))
            return None
        suspect, innocent = rest[0], tuple(rest[1:])
        if innocent:
            self._waiting.appendleft(innocent)
        self._deaths[suspect] += 1
        if self._deaths[suspect] >= MOST_DEATHS:
            return suspect
        self._waiting.append((suspect,))
        return None
