"""The state that a script shares with the thread that keeps its session."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from keepalived.lease.events import SessionEnd
from keepalived.lease.model import State

OnEnd = Callable[[SessionEnd], object]

logger = logging.getLogger("keepalived")


class HoldState:
    """The state of a session, and the callbacks for its end. Thread-safe.

    `deliver` decides where callbacks run; by default in the thread that learns of the end.
    """

    def __init__(self) -> None:
        self.state = State.PENDING
        self.end: SessionEnd | None = None
        self.deliver: Callable[[Callable[[], None]], None] = lambda call: call()
        self._callbacks: list[OnEnd] = []
        self._lock = threading.Lock()

    def on_end(self, callback: OnEnd) -> None:
        """Call `callback` once the session has ended; at once if it has ended already."""
        with self._lock:
            end = self.end
            if end is None:
                self._callbacks.append(callback)
        if end is not None:
            self._call(callback, end)

    def ended(self, end: SessionEnd) -> None:
        """Record how the session ended, and call the callbacks."""
        with self._lock:
            self.end, self.state = end, end.state
            callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            self._call(callback, end)

    def _call(self, callback: OnEnd, end: SessionEnd) -> None:
        def call() -> None:
            try:
                callback(end)
            except Exception:
                logger.exception("a callback passed to on_end failed")

        self.deliver(call)
