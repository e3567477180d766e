"""How much of a vCenter's request slots is in use."""

from __future__ import annotations

from math import exp

_WINDOW_SECONDS = 60.0


class Utilization:
    """The share of slots in use, averaged over about the last minute (exponentially)."""

    def __init__(self, slots: int, now: float) -> None:
        self._slots = slots
        self._busy = 0
        self._average = 0.0
        self._at = now

    def change(self, busy: int, now: float) -> None:
        """Note that `busy` slots are in use from now on."""
        self._average = self.at(now)
        self._at = now
        self._busy = busy

    def at(self, now: float) -> float:
        """Return the average at `now`, 0 to 1."""
        weight = exp(-max(0.0, now - self._at) / _WINDOW_SECONDS)
        return self._average * weight + (self._busy / self._slots) * (1 - weight)
