"""What the simulator's ledger and the daemon's log prove. Pure: evidence in, findings out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from keepalived.demo.uploads import Fate, Upload
from keepalived.simulator.ledger import Entry, Event
from keepalived.simulator.resources import SessionEvent

_UPLOADERS = (
    "update_session.create",
    "update_session_file.add",
    "upload",
    "update_session.complete",
)


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything known of one upload.

    `requests` and `events` are the simulator's, `report` is the daemon's `session_ended` line, and
    `longest_gap` the longest time that the session went without any activity, in seconds.
    """

    upload: Upload
    requests: tuple[Entry, ...]
    events: tuple[Event, ...]
    longest_gap: float
    version: int
    size: int
    report: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that had to be so, and whether it was."""

    upload: str
    what: str
    holds: bool


def findings(evidence: Evidence, lifetime: float) -> list[Finding]:
    """Return what is found of one upload."""
    by_fate = {
        Fate.KEPT: _kept,
        Fate.UNKEPT: _unkept,
        Fate.CANCELED: _canceled,
        Fate.FAILED: _failed,
    }
    name = evidence.upload.name
    return [
        Finding(name, what, holds)
        for what, holds in by_fate[evidence.upload.fate](evidence, lifetime)
    ]


def _kept(evidence: Evidence, lifetime: float) -> Iterable[tuple[str, bool]]:
    lived, silence = _lived(evidence), longest_silence(evidence.requests)
    keep_alives = sum(entry.route == "update_session.keep_alive" for entry in evidence.requests)
    yield (
        f"lived {lived:.1f} s, {lived / lifetime:.1f} lifetimes, by {keep_alives} keep-alives",
        lived > 2 * lifetime and keep_alives > 2,
    )
    yield f"its uploader was silent for {silence:.1f} s at a stretch", silence > lifetime
    yield (
        f"its longest gap without activity was {evidence.longest_gap:.1f} s of {lifetime:g} s",
        0 < evidence.longest_gap < lifetime,
    )
    arrived = evidence.version > 1 and evidence.size == evidence.upload.size
    yield f"its content arrived: {evidence.size} bytes, version {evidence.version}", arrived
    report = evidence.report or {}
    yield (
        f"reported as {_reported(report)}",
        report.get("state") == "DONE" and report.get("content_moved") is True,
    )


def _unkept(evidence: Evidence, lifetime: float) -> Iterable[tuple[str, bool]]:
    yield (
        f"expired after {_lived(evidence):.1f} s without a keeper",
        _happened(evidence, SessionEvent.EXPIRED),
    )
    trouble = evidence.upload.trouble
    yield f"its upload failed: {trouble or 'no, it completed'}", bool(trouble)


def _canceled(evidence: Evidence, lifetime: float) -> Iterable[tuple[str, bool]]:
    yield "canceled on the server, halfway", _happened(evidence, SessionEvent.CANCELLED)
    report = evidence.report or {}
    yield f"reported as {_reported(report)}", report.get("state") == "CANCELED"


def _failed(evidence: Evidence, lifetime: float) -> Iterable[tuple[str, bool]]:
    yield "failed on the server, halfway", _happened(evidence, SessionEvent.FAILED)
    report = evidence.report or {}
    yield (
        f"reported as {_reported(report)}",
        report.get("state") == "ERROR" and "datastore is full" in str(report.get("error_message")),
    )


def longest_silence(requests: Iterable[Entry]) -> float:
    """Return the longest time in seconds that an uploader itself was not heard of."""
    silence, heard = 0.0, None
    for entry in requests:
        if entry.route not in _UPLOADERS:
            continue
        if heard is not None:
            silence = max(silence, entry.time - heard)
        heard = entry.finished or entry.time
    return silence


def _lived(evidence: Evidence) -> float:
    return evidence.events[-1].time - evidence.events[0].time if evidence.events else 0.0


def _happened(evidence: Evidence, event: SessionEvent) -> bool:
    return any(each.event is event for each in evidence.events)


def _reported(report: Mapping[str, Any]) -> str:
    if not report:
        return "nothing at all"
    parts = [str(report["state"])]
    if report.get("error_message"):
        parts.append(f"({report['error_message']})")
    if report.get("content_moved") is not None:
        parts.append("content arrived" if report["content_moved"] else "content did not arrive")
    return " ".join(parts)
