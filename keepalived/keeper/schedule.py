"""When each session is due, and in which order the due ones are taken."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from math import inf

from keepalived.lease.model import SessionKey
from keepalived.lease.timing import DUE_TOLERANCE

_SLOT_SECONDS = 0.02

_Waiting = tuple[float, SessionKey, float]
"""Due time, session, and deadline. There may be a hundred thousand of these."""

_Ready = tuple[float, int, SessionKey, float]
"""Deadline, ticket among equal deadlines, session, and the time since when it is due."""

_READY_LENGTH = 4
"""The length of a ready entry, which distinguishes it from a waiting one."""


class Schedule:
    """Sessions that wait, by due time, and a heap of those that are due, by deadline.

    Times are seconds on the boot-time clock. Waiting sessions are grouped by due time into slots of
    20 ms, and each slot is taken out as a whole, however many sessions wait. Moving or removing a
    session leaves its old entry in place, to be skipped later: an entry counts only while it is the
    session's current one. When there are many old entries they are removed, since they would pile
    up while nothing is taken out, as with a vCenter that is down.
    """

    def __init__(self) -> None:
        self._tickets = 0
        self._current: dict[SessionKey, _Waiting | _Ready] = {}
        self._waiting: dict[int, list[_Waiting]] = {}
        self._slots: list[int] = []
        """A heap of the keys of `_waiting`."""
        self._entries = 0
        """The number of waiting entries, in all slots."""
        self._ready: list[_Ready] = []
        self._left_ready = 0
        """The number of outdated entries in `_ready`."""

    def __len__(self) -> int:
        return len(self._current)

    def __iter__(self) -> Iterator[SessionKey]:
        return iter(self._current)

    def put(self, key: SessionKey, due: float, deadline: float | None) -> None:
        """Schedule a session, replacing its earlier entry."""
        entry = (due, key, inf if deadline is None else deadline)
        self.remove(key)
        self._current[key] = entry
        self._wait(entry)
        if self._entries > 64 + 2 * len(self._current):
            self._clear_away()

    def remove(self, key: SessionKey) -> None:
        """Remove a session; unknown ones are ignored."""
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
        """Move all due entries from waiting to ready, and return the number of ready ones."""
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
        """Return the ready session with the earliest deadline, and since when it was due.

        Sessions without a deadline go last: they have nothing to lose yet.
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
        """The number of sessions that are due and wait for a worker."""
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
        """Remove and return the first slot."""
        waiting = self._waiting.pop(heapq.heappop(self._slots))
        self._entries -= len(waiting)
        return waiting

    def _clear_away(self) -> None:
        everything, self._waiting, self._slots, self._entries = self._waiting, {}, [], 0
        for waiting in everything.values():
            for entry in waiting:
                if self._current.get(entry[1]) is entry:
                    self._wait(entry)
