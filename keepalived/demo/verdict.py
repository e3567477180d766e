"""Check the demo's results, from the simulator's ledger and the daemon's log; no I/O.

All times are in seconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from keepalived.demo.uploads import FAILURE, DemoUpload, Scenario
from keepalived.simulator.ledger import Event, LedgerEntry
from keepalived.simulator.resources import SessionEvent

_FIRST_VERSION = 1
_LIFETIMES_TO_OUTLIVE = 2
_MIB = 1024 * 1024

_KEEP_ALIVE = "update_session.keep_alive"
_UPLOAD = "upload"
_UPLOADERS = frozenset({"update_session_file.add", _UPLOAD, "update_session.complete"})

ENDS = {
    SessionEvent.COMPLETED: "complete",
    SessionEvent.EXPIRED: "expired",
    SessionEvent.CANCELLED: "canceled",
    SessionEvent.FAILED: "failed",
    SessionEvent.DELETED: "deleted",
}
"""The text for each way in which a session ends."""

_PLANNED_ENDS = {
    Scenario.CANCELED: SessionEvent.CANCELLED,
    Scenario.FAILED: SessionEvent.FAILED,
}


@dataclass(frozen=True, slots=True)
class Evidence:
    """All evidence about one upload.

    `requests` and `events` are the simulator's, `report` is the daemon's `session_ended` line, and
    `longest_gap` the longest time of the session without any activity. `version` and `size`
    (in bytes) are those of the library item.
    """

    upload: DemoUpload
    requests: tuple[LedgerEntry, ...]
    events: tuple[Event, ...]
    longest_gap: float
    version: int
    size: int
    report: Mapping[str, Any] | None


class Fact(NamedTuple):
    """An expected fact, whether it holds, and the evidence for it."""

    claim: str
    holds: bool
    evidence: str


class HeldSpan(NamedTuple):
    """A time span."""

    start: float
    end: float

    @property
    def length(self) -> float:
        return self.end - self.start


class _Place(NamedTuple):
    """A position in a span, and the length of that span."""

    into: float
    length: float


class Summary(NamedTuple):
    """The outcome of an upload, as the cells of a table row."""

    upload: str
    kept_by: str
    lived: str
    paused: str
    outcome: str


HEADINGS = Summary("upload", "kept by", "lived", "paused", "outcome")


def keeper_of(upload: DemoUpload) -> str:
    """Return what keeps an upload's session alive."""
    return "none" if upload.scenario is Scenario.UNKEPT else "clkeepalived"


def summary(evidence: Evidence, lifetime: float) -> Summary:
    """Return the row of an upload in the closing table."""
    ended = _ended(evidence)
    return Summary(
        upload=evidence.upload.name,
        kept_by=keeper_of(evidence.upload),
        lived=f"{_lived(evidence) / lifetime:.1f} lifetimes",
        paused=f"{_longest_pause(evidence):.1f} s",
        outcome=_outcome(evidence, ended),
    )


def findings(evidence: Evidence, lifetime: float) -> list[Fact]:
    """Return the facts about one upload. `lifetime` is that of a session without activity."""
    match evidence.upload.scenario:
        case Scenario.KEPT:
            found = _kept(evidence, lifetime)
        case Scenario.UNKEPT:
            found = _unkept(evidence, lifetime)
        case Scenario.CANCELED:
            found = _ended_halfway(evidence, SessionEvent.CANCELLED, "CANCELED", None)
        case Scenario.FAILED:
            found = _ended_halfway(evidence, SessionEvent.FAILED, "ERROR", FAILURE)
    return list(found)


def _outcome(evidence: Evidence, ended: Event | None) -> str:
    """Return how an upload ended; an end that the demo itself caused is not called a loss."""
    end = ENDS[ended.event] if ended else "open"
    if _has_arrived(evidence):
        return f"{end}, arrived"
    is_planned = ended is not None and _PLANNED_ENDS.get(evidence.upload.scenario) is ended.event
    return f"{end} on purpose" if is_planned else f"{end}, lost"


def pauses(evidence: Evidence) -> list[HeldSpan]:
    """Return the spans in which the server saw no activity of the uploader.

    They cover the time from the creation of its session to its last request.
    """
    if not evidence.events:
        return []
    since, found = evidence.events[0].time, []
    for entry in evidence.requests:
        if entry.route in _UPLOADERS:
            found.append(HeldSpan(since, entry.time))
            since = entry.finished or entry.time
    return found


