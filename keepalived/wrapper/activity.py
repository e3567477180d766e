"""Measure the longest pause of an uploader."""

from __future__ import annotations


class Activity:
    """Measures the longest time in which a transfer did not change. Times in seconds."""

    def __init__(self, now: float) -> None:
        self._since = now
        self._longest = 0.0
        self._state: object = None

    def record(self, state: object, now: float) -> None:
        """Record the transfer's present state; any difference from before is activity."""
        if state != self._state:
            self._longest = self.longest(now)
            self._state, self._since = state, now

    def longest(self, now: float) -> float:
        """Return the longest pause so far, including the present one."""
        return max(self._longest, now - self._since)
