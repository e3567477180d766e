"""Signal handling of `demo` and `probe`, which clean up before they exit."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def interruptions(interrupt: Callable[[], object]) -> Iterator[list[int]]:
    """Call `interrupt` from the running loop at the first SIGINT, SIGTERM or SIGHUP.

    Yields a list that then contains the signal's number. Later signals are ignored, also after the
    block: the caller limits the time of its cleanup.
    """
    loop = asyncio.get_running_loop()
    received: list[int] = []

    def receive(number: int) -> None:
        if not received:
            received.append(number)
            interrupt()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup has it
            loop.add_signal_handler(number, receive, number)
    yield received
