"""A folder held by one process: the kernel lets go of it when the process ends, however."""

from __future__ import annotations

import errno
import inspect
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import filelock

from texton.errors import TextonError

_GLANCE = 1.0  # seconds that `is_held` may be in the way of `hold`, at the very most
_NAME = "lock"
# An existence lock, filelock's way out where the kernel has none, would outlive a process that
# is killed. Versions that cannot do without it are left as they are.
_KERNEL_ONLY: dict[str, Any] = (
    {"fallback_to_soft": False}
    if "fallback_to_soft" in inspect.signature(filelock.FileLock.__init__).parameters
    else {}
)


@contextmanager
def hold(root: Path, busy: str) -> Iterator[None]:
    """Hold a folder, made if it is not there.

    Args:
        busy: what is said where another process holds it.

    Raises:
        TextonError: it does, or the folder cannot be written. Errors of the block pass.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
        held = filelock.FileLock(root / _NAME, timeout=_GLANCE, **_KERNEL_ONLY)
        held.acquire()
        os.utime(root / _NAME)
    except filelock.Timeout:
        raise TextonError(busy) from None
    except OSError as error:
        if error.errno == errno.ENOSYS:
            raise TextonError(
                f"'{root}' is on a file system without locks: use another --out"
            ) from None
        raise TextonError(f"cannot write '{root}': {error.strerror or error}") from None
    try:
        yield
    finally:
        held.release()


def held_since(root: Path) -> float | None:
    """When the process that holds the folder took it; None where nobody does."""
    with suppress(OSError):
        if is_held(root):
            return (root / _NAME).stat().st_mtime
    return None


def is_held(root: Path) -> bool:
    """Whether a process holds the folder.

    Whoever looks shares the lock for the moment with all others who look: only one who holds it
    is in the way.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        return _cannot_be_taken(root / _NAME)
    try:
        file = os.open(root / _NAME, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(file)
    return False


def _cannot_be_taken(path: Path) -> bool:
    if path.exists():
        with suppress(OSError):
            try:
                with filelock.FileLock(path, timeout=0):
                    return False
            except filelock.Timeout:
                return True
    return False
