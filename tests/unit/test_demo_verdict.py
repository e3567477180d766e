"""What the demonstration claims follows from the evidence, fact by fact."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from keepalived.demo.uploads import FAILURE, DemoUpload, Scenario
from keepalived.demo.verdict import Evidence, findings, pauses, summary
from keepalived.lease.model import Kind
from keepalived.simulator.ledger import Event, LedgerEntry
from keepalived.simulator.resources import SessionEvent

LIFETIME = 4.0
ID = "session-1"
MIB = 1024 * 1024


def request(
    route: str, time: float, *, finished: float | None = None, status: int = 200
) -> LedgerEntry:
    ended = finished or time
    return LedgerEntry(time, "POST", route, "api", ID, None, "a", status=status, finished=ended)


def events(last: SessionEvent, at: float) -> tuple[Event, ...]:
    return (
        Event(0.0, SessionEvent.CREATED, Kind.UPDATE, ID),
        Event(at, last, Kind.UPDATE, ID),
    )


def upload(scenario: Scenario, trouble: str = "") -> DemoUpload:
    return DemoUpload("disk.ova", scenario, 4 * MIB, checksum=6.0, queue=6.0, trouble=trouble)


KEEP_ALIVES = tuple(request("update_session.keep_alive", at) for at in (1, 3, 5, 7, 9, 11, 13))
TRANSFER = (
    request("update_session_file.add", 6.0),
    request("upload", 6.1, finished=8.0),
)
COMPLETE = request("update_session.complete", 14.0)
CHATTER = tuple(request("upload", at) for at in (3.0, 6.0, 9.0, 12.0))

KEPT = Evidence(
    upload=upload(Scenario.KEPT),
    requests=(*KEEP_ALIVES, *TRANSFER, COMPLETE),
    events=events(SessionEvent.COMPLETED, 14.0),
    longest_gap=2.1,
    version=2,
    size=4 * MIB,
    report={"state": "DONE", "content_moved": True},
)
UNKEPT = replace(
    KEPT,
    upload=upload(Scenario.UNKEPT, trouble="adding the file: HTTP 404"),
    requests=(request("update_session_file.add", 6.0, status=404),),
    events=events(SessionEvent.EXPIRED, 4.0),
    version=1,
    size=0,
    report=None,
)
CANCELED = replace(
    KEPT,
    upload=upload(Scenario.CANCELED, trouble="the transfer was refused: HTTP 400"),
    requests=(*KEEP_ALIVES, *TRANSFER),
    events=events(SessionEvent.CANCELLED, 7.0),
    version=1,
    size=0,
    report={"state": "CANCELED", "content_moved": False},
)
FAILED = replace(
    CANCELED,
    upload=upload(Scenario.FAILED, trouble="the transfer was cut off"),
    events=events(SessionEvent.FAILED, 7.0),
    report={"state": "ERROR", "error_message": FAILURE, "content_moved": False},
)


@pytest.mark.parametrize("evidence", [KEPT, UNKEPT, CANCELED, FAILED])
def test_everything_holds_where_everything_is_so(evidence: Evidence) -> None:
    found = findings(evidence, LIFETIME)
    assert len(found) >= 4
    assert all(finding.holds for finding in found), found


@pytest.mark.parametrize(
    ("evidence", "changes", "claim", "words"),
    [
        (KEPT, {"events": events(SessionEvent.COMPLETED, 7.9)}, "outlived", "2.0 lifetimes"),
        (KEPT, {"requests": (*KEEP_ALIVES[:2], *TRANSFER, COMPLETE)}, "outlived", "by 2 keep"),
        (KEPT, {"requests": KEEP_ALIVES}, "paused", "0 times"),
        (
            KEPT,
            {"requests": (*KEEP_ALIVES, *CHATTER, COMPLETE)},
            "paused",
            "0 times longer than 4 s",
        ),
        (KEPT, {"longest_gap": 4.0}, "never idle", "4.0 s"),
        (KEPT, {"longest_gap": 0.0}, "never idle", "0.0 s"),
        (KEPT, {"version": 1}, "arrived", "version 1"),
        (KEPT, {"size": 3 * MIB}, "arrived", "3 MiB of 4 MiB"),
        (KEPT, {"report": None}, "reported", "not at all"),
        (KEPT, {"report": {"state": "DONE", "content_moved": False}}, "reported", "no content"),
        (KEPT, {"report": {"state": "REMOVED", "content_moved": True}}, "reported", "REMOVED"),
        (
            UNKEPT,
            {"requests": (KEEP_ALIVES[0], *UNKEPT.requests)},
            "not kept alive",
            "1 keep-alives",
        ),
        (UNKEPT, {"events": events(SessionEvent.FAILED, 4.0)}, "expired", "it did not"),
        (UNKEPT, {"events": UNKEPT.events[:1]}, "expired", "it did not"),
        (
            UNKEPT,
            {"requests": (request("upload", 3.9), *UNKEPT.requests)},
            "expired",
            "into a pause of 2.1 s",
        ),
        (UNKEPT, {"upload": upload(Scenario.UNKEPT)}, "upload failed", "it did not"),
        (UNKEPT, {"version": 2}, "not arrive", "version 2"),
        (UNKEPT, {"version": 0}, "not arrive", "version 0"),
        (CANCELED, {"events": events(SessionEvent.FAILED, 7.0)}, "canceled during", "it was not"),
        (
            CANCELED,
            {"events": events(SessionEvent.CANCELLED, 9.0)},
            "canceled during",
            "it was not",
        ),
        (CANCELED, {"requests": KEEP_ALIVES}, "canceled during", "it was not"),
        (CANCELED, {"upload": upload(Scenario.CANCELED)}, "upload failed", "it did not"),
        (CANCELED, {"version": 2}, "not arrive", "version 2"),
        (CANCELED, {"report": None}, "reported", "not at all"),
        (CANCELED, {"report": {"state": "REMOVED", "content_moved": False}}, "reported", "REMOVED"),
        (CANCELED, {"report": {"state": "CANCELED"}}, "reported", "CANCELED"),
        (FAILED, {"events": events(SessionEvent.CANCELLED, 7.0)}, "failed during", "it was not"),
        (FAILED, {"upload": upload(Scenario.FAILED)}, "upload failed", "it did not"),
        (FAILED, {"version": 2}, "not arrive", "version 2"),
        (FAILED, {"report": {**(FAILED.report or {}), "state": "DONE"}}, "reported", "DONE"),
        (FAILED, {"report": {"state": "ERROR", "content_moved": False}}, "reported", "ERROR"),
        (
            FAILED,
            {"report": {"state": "ERROR", "error_message": "no", "content_moved": False}},
            "reported",
            "ERROR: no",
        ),
    ],
)
def test_one_fact_that_is_not_so_is_found_and_shown(
    evidence: Evidence, changes: dict[str, Any], claim: str, words: str
) -> None:
    found = findings(replace(evidence, **changes), LIFETIME)
    broken = [finding for finding in found if not finding.holds]
    assert len(broken) == 1, found
    assert claim in broken[0].claim
    assert words in broken[0].evidence


def test_keep_alives_that_the_server_refused_keep_nothing() -> None:
    refused = tuple(replace(each, status=503) for each in KEEP_ALIVES)
    unanswered = tuple(replace(each, status=None) for each in KEEP_ALIVES)
    broken = [
        finding.evidence
        for finding in findings(
            replace(KEPT, requests=(*refused, *unanswered, *TRANSFER, COMPLETE)), LIFETIME
        )
        if not finding.holds
    ]
    assert broken == ["3.5 lifetimes (14.0 s) by 0 keep-alives"]


def test_the_checksum_before_the_first_file_is_a_pause_and_the_transfer_is_none() -> None:
    assert [tuple(each) for each in pauses(KEPT)] == [(0.0, 6.0), (6.0, 6.1), (8.0, 14.0)]


def test_an_upload_that_never_began_proves_nothing_and_breaks_nothing() -> None:
    for whole in (KEPT, UNKEPT, CANCELED, FAILED):
        nothing = replace(
            whole, requests=(), events=(), longest_gap=0.0, version=0, size=0, report=None
        )
        found = findings(nothing, LIFETIME)
        assert not all(finding.holds for finding in found)
        assert summary(nothing, LIFETIME).outcome == "open, lost"


def test_each_upload_is_summed_up_in_words() -> None:
    assert summary(KEPT, LIFETIME) == (
        *("disk.ova", "clkeepalived", "3.5 lifetimes", "6.0 s", "complete, arrived"),
    )
    assert summary(UNKEPT, LIFETIME) == (
        *("disk.ova", "none", "1.0 lifetimes", "6.0 s", "expired, lost"),
    )
    assert summary(CANCELED, LIFETIME).outcome == "canceled on purpose"
    assert summary(FAILED, LIFETIME).outcome == "failed on purpose"
    expired = replace(CANCELED, events=events(SessionEvent.EXPIRED, 7.0))
    assert summary(expired, LIFETIME).outcome == "expired, lost"
    assert summary(replace(CANCELED, version=2), LIFETIME).outcome == "canceled, arrived"


def test_what_is_deleted_after_its_end_has_lived_until_its_end() -> None:
    deleted = Event(99.0, SessionEvent.DELETED, Kind.UPDATE, ID)
    assert summary(replace(KEPT, events=(*KEPT.events, deleted)), LIFETIME) == summary(
        KEPT, LIFETIME
    )
