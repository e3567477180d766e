"""The speed of an upload, and its estimated end."""

from __future__ import annotations

from collections import deque

_WINDOW_SECONDS = 15.0


class Rate:
    """The average over the last 15 seconds, of counts in bytes. Times in seconds."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def add(self, at: float, done: int) -> None:
        """Record the bytes done at a time. A lower count than before starts anew."""
        if self._seen and done < self._seen[-1][1]:
            self._seen.clear()
        self._seen.append((at, done))
        while self._seen[0][0] < at - _WINDOW_SECONDS:
            self._seen.popleft()

    @property
    def per_second(self) -> float | None:
        """Bytes per second, or None before the second observation."""
        if not self._seen:
            return None
        (began, before), (at, done) = self._seen[0], self._seen[-1]
        return (done - before) / (at - began) if at > began else None

    def eta(self, total: int) -> float | None:
        """Return the seconds until all is done at this rate, or None if nothing moves."""
        rate = self.per_second
        return max(0, total - self._seen[-1][1]) / rate if rate else None
