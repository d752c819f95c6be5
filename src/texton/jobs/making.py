"""How pictures are made for an engine, one after the other, each kept as it is there."""

from __future__ import annotations

import json
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic

from texton.errors import TextonError, one_line
from texton.jobs.pictures import Key
from texton.methods.method import Method, Task

if TYPE_CHECKING:
    from texton.methods.result import Result
    from texton.network.network import Network


@dataclass(frozen=True)
class Made(Generic[Key]):
    """A unit that is finished: ``seconds`` is all that it took its worker."""

    unit: Key
    status: str
    seconds: float
    reason: str | None = None


class PictureWork(ABC, Generic[Key]):
    """Pictures for an engine; a job's are of one method, network, photograph and layer.

    What a disk does not take ends the run, as all does that is no single picture's fault.
    """

    @property
    @abstractmethod
    def device(self) -> str:
        """Where it is computed."""

    @abstractmethod
    def task(self, keys: Sequence[Key]) -> tuple[Method, Task]:
        """What is asked of which method."""

    @abstractmethod
    def keep(self, key: Key, result: Result) -> None:
        """Commit a picture."""

    @abstractmethod
    def give_up(self, key: Key, reason: str, seconds: float = 0.0) -> Made[Key]:
        """Record that a picture cannot be made."""

    def failed(self, key: Key, error: Exception, seconds: float) -> Made[Key]:
        """What becomes of an error: it is this picture's alone."""
        return self.give_up(key, one_line(error), seconds)

    @property
    def together(self) -> bool:
        """Whether several are solved side by side, as on a GPU."""
        return not self.device.startswith("cpu")

    def __call__(self, keys: Sequence[Key]) -> Iterator[Made[Key]]:
        """Each as it is there.

        Where one of a batch fails, they go on one by one until it is found.
        """
        rest, alone = deque(keys), False
        results: Iterator[Result] | None = None
        while rest:
            started = time.perf_counter()
            try:
                if results is None:
                    results = self._results([rest[0]] if alone else list(rest))
                result = next(results)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is one picture's alone
                results = None
                alone = self.together and not alone and len(rest) > 1
                if not alone:
                    yield self.failed(rest.popleft(), error, time.perf_counter() - started)
                continue
            if alone:
                results = None
            key = rest.popleft()
            self.keep(key, result)
            yield Made(key, result.status, time.perf_counter() - started)

    def _results(self, keys: Sequence[Key]) -> Iterator[Result]:
        method, task = self.task(keys)
        return iter(method.make(task, None))


def loaded(options: Mapping[str, Any]) -> Network:
    """A network as `NetworkOptions` names it, kept from one job to the next."""
    return _loaded(json.dumps(dict(options), default=str))


@lru_cache(maxsize=2)
def _loaded(options: str) -> Network:
    from texton.network.load import load_network

    return load_network(**json.loads(options))


def check_alike(
    network: Network,
    weights_hash: str,
    here: Mapping[str, str],
    there: Mapping[str, Any],
    what: str,
) -> None:
    """Refuse a worker that would make other pictures than those that are there.

    Args:
        here, there: ``Compute.describe()`` of the worker and of ``what`` was begun.
    """
    if network.weights_hash != weights_hash:
        raise TextonError(f"a worker finds other weights than {what} was begun with")
    for key in ("dtype", "memory_format"):
        if here[key] != there[key]:
            raise TextonError(
                f"a worker would compute with {key} {here[key]}, {what} with {there[key]}: "
                "use machines that are alike, or begin with --dtype float32"
            )


def check_seen(seen: bool, what: str, root: Path) -> None:
    """Refuse a worker that does not see the folder: pictures on a disk of its own would be lost."""
    import platform

    if not seen:
        raise TextonError(
            f"a worker on {platform.node()} does not find {what} in '{root}': every machine must "
            "see the same folder under the same name"
        )
