"""Who is due when, and who of those goes first."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from math import inf

from keepalived.lease.model import SessionKey
from keepalived.lease.timing import DUE_TOLERANCE

_Entry = tuple[float, int, SessionKey, float]
"""What it is ordered by, its ticket, whose it is, and what it will be ordered by, or was before."""


class Schedule:
    """Two heaps: sessions that wait, by when they fall due, and those that are due, by deadline.

    Times are seconds on the boot-time clock. Moving or removing a session leaves its old entry in
    its heap, to be passed over when it comes up: an entry counts only while it is the session's
    current one. A heap that is mostly passed-over entries is rebuilt.
    """

    def __init__(self) -> None:
        self._tickets = 0
        self._current: dict[SessionKey, _Entry] = {}
        self._waiting: list[_Entry] = []
        self._ready: list[_Entry] = []

    def __len__(self) -> int:
        return len(self._current)

    def __iter__(self) -> Iterator[SessionKey]:
        return iter(self._current)

    def put(self, key: SessionKey, due: float, deadline: float | None) -> None:
        """Schedule a session, in place of where it stood before."""
        self._tickets += 1
        entry = (due, self._tickets, key, inf if deadline is None else deadline)
        self._current[key] = entry
        heapq.heappush(self._waiting, entry)
        if len(self._waiting) > 64 + 2 * len(self._current):
            self._waiting = [entry for entry in self._waiting if self._is_current(entry)]
            heapq.heapify(self._waiting)

    def remove(self, key: SessionKey) -> None:
        """Forget a session; unknown ones are no error."""
        self._current.pop(key, None)

    def next_due(self) -> float | None:
        """When the next waiting session falls due; None when nothing waits."""
        while self._waiting and not self._is_current(self._waiting[0]):
            heapq.heappop(self._waiting)
        return self._waiting[0][0] if self._waiting else None

    def advance(self, now: float) -> int:
        """Move everything that is due from the waiting to the ready, and count the ready."""
        while (due := self.next_due()) is not None and due - now <= DUE_TOLERANCE:
            _, ticket, key, deadline = heapq.heappop(self._waiting)
            entry = (deadline, ticket, key, due)
            self._current[key] = entry
            heapq.heappush(self._ready, entry)
        return len(self._ready)

    def pop(self) -> tuple[SessionKey, float] | None:
        """Take the ready session with the earliest deadline, and say since when it was due.

        Those without a deadline go last among equals: nothing of theirs can be lost yet.
        """
        while self._ready:
            entry = heapq.heappop(self._ready)
            if self._is_current(entry):
                _, _, key, due = entry
                del self._current[key]
                return key, due
        return None

    def backlog(self) -> int:
        """How many sessions are due and not taken up (an upper bound)."""
        return len(self._ready)

    def _is_current(self, entry: _Entry) -> bool:
        return self._current.get(entry[2]) is entry