def _kept(evidence: Evidence, lifetime: float) -> Iterator[Fact]:
    lived, keep_alives = _lived(evidence), _keep_alives(evidence)
    yield Fact(
        "outlived its lifetime",
        lived > _LIFETIMES_TO_OUTLIVE * lifetime and keep_alives > _LIFETIMES_TO_OUTLIVE,
        f"{lived / lifetime:.1f} lifetimes ({lived:.1f} s) by {keep_alives} keep-alives",
    )
    too_long = [each for each in pauses(evidence) if each.length > lifetime]
    yield Fact(
        "although its uploader paused",
        bool(too_long),
        f"{len(too_long)} times longer than {lifetime:g} s, up to {_longest_pause(evidence):.1f} s",
    )
    yield Fact(
        "was never idle that long",
        0 < evidence.longest_gap < lifetime,
        f"at most {evidence.longest_gap:.1f} s without activity",
    )
    yield Fact(
        "its content arrived",
        _has_arrived(evidence) and evidence.size == evidence.upload.size,
        f"{_mib(evidence.size)} of {_mib(evidence.upload.size)}, version {evidence.version}",
    )
    yield _reported(evidence, "DONE", has_arrived=True)


def _unkept(evidence: Evidence, lifetime: float) -> Iterator[Fact]:
    keep_alives = _keep_alives(evidence)
    yield Fact("was not kept alive", keep_alives == 0, f"{keep_alives} keep-alives")
    place = _place_of_end(evidence, SessionEvent.EXPIRED, pauses(evidence))
    yield Fact(
        "expired during a pause",
        place is not None and place.length > lifetime,
        f"{place.into:.1f} s into a pause of {place.length:.1f} s" if place else "it did not",
    )
    yield from _lost(evidence)


def _ended_halfway(
    evidence: Evidence, event: SessionEvent, state: str, message: str | None
) -> Iterator[Fact]:
    transfers = [
        HeldSpan(entry.time, entry.finished or entry.time)
        for entry in evidence.requests
        if entry.route == _UPLOAD
    ]
    place = _place_of_end(evidence, event, transfers)
    yield Fact(
        f"{ENDS[event]} during its transfer",
        place is not None,
        f"on the server, {place.into:.1f} s into it" if place else "it was not",
    )
    yield from _lost(evidence)
    yield _reported(evidence, state, has_arrived=False, message=message)


def _lost(evidence: Evidence) -> Iterator[Fact]:
    trouble, version = evidence.upload.trouble, evidence.version
    yield Fact("its upload failed", bool(trouble), trouble or "it did not")
    yield Fact("its content did not arrive", version == _FIRST_VERSION, f"version {version}")


def _ended(evidence: Evidence) -> Event | None:
    ends = (each for each in evidence.events if each.event is not SessionEvent.CREATED)
    return next(ends, None)


def _lived(evidence: Evidence) -> float:
    ended = _ended(evidence)
    return ended.time - evidence.events[0].time if ended else 0.0


def _keep_alives(evidence: Evidence) -> int:
    """Return how many keep-alives the server accepted."""
    return sum(
        entry.route == _KEEP_ALIVE and entry.status is not None and entry.status < 300
        for entry in evidence.requests
    )


def _has_arrived(evidence: Evidence) -> bool:
    return evidence.version > _FIRST_VERSION


def _longest_pause(evidence: Evidence) -> float:
    return max((each.length for each in pauses(evidence)), default=0.0)


def _place_of_end(
    evidence: Evidence, event: SessionEvent, spans: Iterable[HeldSpan]
) -> _Place | None:
    """Return the place in `spans` where a session ended in this way, or None."""
    ended = _ended(evidence)
    if ended is None or ended.event is not event:
        return None
    found = (each for each in spans if each.start < ended.time < each.end)
    return next((_Place(ended.time - each.start, each.length) for each in found), None)


def _mib(size: int) -> str:
    return f"{size / _MIB:g} MiB"


def _reported(
    evidence: Evidence, state: str, *, has_arrived: bool, message: str | None = None
) -> Fact:
    report = evidence.report or {}
    error, moved = report.get("error_message"), report.get("content_moved")
    holds = report.get("state") == state and moved is has_arrived and message in (None, error)
    content = None if moved is None else f"{'the' if moved else 'no'} content arrived"
    text = ": ".join(filter(None, (report.get("state"), error or content)))
    return Fact("its end was reported", holds, text or "not at all")
