"""Where work is computed: processes on this machine, or a Ray cluster."""

from texton.jobs.engines.base import Engine, Ledger, Work
from texton.jobs.engines.cluster import RayEngine
from texton.jobs.engines.local import LocalEngine, available_cores

__all__ = ["Engine", "Ledger", "LocalEngine", "RayEngine", "Work", "available_cores"]
