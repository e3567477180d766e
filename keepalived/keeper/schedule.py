"""Who is due when, and who of those goes first."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from math import inf

from keepalived.lease.model import SessionKey
from keepalived.lease.timing import DUE_TOLERANCE

_SLOT_SECONDS = 0.02

_Waiting = tuple[float, SessionKey, float]
"""When it is due, whose it is, and its deadline. There may be a hundred thousand of these."""

_Ready = tuple[float, int, SessionKey, float]
"""Its deadline, its ticket among those of the same deadline, whose it is, and when it was due."""

_READY_LENGTH = 4
"""By which a ready entry is told from one that waits."""


class Schedule:
    """Sessions that wait, by when they fall due, and a heap of those that are due, by deadline.

    Times are seconds on the boot-time clock. Who waits stands in the slot of 20 ms that it falls
    due in: what falls due together is taken out together, however many wait. Moving or removing a
    session leaves its old entry where it was, to be passed over when it comes up: an entry counts
    only while it is the session's current one. When many entries are such, they are cleared away:
    while nothing is taken out, as with a vCenter that is down, they would become ever more.
    """

    def __init__(self) -> None:
        self._tickets = 0
        self._current: dict[SessionKey, _Waiting | _Ready] = {}
        self._waiting: dict[int, list[_Waiting]] = {}
        self._slots: list[int] = []
        """A heap of the keys of `_waiting`."""
        self._entries = 0
        """How many entries wait, in all slots."""
        self._ready: list[_Ready] = []
        self._left_ready = 0
        """How many entries in `_ready` are no session's current one."""

    def __len__(self) -> int:
        return len(self._current)

    def __iter__(self) -> Iterator[SessionKey]:
        return iter(self._current)

    def put(self, key: SessionKey, due: float, deadline: float | None) -> None:
        """Schedule a session, in place of where it stood before."""
        entry = (due, key, inf if deadline is None else deadline)
        self.remove(key)
        self._current[key] = entry
        self._wait(entry)
        if self._entries > 64 + 2 * len(self._current):
            self._clear_away()

    def remove(self, key: SessionKey) -> None:
        """Forget a session; unknown ones are no error."""
        entry = self._current.pop(key, None)
        if entry is not None and len(entry) == _READY_LENGTH:
            self._left_ready += 1
            if self._left_ready > 64 + self.backlog() // 4:
                self._ready = [each for each in self._ready if self._current.get(each[2]) is each]
                heapq.heapify(self._ready)
                self._left_ready = 0

    def next_due(self) -> float | None:
        """When the next waiting session falls due; None when nothing waits."""
        while self._slots:
            waiting = self._waiting[self._slots[0]]
            dues = [entry[0] for entry in waiting if self._current.get(entry[1]) is entry]
            if dues:
                return min(dues)
            self._next_slot()
        return None

    def advance(self, now: float) -> int:
        """Move everything that is due from the waiting to the ready, and count the ready."""
        latest = now + DUE_TOLERANCE
        last_slot = latest // _SLOT_SECONDS
        while self._slots and self._slots[0] <= last_slot:
            for entry in self._next_slot():
                due, key, deadline = entry
                if self._current.get(key) is not entry:
                    continue
                if due > latest:
                    self._wait(entry)
                    last_slot = -inf
                    continue
                self._tickets += 1
                ready = self._current[key] = (deadline, self._tickets, key, due)
                heapq.heappush(self._ready, ready)
        return self.backlog()

    def pop(self) -> tuple[SessionKey, float] | None:
        """Take the ready session with the earliest deadline, and say since when it was due.

        Those without a deadline go last among equals: nothing of theirs can be lost yet.
        """
        while self._ready:
            entry = heapq.heappop(self._ready)
            _, _, key, due = entry
            if self._current.get(key) is entry:
                del self._current[key]
                return key, due
            self._left_ready -= 1
        return None

    def backlog(self) -> int:
        """How many sessions are due and not taken up."""
        return len(self._ready) - self._left_ready

    def _wait(self, entry: _Waiting) -> None:
        slot = int(entry[0] // _SLOT_SECONDS)
        self._entries += 1
        if (waiting := self._waiting.get(slot)) is None:
            self._waiting[slot] = [entry]
            heapq.heappush(self._slots, slot)
        else:
            waiting.append(entry)

    def _next_slot(self) -> list[_Waiting]:
        """Take out the first slot."""
        waiting = self._waiting.pop(heapq.heappop(self._slots))
        self._entries -= len(waiting)
        return waiting

    def _clear_away(self) -> None:
        everything, self._waiting, self._slots, self._entries = self._waiting, {}, [], 0
        for waiting in everything.values():
            for entry in waiting:
                if self._current.get(entry[1]) is entry:
                    self._wait(entry)
