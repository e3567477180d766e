"""Orders sessions: waiting ones by due time, due ones by deadline."""

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
"""Deadline, sequence number to order equal deadlines, session, and due time."""

_READY_LENGTH = 4
"""The length of a ready entry, which distinguishes it from a waiting one."""


class Schedule:
    """Sessions that wait, by due time, and a heap of those that are due, by deadline.

    Times are seconds on the boot-time clock. Waiting sessions are grouped by due time into slots of
    20 ms, and each slot is removed as a whole. Moving or removing a session leaves its old entry in
    place, which is skipped later. Outdated entries are removed when there are many: they would
    accumulate while no session is taken, as during an outage.
    """

    def __init__(self) -> None:
        self._sequence = 0
        self._current: dict[SessionKey, _Waiting | _Ready] = {}
        self._waiting: dict[int, list[_Waiting]] = {}
        self._slots: list[int] = []
        """A heap of the keys of `_waiting`."""
        self._entries = 0
        """The number of waiting entries, in all slots."""
        self._ready: list[_Ready] = []
        self._outdated_ready = 0
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
        self._add_waiting(entry)
        if self._entries > 64 + 2 * len(self._current):
            self._remove_outdated()

    def remove(self, key: SessionKey) -> None:
        """Remove a session; unknown ones are ignored."""
        entry = self._current.pop(key, None)
        if entry is not None and len(entry) == _READY_LENGTH:
            self._outdated_ready += 1
            if self._outdated_ready > 64 + self.backlog() // 4:
                self._ready = [each for each in self._ready if self._current.get(each[2]) is each]
                heapq.heapify(self._ready)
                self._outdated_ready = 0

    def next_due(self) -> float | None:
        """Return when the next waiting session falls due; None if no session waits."""
        while self._slots:
            waiting = self._waiting[self._slots[0]]
            dues = [entry[0] for entry in waiting if self._current.get(entry[1]) is entry]
            if dues:
                return min(dues)
            self._pop_slot()
        return None

    def advance(self, now: float) -> int:
        """Move due sessions from waiting to ready, and return the number of ready sessions."""
        latest = now + DUE_TOLERANCE
        last_slot = latest // _SLOT_SECONDS
        while self._slots and self._slots[0] <= last_slot:
            for entry in self._pop_slot():
                due, key, deadline = entry
                if self._current.get(key) is not entry:
                    continue
                if due > latest:
                    self._add_waiting(entry)
                    last_slot = -inf
                    continue
                self._sequence += 1
                ready = self._current[key] = (deadline, self._sequence, key, due)
                heapq.heappush(self._ready, ready)
        return self.backlog()

    def pop(self) -> tuple[SessionKey, float] | None:
        """Remove the ready session with the earliest deadline; return it and its due time.

        Sessions without a deadline come last.
        """
        while self._ready:
            entry = heapq.heappop(self._ready)
            _, _, key, due = entry
            if self._current.get(key) is entry:
                del self._current[key]
                return key, due
            self._outdated_ready -= 1
        return None

    def backlog(self) -> int:
        """Return the number of ready sessions."""
        return len(self._ready) - self._outdated_ready

    def _add_waiting(self, entry: _Waiting) -> None:
        slot = int(entry[0] // _SLOT_SECONDS)
        self._entries += 1
        if (waiting := self._waiting.get(slot)) is None:
            self._waiting[slot] = [entry]
            heapq.heappush(self._slots, slot)
        else:
            waiting.append(entry)

    def _pop_slot(self) -> list[_Waiting]:
        """Remove and return the first slot."""
        waiting = self._waiting.pop(heapq.heappop(self._slots))
        self._entries -= len(waiting)
        return waiting

    def _remove_outdated(self) -> None:
        slots, self._waiting, self._slots, self._entries = self._waiting, {}, [], 0
        for waiting in slots.values():
            for entry in waiting:
                if self._current.get(entry[1]) is entry:
                    self._add_waiting(entry)
