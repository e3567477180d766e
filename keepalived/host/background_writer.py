"""Writes lines in a thread, so that a blocked destination does not block the program.

A pipe that is not read, a stopped terminal (^S), a hanging log driver or disk can block a write
forever, and with it the event loop.
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
"""The most characters in the queue; a line that does not fit is lost."""


class Sink(Protocol):
    """A destination for lines."""

    def write(self, line: str) -> None:
        """Write a line, which may block. Raises OSError."""
        ...

    def close(self) -> None:
        """Release its resources."""
        ...


class BackgroundWriter:
    """Writes lines to `sink` in order, and counts lost lines.

    `report` returns a line that reports the number of lost lines; it is written as soon as there is
    room again. Only one thread at a time may call `put`.
    """

    def __init__(self, sink: Sink, report: Callable[[int], str], capacity: int = CAPACITY) -> None:
        self._sink = sink
        self._report = report
        self._capacity = capacity
        # SimpleQueue is reentrant: a finalizer that logs may interrupt `put`.
        self._queue: SimpleQueue[tuple[int, str] | threading.Event | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        # Each of these is changed by one thread only.
        self._lost = self._size_put = 0
        self._failed = self._reported = self._size_taken = 0

    def put(self, line: str) -> None:
        """Write a line in the background, or count it as lost if the queue is full."""
        if self._size_put - self._size_taken + len(line) > self._capacity:
            self.lose()
            return
        self._size_put += len(line)
        self._queue.put((self._lost, line))
        if self._thread is None:
            # A daemon thread does not delay the end of the process.
            self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
            self._thread.start()

    def lose(self) -> None:
        """Count a line as lost."""
        self._lost += 1

    def flush(self, seconds: float) -> bool:
        """Wait at most `seconds` until the queued lines are written; return whether they were."""
        if self._thread is None or not self._thread.is_alive():
            return True
        written = threading.Event()
        self._queue.put(written)
        return written.wait(seconds)

    def finish(self) -> None:
        """Close the sink once all lines are written, without waiting."""
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
    """Writes lines to a duplicate of a descriptor."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = os.dup(descriptor)

    def write(self, line: str) -> None:
        """Write a line, waiting as long as necessary. Raises OSError."""
        data = f"{line}\n".encode(errors="backslashreplace")
        while data:
            try:
                data = data[os.write(self._descriptor, data) :]
            except BlockingIOError:
                # Another process has made the shared open file description non-blocking.
                poll = select.poll()
                poll.register(self._descriptor, select.POLLOUT)
                poll.poll()

    def close(self) -> None:
        """Close the duplicate."""
        os.close(self._descriptor)
