"""The ledger: every request with its time, and the events of every session.

Times are in seconds on the simulator's monotonic clock.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import NamedTuple

from keepalived.lease.model import Kind
from keepalived.simulator.resources import ServerSession, SessionEvent


@dataclass(slots=True)
class LedgerEntry:
    """One request.

    `route` is the operation's name, such as `update_session.keep_alive`, and empty for an unknown
    route. `login` names the caller's token without revealing it. `concurrent` counts the requests
    (other than for content) that were in flight on the same session when this one arrived,
    including this one. `status` is None until the request is answered, and stays None if it never
    is; `fault` then gives the reason.
    """

    time: float
    method: str
    route: str
    dialect: str
    session_id: str | None
    client_progress: int | None
    login: str
    concurrent: int = 0
    status: int | None = None
    finished: float | None = None
    fault: str = ""


class Event(NamedTuple):
    """An event of a session."""

    time: float
    event: SessionEvent
    kind: Kind
    session_id: str


@dataclass(slots=True)
class SessionRecord:
    """The totals of one session, independent of the limit on entries."""

    attempts: int = 0
    activities: int = 0
    last_activity: float | None = None
    longest_gap: float = 0.0
    in_flight: int = 0
    most_concurrent: int = 0
    ended: SessionEvent | None = None


class Ledger:
    """Keeps the last `limit` requests (None: all; 0: none), and every event and counter."""

    def __init__(self, limit: int | None = None) -> None:
        self.entries: deque[LedgerEntry] = deque(maxlen=limit)
        self.events: list[Event] = []
        self.total = 0
        self.first_time: float | None = None
        self.last_time: float | None = None
        self._answers: Counter[tuple[str, int | None]] = Counter()
        self._records: defaultdict[str, SessionRecord] = defaultdict(SessionRecord)

    # Written by the simulator

    def begin(self, entry: LedgerEntry, *, is_content: bool) -> None:
        """Record the arrival of a request."""
        self.total += 1
        if self.first_time is None:
            self.first_time = entry.time
        self.last_time = entry.time
        if entry.session_id is not None and not is_content:
            record = self._records[entry.session_id]
            record.attempts += 1
            record.in_flight += 1
            entry.concurrent = record.in_flight
            record.most_concurrent = max(record.most_concurrent, record.in_flight)
        self.entries.append(entry)

    def finish(self, entry: LedgerEntry, at: float) -> None:
        """Record that a request was answered, or never will be."""
        entry.finished = at
        self._answers[entry.route, entry.status] += 1
        if entry.concurrent and entry.session_id is not None:
            self._records[entry.session_id].in_flight -= 1

    def happened(self, event: SessionEvent, session: ServerSession, at: float) -> None:
        """Record an event of a session."""
        self.events.append(Event(at, event, session.kind, session.id))
        if event is not SessionEvent.CREATED:
            record = self._records[session.id]
            if record.ended is None:
                record.ended = event
                self._extend(record, at)

    def active(self, session: ServerSession, at: float) -> None:
        """Record that a session's lifetime was extended."""
        record = self._records[session.id]
        record.activities += 1
        self._extend(record, at)
        record.last_activity = at

    # Read by tests, the demonstration and the admin endpoint

    def requests(
        self,
        route: str = "*",
        *,
        session_id: str | None = None,
        login: str | None = None,
        status: int | None = None,
    ) -> list[LedgerEntry]:
        """Return the kept entries of a route (name or `*` pattern) that match all filters."""
        return [
            entry
            for entry in self.entries
            if fnmatchcase(entry.route, route)
            and session_id in (None, entry.session_id)
            and login in (None, entry.login)
            and status in (None, entry.status)
        ]

    def count(self, route: str = "*", *, status: int | None = None) -> int:
        """Return the number of answered requests, kept or not."""
        return sum(
            number
            for (name, answer), number in self._answers.items()
            if fnmatchcase(name, route) and status in (None, answer)
        )

    def attempts(self, session_id: str) -> int:
        """Return the number of requests on a session, other than for content."""
        return self.session(session_id).attempts

    def longest_gap(self, session_id: str) -> float:
        """Return the longest time, in seconds, of a session without activity until its end."""
        return self.session(session_id).longest_gap

    def most_concurrent(self, session_id: str | None = None) -> int:
        """Return the most simultaneous requests on one session, or on any."""
        if session_id is not None:
            return self.session(session_id).most_concurrent
        return max((each.most_concurrent for each in self._records.values()), default=0)

    def session(self, session_id: str) -> SessionRecord:
        """Return the record of a session, empty if it is unknown."""
        return self._records.get(session_id, SessionRecord())

    def sessions(self) -> Iterator[tuple[str, SessionRecord]]:
        """Return the id and record of every known session."""
        yield from self._records.items()

    def events_of(self, session_id: str) -> list[Event]:
        """Return the events of a session."""
        return [event for event in self.events if event.session_id == session_id]

    def requests_per_second(self, since: float | None = None, until: float | None = None) -> float:
        """Return the mean rate of all requests or, from the kept entries, of a time span."""
        if self.first_time is None or self.last_time is None:
            return 0.0
        start = self.first_time if since is None else since
        end = self.last_time if until is None else until
        number = self.total
        if since is not None or until is not None:
            number = sum(start <= entry.time < end for entry in self.entries)
        return number / (end - start) if end > start else 0.0

    @staticmethod
    def _extend(record: SessionRecord, at: float) -> None:
        if record.last_activity is not None:
            record.longest_gap = max(record.longest_gap, at - record.last_activity)
