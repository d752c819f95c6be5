"""Where work is computed: processes on this machine, or a Ray cluster."""

from texton.engines.base import Engine, Ledger, Work
from texton.engines.cluster import RayEngine
from texton.engines.local import LocalEngine, available_cores

__all__ = ["Engine", "Ledger", "LocalEngine", "RayEngine", "Work", "available_cores"]
