"""Averages how many of a vCenter's request slots are in use."""

from __future__ import annotations

from math import exp

_WINDOW_SECONDS = 60.0
_STEP_SECONDS = 1.0
"""Changes within this time are averaged together: thousands of requests may start and end."""


class Utilization:
    """The exponential average of the share of slots in use, over about the last minute."""

    def __init__(self, slots: int, now: float) -> None:
        self._slots = slots
        self._busy = 0
        self._at = now
        self._average = 0.0
        self._step_began_at = now
        self._busy_seconds = 0.0

    def change(self, busy: int, now: float) -> None:
        """Record that `busy` slots are in use from now on."""
        if now - self._step_began_at >= _STEP_SECONDS:
            self._average = self.at(now)
            self._step_began_at = now
            self._busy_seconds = 0.0
        elif now > self._at:
            self._busy_seconds += self._busy * (now - self._at)
        self._at = now
        self._busy = busy

    def at(self, now: float) -> float:
        """Return the average at `now`, from 0 to 1."""
        elapsed = now - self._step_began_at
        if elapsed <= 0:
            return self._average
        share = (self._busy_seconds + self._busy * (now - self._at)) / elapsed / self._slots
        weight = exp(-elapsed / _WINDOW_SECONDS)
        return self._average * weight + share * (1 - weight)
