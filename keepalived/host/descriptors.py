"""The limit on this process's open descriptors: raises it, and detects its exhaustion."""

from __future__ import annotations

import errno
import os
import resource

MOST = 65_536
"""The most that this program can use; some systems have a hard limit of 1,000,000,000."""

EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
"""Errors that mean that the process or the machine has run out of descriptors or memory."""


def raise_limit() -> int:
    """Raise the soft limit to the hard limit, to MOST at most, and return the new limit."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    soft, wanted = _number(limits[0]), min(MOST, _number(limits[1]))
    if soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, limits[1]))
        except (OSError, ValueError):
            return soft
    return max(soft, wanted)


def limit() -> int:
    """Return how many descriptors this process may have open, at most MOST."""
    return min(MOST, _number(resource.getrlimit(resource.RLIMIT_NOFILE)[0]))


def are_exhausted() -> bool:
    """Whether no file can be opened now, for lack of descriptors or memory."""
    try:
        os.close(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
    except OSError as error:
        return error.errno in EXHAUSTED
    return False


def _number(limit: int) -> int:
    return MOST if limit == resource.RLIM_INFINITY else limit
