"""Lines written by a thread, so that a reader who has stopped reading holds nobody up.

A pipe that is not read, a terminal that was stopped (^S), a log driver or a disk that hangs: the
write then takes for ever, and with it the event loop that made it.
"""

from __future__ import annotations

import os
import select
import signal
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Protocol

CAPACITY = 1 << 20
"""Characters that wait at most; a line that does not fit is lost."""


class Sink(Protocol):
    """Where lines go."""

    def write(self, line: str) -> None:
        """Write a line, which may block. Raises OSError."""
        ...

    def close(self) -> None:
        """Release what it has open."""
        ...


class BackgroundWriter:
    """Writes lines to `sink` in the order in which they were put, and counts those that were lost.

    `report` returns the line that tells how many were lost; it is written as soon as there is room
    again. `put` is to be called by one thread at a time.
    """

    def __init__(self, sink: Sink, report: Callable[[int], str], capacity: int = CAPACITY) -> None:
        self._sink = sink
        self._report = report
        self._capacity = capacity
        # Its `put` may interrupt itself: a finalizer that logs may run at any time.
        self._queue: SimpleQueue[tuple[int, str] | threading.Event | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        # Each of these has one thread alone that changes it.
        self._lost = self._size_put = 0
        self._failed = self._reported = self._size_taken = 0

    def put(self, line: str) -> None:
        """Write a line in the background, or count it as lost where too many wait."""
        if self._size_put - self._size_taken + len(line) > self._capacity:
            self.lose()
            return
        self._size_put += len(line)
        self._queue.put((self._lost, line))
        if self._thread is None:
            # The end of the process does not wait for a daemon thread.
            self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
            self._thread.start()

    def lose(self) -> None:
        """Count a line as lost."""
        self._lost += 1

    def flush(self, seconds: float) -> bool:
        """Wait until what was put has been written, at most for so long; return whether it was."""
        if self._thread is None or not self._thread.is_alive():
            return True
        written = threading.Event()
        self._queue.put(written)
        return written.wait(seconds)

    def finish(self) -> None:
        """Close the sink once everything is written. Does not wait for that."""
        if self._thread is None:
            self._sink.close()
        else:
            self._queue.put(None)

    def _run(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        while (item := self._queue.get()) is not None:
            if isinstance(item, threading.Event):
                item.set()
                continue
            lost_before, line = item
            self._report_losses(lost_before)
            self._size_taken += len(line)
            if not self._try(line):
                self._failed += 1
            if self._queue.empty():
                self._report_losses(self._lost)
        self._sink.close()

    def _report_losses(self, lost: int) -> None:
        count = lost + self._failed - self._reported
        if count and self._try(self._report(count)):
            self._reported += count

    def _try(self, line: str) -> bool:
        try:
            self._sink.write(line)
        except OSError:
            return False
        return True


class DescriptorSink:
    """Writes lines to what a descriptor leads to, by a duplicate of it."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = os.dup(descriptor)

    def write(self, line: str) -> None:
        """Write a line, and wait for as long as that takes. Raises OSError."""
        data = f"{line}\n".encode(errors="backslashreplace")
        while data:
            try:
                data = data[os.write(self._descriptor, data) :]
            except BlockingIOError:
                # Another process that shares the open file has made it non-blocking.
                poll = select.poll()
                poll.register(self._descriptor, select.POLLOUT)
                poll.poll()

    def close(self) -> None:
        """Close the duplicate."""
        os.close(self._descriptor)
