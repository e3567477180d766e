"""Limits the rate of log lines that clients can cause."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

INTERVAL_SECONDS = 10.0


class Throttle:
    """Admits one log line per interval, and counts the others."""

    def __init__(
        self, interval: float = INTERVAL_SECONDS, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._interval = interval
        self._now = now
        self._next_at = -math.inf
        self._omitted = 0

    def admit(self) -> int | None:
        """Return how many lines were omitted before this one, or None to omit this one too."""
        now = self._now()
        if now < self._next_at:
            self._omitted += 1
            return None
        self._next_at = now + self._interval
        omitted, self._omitted = self._omitted, 0
        return omitted
