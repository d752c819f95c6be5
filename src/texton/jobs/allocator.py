"""How the C library's allocator keeps what a solver asks it for, step after step.

For processes that are texton's own, the command line's and an engine's workers: a library leaves
its host's alone.
"""

from __future__ import annotations

import ctypes
import functools
import platform
from collections.abc import Callable

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4  # glibc's malloc.h
_LARGE = 768 * 768
_MIB = 1 << 20


def settle_allocator(pixels: int) -> None:
    """Fit glibc's allocator to images of so many pixels; elsewhere nothing is done.

    As it comes, it gives codes of some megabytes back to the system in every step, and a third
    of a shallow layer's step, at 512 pixels a side two thirds, goes into fetching the pages anew.
    So they are kept. Those of larger images are given back at once: kept, they fragment, and half
    as much again is held.
    """
    mallopt = _mallopt()
    if mallopt is None:
        return
    keep = pixels < _LARGE
    mallopt(_MMAP_THRESHOLD, 4 * _MIB)
    mallopt(_MMAP_MAX, 0 if keep else 65536)
    mallopt(_TRIM_THRESHOLD, (1024 if keep else 4) * _MIB)


@functools.cache
def _mallopt() -> Callable[[int, int], int] | None:
    if platform.libc_ver()[0] != "glibc":
        return None
    found: Callable[[int, int], int] | None = getattr(ctypes.CDLL(None), "mallopt", None)
    return found
