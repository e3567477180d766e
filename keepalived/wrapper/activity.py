"""How long an uploader let its session wait."""

from __future__ import annotations


class Activity:
    """Measures the longest time in which nothing changed about a transfer. Times in seconds."""

    def __init__(self, now: float) -> None:
        self._since = now
        self._longest = 0.0
        self._seen: object = None

    def note(self, seen: object, now: float) -> None:
        """Take in how the transfer looks now; whatever differs from before is activity."""
        if seen != self._seen:
            self._longest = self.longest(now)
            self._seen, self._since = seen, now

    def longest(self, now: float) -> float:
        """Return the longest wait so far, the present one included."""
        return max(self._longest, now - self._since)
