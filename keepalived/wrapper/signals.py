"""Signal handlers in the event loop that restore the previous handlers."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""The signals that ask `exec` to end."""


def is_ignored(number: signal.Signals) -> bool:
    """Whether this process ignores a signal: `nohup` and shells ignore some for what they start."""
    return signal.getsignal(number) is signal.SIG_IGN


_handlers: dict[signal.Signals, Callable[[], object]] = {}
"""The loop's present handlers, kept here because the loop has no way to read them."""


@contextmanager
def handled(handlers: Mapping[signal.Signals, Callable[[], object]]) -> Iterator[None]:
    """Call `handlers` from the running loop when their signals arrive; restore the old ones after.

    Blocks may be nested: the innermost applies.
    """
    loop = asyncio.get_running_loop()
    previous = {number: (_handlers.get(number), signal.getsignal(number)) for number in handlers}
    for number, handler in handlers.items():
        loop.add_signal_handler(number, handler)
        _handlers[number] = handler
    try:
        yield
    finally:
        for number, (outer, disposition) in previous.items():
            if outer is not None:
                loop.add_signal_handler(number, outer)
                _handlers[number] = outer
            else:
                loop.remove_signal_handler(number)
                signal.signal(number, disposition)
                del _handlers[number]


def stop_own_group(number: signal.Signals) -> None:
    """Stop this process and the rest of its group, the shell's job, by SIGTSTP or SIGTTIN.

    Returns when the job is continued, and at once if no process could continue it: the kernel does
    not stop a group without a parent in the same session to control it, nor a process that was
    started ignoring the signal. It may also return slightly early; callers that need certainty
    have to check what followed.
    """
    if is_ignored(number):
        return
    previous = signal.signal(number, signal.SIG_DFL)
    try:
        os.kill(0, number)
    finally:
        signal.signal(number, previous)
