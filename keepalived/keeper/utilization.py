"""How many of a vCenter's request slots are in use."""

from __future__ import annotations

from math import exp

_WINDOW_SECONDS = 60.0
_STEP_SECONDS = 1.0
"""Changes within this time count as one: thousands of requests may start and end in it."""


class Utilization:
    """The share of slots in use, averaged over about the last minute (exponentially)."""

    def __init__(self, slots: int, now: float) -> None:
        self._slots = slots
        self._busy = 0
        self._at = now
        self._average = 0.0
        self._step_began = now
        self._busy_seconds = 0.0

    def change(self, busy: int, now: float) -> None:
        """Record that `busy` slots are in use from now on."""
        if now - self._step_began >= _STEP_SECONDS:
            self._average = self.at(now)
            self._step_began = now
            self._busy_seconds = 0.0
        elif now > self._at:
            self._busy_seconds += self._busy * (now - self._at)
        self._at = now
        self._busy = busy

    def at(self, now: float) -> float:
        """Return the average at `now`, 0 to 1."""
        elapsed = now - self._step_began
        if elapsed <= 0:
            return self._average
        share = (self._busy_seconds + self._busy * (now - self._at)) / elapsed / self._slots
        weight = exp(-elapsed / _WINDOW_SECONDS)
        return self._average * weight + share * (1 - weight)
