"""Keeping what a command leaves behind in the tree of this process."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

_PR_SET_CHILD_SUBREAPER = 36  # prctl(2)


@contextmanager
def adopted() -> Iterator[None]:
    """Within the block, a descendant that loses its parent becomes our own child, not init's.

    It is then ours to reap. Where the kernel refuses (a seccomp filter), orphans go to init as
    they would without us: they live on the same, and merely are not seen below us.
    """
    prctl = ctypes.CDLL(None).prctl
    prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        yield
    finally:
        prctl(_PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
