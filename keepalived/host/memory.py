"""The memory of this process: how much it has, and how it gives back what it needs no more."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

_STATM = Path("/proc/self/statm")
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # malloc.h of glibc
_LARGE = 64 * 1024
_TOP = 128 * 1024
_HEAPS = 1


def give_back_large_blocks() -> None:
    """Let each block of 64 KiB or more go back to the system when it is freed, and use one heap.

    By default, glibc raises that limit to the size of the largest block that was freed so far, up
    to 32 MiB (mallopt(3)): after one long answer, the next ones leave holes in the heap, which does
    not shrink any more. It also gives threads heaps of their own, up to eight for each processor,
    and what is left of each stays. Other C libraries are left as they are.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGE)
        mallopt(_M_TRIM_THRESHOLD, _TOP)
        mallopt(_M_ARENA_MAX, _HEAPS)


def resident_bytes() -> int:
    """Return how much memory this process has, in bytes; 0 where that cannot be told."""
    try:
        return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0
