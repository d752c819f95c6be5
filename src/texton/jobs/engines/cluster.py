"""Ray: a cluster that is running, by its address, or one of its own on this machine."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from texton.errors import TextonError, first_line, optional
from texton.jobs.engines.base import MOST_DEATHS, Item, Ledger, Made, Work
from texton.jobs.engines.local import available_cores

_STORE_BYTES = 100_000_000  # pictures go to the disk, not through Ray
_GLANCE = 1.0  # seconds between looks at how large the cluster is now


class RayEngine:
    """Ray's workers, here or on other machines.

    They write to the disk themselves: every machine must see the same folder under the same
    name, and have texton installed in the same version.

    Args:
        address: ``HOST:PORT`` or ``auto`` of a cluster that is running; without one a cluster
            is started on this machine, and stopped by `close`. One that this process has
            already joined is used as it is.
        workers: the most jobs at a time; by default as many as the cluster has processors for,
            looked up again and again, so that a machine that joins gets work.
        threads: for each of them; ``gpus`` too.

    Raises:
        TextonError: Ray is not installed, or there is no cluster at the address.
    """

    def __init__(
        self,
        address: str | None = None,
        workers: int | None = None,
        threads: int = 1,
        gpus: int = 0,
    ) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        with optional("cluster"):
            import ray
        self._ray = ray
        self._asked, self._threads, self._gpus = workers, threads, gpus
        self._joined = not self._ray.is_initialized()
        if self._joined:
            self._join(address)

    @property
    def workers(self) -> int:
        there = self._ray.cluster_resources()
        most = int(there.get("CPU", 1)) // self._threads
        if self._gpus:
            most = min(most, int(there.get("GPU", 0)) // self._gpus)
        most = max(1, most)
        return min(self._asked or most, most)

    def close(self) -> None:
        """Leave the cluster; stop it if it is our own."""
        if self._joined:
            self._ray.shutdown()

    def run(
        self, jobs: Sequence[Sequence[Item]], work: Work[Item, Made]
    ) -> Generator[Made, None, None]:
        """See `Engine.run`."""
        ray, ledger = self._ray, Ledger(jobs, work.together)
        # The ledger counts deaths and tries again, alike for every engine: Ray must not.
        needs = {"num_cpus": self._threads, "num_gpus": self._gpus}
        serve = ray.remote(**needs, max_retries=0, num_returns="streaming")(_serve)
        shared = ray.put(work)
        under_way: dict[Any, tuple[Item, ...]] = {}  # what of its job each stream still owes
        try:
            while ledger or under_way:
                while len(under_way) < self.workers and (job := ledger.take()):
                    under_way[serve.remote(shared, job, str(Path.cwd()), self._threads)] = job
                ready, _ = ray.wait(list(under_way), timeout=_GLANCE, fetch_local=False)
                for stream in ready:
                    owed = under_way.pop(stream)
                    try:
                        made = ray.get(next(stream))
                    except StopIteration:
                        continue
                    except ray.exceptions.RayError as error:
                        how = _ending(ray, error)
                        if owed and (lost := ledger.died(owed)) is not None:
                            yield work.give_up(lost, f"{MOST_DEATHS} workers died at it: {how}")
                        continue
                    under_way[stream] = owed[1:]
                    yield made
        finally:
            for stream in under_way:
                with suppress(Exception):  # the cluster may be gone
                    ray.cancel(stream)

    def _join(self, address: str | None) -> None:
        quiet = {"log_to_driver": False, "logging_level": "ERROR"}
        try:
            if address is None:
                self._ray.init(
                    address="local",  # None joins what an earlier, killed run left on the machine
                    num_cpus=max(self._asked or 0, available_cores() // self._threads, 1)
                    * self._threads,
                    include_dashboard=False,
                    object_store_memory=_STORE_BYTES,
                    _node_ip_address="127.0.0.1",
                    **quiet,
                )
            else:
                self._ray.init(address=address, **quiet)
        except (ConnectionError, RuntimeError, ValueError, OSError) as error:
            where = f"no Ray cluster answers at '{address}'" if address else "Ray does not start"
            raise TextonError(f"{where}: {first_line(error)}") from None


def _serve(work: Any, items: Sequence[Any], folder: str, threads: int) -> Iterator[Any]:
    """A job, on any machine of the cluster."""
    import torch

    with suppress(OSError):  # names of files are meant from where the command was given
        os.chdir(folder)
    torch.set_num_threads(threads)
    work.prepare()
    yield from work(items)


def _ending(ray: Any, error: Exception) -> str:
    """How a worker ended, in a line; what its work raised is raised again."""
    if isinstance(error, ray.exceptions.RayTaskError):
        if isinstance(error.cause, TextonError):
            raise error.cause from None
        raise error
    if not ray.is_initialized() or isinstance(error, ray.exceptions.LocalRayletDiedError):
        raise TextonError("the Ray cluster has gone away: run again to continue") from None
    return type(error).__name__
