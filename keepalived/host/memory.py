"""Measures this process's memory, and makes malloc return freed blocks to the system."""

from __future__ import annotations

import os
from pathlib import Path

_STATM = Path("/proc/self/statm")
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # malloc.h of glibc
_LARGE = 64 * 1024
_TOP = 128 * 1024
_HEAPS = 1


def give_back_large_blocks() -> None:
    """Make glibc return freed blocks of 64 KiB or more to the system, and use only one heap.

    By default, glibc raises that limit to the size of the largest block freed so far, up to 32 MiB
    (mallopt(3)): after one long answer, later ones leave holes in the heap, which then no longer
    shrinks. It also creates up to eight heaps per processor for threads, which are never released
    completely. Does nothing with other C libraries.
    """
    import ctypes

    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGE)
        mallopt(_M_TRIM_THRESHOLD, _TOP)
        mallopt(_M_ARENA_MAX, _HEAPS)


def return_free_memory() -> None:
    """Return what malloc keeps free to the system, as after many imports. glibc only."""
    import ctypes

    malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if malloc_trim is not None:
        malloc_trim(0)


def resident_bytes() -> int:
    """Return the resident memory of this process, in bytes; 0 if it is unknown."""
    try:
        return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0
