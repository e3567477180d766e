"""Unblocks signals that the parent process had blocked when it started this one."""

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
"""The signals that commands handle, or that stop or end them."""


def unblock() -> frozenset[int]:
    """Unblock the HANDLED signals in this thread; return the signals blocked before."""
    return frozenset(signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDLED))
