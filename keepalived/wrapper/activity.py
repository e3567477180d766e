"""The longest pause of an uploader."""

from __future__ import annotations


class Activity:
    """Measures the longest time in which a transfer did not change. Times in seconds."""

    def __init__(self, now: float) -> None:
        self._since = now
        self._longest = 0.0
        self._seen: object = None

    def note(self, seen: object, now: float) -> None:
        """Record how the transfer looks now; any difference from before is activity."""
        if seen != self._seen:
            self._longest = self.longest(now)
            self._seen, self._since = seen, now

    def longest(self, now: float) -> float:
        """Return the longest pause so far, including the present one."""
        return max(self._longest, now - self._since)
