"""What the demonstration claims follows from the evidence, fact by fact."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from keepalived.demo.uploads import Fate, Upload
from keepalived.demo.verdict import Evidence, findings
from keepalived.lease.model import Kind
from keepalived.simulator.ledger import Entry, Event
from keepalived.simulator.resources import SessionEvent

LIFETIME = 4.0
ID = "session-1"


def request(route: str, time: float, finished: float | None = None) -> Entry:
    return Entry(time, "POST", route, "api", ID, None, "alias", finished=finished or time)


def events(last: SessionEvent, at: float) -> tuple[Event, ...]:
    return (
        Event(0.0, SessionEvent.CREATED, Kind.UPDATE, ID),
        Event(at, last, Kind.UPDATE, ID),
    )


def upload(fate: Fate, **changes: Any) -> Upload:
    planned = Upload("disk.ova", fate, size=100, checksum=6.0, queue=6.0)
    for name, value in changes.items():
        setattr(planned, name, value)
    return planned


REQUESTS = (
    request("update_session.create", 0.0),
    *(request("update_session.keep_alive", at) for at in (1.0, 3.0, 5.0, 7.0, 9.0, 11.0)),
    request("update_session_file.add", 6.0),
    request("upload", 6.0, finished=8.0),
    request("update_session.complete", 14.0),
)
KEPT = Evidence(
    upload=upload(Fate.KEPT, is_complete=True),
    requests=REQUESTS,
    events=events(SessionEvent.COMPLETED, 14.0),
    longest_gap=2.1,
    version=2,
    size=100,
    report={"state": "DONE", "content_moved": True},
)
UNKEPT = replace(
    KEPT,
    upload=upload(Fate.UNKEPT, trouble="HTTP 404"),
    events=events(SessionEvent.EXPIRED, 4.0),
    report=None,
)
CANCELED = replace(
    KEPT,
    upload=upload(Fate.CANCELED),
    events=events(SessionEvent.CANCELLED, 7.0),
    report={"state": "CANCELED", "content_moved": False},
)
FAILED = replace(
    KEPT,
    upload=upload(Fate.FAILED),
    events=events(SessionEvent.FAILED, 7.0),
    report={"state": "ERROR", "error_message": "the datastore is full"},
)


@pytest.mark.parametrize("evidence", [KEPT, UNKEPT, CANCELED, FAILED])
def test_everything_holds_where_everything_is_so(evidence: Evidence) -> None:
    found = findings(evidence, LIFETIME)
    assert len(found) >= 2
    assert all(finding.holds for finding in found), found


@pytest.mark.parametrize(
    ("evidence", "changes", "words"),
    [
        (KEPT, {"events": events(SessionEvent.COMPLETED, 7.9)}, "lived"),
        (KEPT, {"requests": REQUESTS[:1] + REQUESTS[7:]}, "lived"),
        (KEPT, {"longest_gap": 4.0}, "longest gap"),
        (KEPT, {"longest_gap": 0.0}, "longest gap"),
        (KEPT, {"version": 1}, "content arrived"),
        (KEPT, {"size": 99}, "content arrived"),
        (KEPT, {"report": None}, "reported"),
        (KEPT, {"report": {"state": "DONE", "content_moved": False}}, "reported"),
        (KEPT, {"report": {"state": "REMOVED", "content_moved": True}}, "reported"),
        (UNKEPT, {"events": events(SessionEvent.COMPLETED, 14.0)}, "expired"),
        (UNKEPT, {"upload": upload(Fate.UNKEPT, is_complete=True)}, "failed"),
        (CANCELED, {"events": events(SessionEvent.COMPLETED, 14.0)}, "canceled"),
        (CANCELED, {"report": None}, "reported"),
        (CANCELED, {"report": {"state": "REMOVED"}}, "reported"),
        (FAILED, {"events": events(SessionEvent.COMPLETED, 14.0)}, "failed"),
        (FAILED, {"report": {"state": "ERROR", "error_message": None}}, "reported"),
    ],
)
def test_one_fact_that_is_not_so_is_found(
    evidence: Evidence, changes: dict[str, Any], words: str
) -> None:
    broken = [
        finding for finding in findings(replace(evidence, **changes), LIFETIME) if not finding.holds
    ]
    assert len(broken) == 1
    assert words in broken[0].what


def test_an_uploader_that_was_never_silent_proves_nothing() -> None:
    chatty = tuple(request("upload", at / 2) for at in range(28))
    keep_alives = tuple(each for each in REQUESTS if each.route.endswith("keep_alive"))
    broken = [
        finding.what
        for finding in findings(replace(KEPT, requests=(*chatty, *keep_alives)), LIFETIME)
        if not finding.holds
    ]
    assert broken == ["its uploader was silent for 0.5 s at a stretch"]
