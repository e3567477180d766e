"""Signals that the parent process had blocked when it started this one."""

from __future__ import annotations

import signal

HANDLED = frozenset(
    {
        signal.SIGCHLD,
        signal.SIGCONT,
        signal.SIGHUP,
        signal.SIGINT,
        signal.SIGQUIT,
        signal.SIGTERM,
        signal.SIGTSTP,
        signal.SIGTTIN,
        signal.SIGUSR1,
        signal.SIGUSR2,
        signal.SIGWINCH,
    }
)
"""The signals that some command handles, or is stopped or ended by."""


def unblock() -> frozenset[int]:
    """Unblock the HANDLED signals in this thread; return what was blocked before."""
    return frozenset(signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDLED))
