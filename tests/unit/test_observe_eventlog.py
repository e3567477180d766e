"""What the operator reads about sessions, how loudly, and how often."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable
from typing import Any

import pytest

from keepalived.lease import events
from keepalived.lease.answers import FileInfo, Outcome
from keepalived.lease.events import SessionEnd
from keepalived.lease.holds import Hold, Owner, OwnerKind
from keepalived.lease.model import FINAL_STATES, Kind, SessionKey, State
from keepalived.observe.eventlog import EventLog
from keepalived.observe.logs import configure_logging

KEY = SessionKey("lab", Kind.UPDATE, "815994e5:9c7e16e9")
Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def lines(untouched_root: None) -> Lines:
    """Return a function that gives our own lines written since it was last called."""
    stream = io.StringIO()
    configure_logging(format="json", level="debug", stream=stream)

    def written() -> list[dict[str, Any]]:
        text = stream.getvalue()
        stream.seek(0)
        stream.truncate()
        told = [json.loads(line) for line in text.splitlines()]
        return [event for event in told if "logger" not in event]

    return written


@pytest.fixture
def log() -> EventLog:
    return EventLog()


def held_by(kind: str) -> Hold:
    return Hold(0, Owner(OwnerKind(kind)), 0.0, None)


def fail(
    log: EventLog,
    outcome: Outcome = Outcome.TIMED_OUT,
    detail: str = "no answer within 10 s",
    slack: float | None = 140.0,
    key: SessionKey = KEY,
    lifetime: float = 300.0,
) -> None:
    log.notify(events.RenewalFailed(key, outcome, detail, 1.5, slack, lifetime))


def renew(log: EventLog, *, first: bool = False) -> None:
    log.notify(events.Renewed(KEY, first, None if first else 150.0, 10))


def end(state: State, **details: Any) -> SessionEnd:
    return SessionEnd(
        **{
            "key": KEY,
            "state": state,
            "reason": "the server says so",
            "error_message": None,
            "held_seconds": 1234.56789,
            "keep_alives": 9,
            "progress": 80,
            "library": "Templates",
            "item": "debian-12",
            "content_moved": True,
        }
        | details
    )


def said(told: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(event["level"], event["event"]) for event in told]


def test_the_first_renewal_is_information_and_the_others_are_debug(
    log: EventLog, lines: Lines
) -> None:
    renew(log, first=True)
    renew(log)

    first, second = lines()
    assert said([first, second]) == [("info", "first_renewal"), ("debug", "renewed")]
    assert {k: first[k] for k in ("vcenter", "session_id", "kind")} == {
        "vcenter": "lab",
        "session_id": "815994e5:9c7e16e9",
        "kind": "update",
    }
    assert second["slack"] == 150.0
    assert second["progress"] == 10


def test_at_info_the_renewals_and_holds_of_a_quiet_day_are_silent(
    log: EventLog, lines: Lines
) -> None:
    logging.getLogger().setLevel(logging.INFO)
    log.notify(events.HoldTaken(KEY, held_by("file")))
    renew(log)
    log.notify(events.LifetimeLearned(KEY, 300.0, 299.8))
    log.notify(events.HoldReleased(KEY, held_by("file"), State.ACTIVE))

    assert lines() == []
    fail(log)
    fail(log)
    assert said(lines()) == [("warning", "renewal_failed")]


def test_holds_are_told_with_their_source(log: EventLog, lines: Lines) -> None:
    log.notify(events.HoldTaken(KEY, held_by("file")))
    log.notify(events.HoldReleased(KEY, held_by("command"), State.ACTIVE))

    taken, released = lines()
    assert (taken["event"], taken["source"]) == ("hold_taken", "file")
    assert (released["event"], released["source"]) == ("hold_released", "command")


def test_a_failing_session_warns_once_and_again_when_the_outcome_changes(
    log: EventLog, lines: Lines
) -> None:
    fail(log)
    fail(log, detail="no answer within 20 s")
    fail(log, Outcome.UNAVAILABLE, "503 Service Unavailable")
    fail(log, Outcome.UNAVAILABLE, "503 Service Unavailable")

    told = lines()
    assert [event["level"] for event in told] == ["warning", "debug", "warning", "debug"]
    assert {event["event"] for event in told} == {"renewal_failed"}
    assert told[2] | {"timestamp": ""} == {
        "timestamp": "",
        "level": "warning",
        "event": "renewal_failed",
        "vcenter": "lab",
        "session_id": "815994e5:9c7e16e9",
        "kind": "update",
        "outcome": "unavailable",
        "detail": "503 Service Unavailable",
        "failures": 3,
        "retry_in": 1.5,
        "slack": 140.0,
    }


def test_each_round_warns_anew_and_its_end_is_information(log: EventLog, lines: Lines) -> None:
    fail(log)
    fail(log)
    renew(log)
    fail(log)

    told = lines()
    assert said(told) == [
        ("warning", "renewal_failed"),
        ("debug", "renewal_failed"),
        ("info", "renewal_recovered"),
        ("warning", "renewal_failed"),
    ]
    assert told[2]["failures"] == 2
    assert told[3]["failures"] == 1


def test_another_missing_privilege_is_news(log: EventLog, lines: Lines) -> None:
    fail(log, Outcome.FORBIDDEN, "privilege System.Read is missing")
    fail(log, Outcome.FORBIDDEN, "privilege System.Read is missing")
    fail(log, Outcome.FORBIDDEN, "privilege ContentLibrary.UpdateSession is missing")

    told = lines()
    assert [event["level"] for event in told] == ["warning", "debug", "warning"]
    assert told[2]["detail"] == "privilege ContentLibrary.UpdateSession is missing"


def test_being_at_risk_and_being_overdue_are_said_once_a_round(log: EventLog, lines: Lines) -> None:
    for slack in (121.0, 119.0, 60.0, -1.0, -2.0):
        fail(log, slack=slack)
    renew(log)
    fail(log, slack=100.0)

    dangers = [event for event in lines() if event["event"].startswith("session_")]
    assert [(event["event"], event["slack"]) for event in dangers] == [
        ("session_at_risk", 119.0),
        ("session_overdue", -1.0),
        ("session_at_risk", 100.0),
    ]
    assert {event["level"] for event in dangers} == {"warning"}
    assert dangers[0]["lifetime"] == 300.0


def test_a_learned_lifetime_decides_what_is_at_risk(log: EventLog, lines: Lines) -> None:
    fail(log, slack=41.0, lifetime=100.0)
    fail(log, slack=39.0, lifetime=100.0)

    assert [event["event"] for event in lines()] == [
        "renewal_failed",
        "renewal_failed",
        "session_at_risk",
    ]


def test_a_session_never_renewed_is_not_called_at_risk(log: EventLog, lines: Lines) -> None:
    fail(log, slack=None)

    assert said(lines()) == [("warning", "renewal_failed")]


def test_an_end_forgets_what_was_said(log: EventLog, lines: Lines) -> None:
    fail(log, slack=10.0)
    log.notify(end(State.EXPIRED))
    lines()
    fail(log, slack=110.0)

    told = lines()
    assert said(told) == [("warning", "renewal_failed"), ("warning", "session_at_risk")]
    assert told[0]["failures"] == 1
    assert told[1]["lifetime"] == 300.0


def test_a_vcenter_that_left_is_forgotten_with_its_sessions(log: EventLog, lines: Lines) -> None:
    other = KEY._replace(vcenter="prod")
    fail(log)
    fail(log, key=other)
    log.notify(events.LoginTried("lab", "ok"))
    log.notify(events.VCenterRemoved("lab"))
    lines()
    fail(log)
    fail(log, key=other)
    log.notify(events.LoginTried("lab", "ok"))

    assert [(event["vcenter"], event["level"]) for event in lines()] == [
        ("lab", "warning"),
        ("prod", "debug"),
        ("lab", "info"),
    ]


@pytest.mark.parametrize("state", FINAL_STATES)
def test_an_end_is_as_loud_as_its_state(log: EventLog, lines: Lines, state: State) -> None:
    log.notify(end(state))

    loudness = {
        State.ERROR: "error",
        State.EXPIRED: "error",
        State.NOT_FOUND: "error",
        State.REMOVED: "warning",
        State.CANCELED: "warning",
        State.DONE: "info",
        State.RELEASED: "info",
    }
    assert said(lines()) == [(loudness[state], "session_ended")]


def test_an_end_tells_the_whole_story(log: EventLog, lines: Lines) -> None:
    log.notify(end(State.ERROR, error_message="checksum of disk-0.vmdk differs"))

    (event,) = lines()
    assert event | {"timestamp": ""} == {
        "timestamp": "",
        "level": "error",
        "event": "session_ended",
        "vcenter": "lab",
        "session_id": "815994e5:9c7e16e9",
        "kind": "update",
        "state": "ERROR",
        "reason": "the server says so",
        "error_message": "checksum of disk-0.vmdk differs",
        "held_seconds": 1234.568,
        "keep_alives": 9,
        "progress": 80,
        "library_item": "Templates/debian-12",
        "content_moved": True,
    }


@pytest.mark.parametrize(
    ("library", "item", "words"),
    [(None, "debian-12", "debian-12"), (None, None, None), ("Templates", None, None)],
)
def test_an_end_names_what_is_known(
    log: EventLog, lines: Lines, library: str | None, item: str | None, words: str | None
) -> None:
    log.notify(end(State.REMOVED, library=library, item=item, content_moved=None))

    (event,) = lines()
    assert event["library_item"] == words
    assert event["content_moved"] is None


@pytest.mark.parametrize(
    ("after", "level"), [(120.0, "info"), (299.0, "debug"), (271.0, "debug"), (269.0, "info")]
)
def test_a_lifetime_that_moved_is_information(
    log: EventLog, lines: Lines, after: float, level: str
) -> None:
    log.notify(events.LifetimeLearned(KEY, 300.0, after))

    (event,) = lines()
    assert (event["level"], event["event"]) == (level, "lifetime_learned")
    assert (event["before"], event["lifetime"]) == (300.0, after)


def test_a_failed_file_is_named(log: EventLog, lines: Lines) -> None:
    log.notify(
        events.FileFailed(
            KEY, FileInfo("disk-0.vmdk", "PUSH", "ERROR", 4096, 8192, "digest differs")
        )
    )

    (event,) = lines()
    assert (event["level"], event["event"]) == ("warning", "file_failed")
    assert event["file"] == "disk-0.vmdk"
    assert event["source_type"] == "PUSH"
    assert event["bytes_transferred"] == 4096
    assert event["size"] == 8192
    assert event["error_message"] == "digest differs"


def test_an_outage_of_a_vcenter_is_told_from_both_ends(log: EventLog, lines: Lines) -> None:
    log.notify(events.VCenterDown("lab", Outcome.UNREACHABLE, "connection refused"))
    log.notify(events.VCenterUp("lab", 61.23456))

    down, up = lines()
    assert (down["level"], down["event"], down["vcenter"]) == ("warning", "vcenter_down", "lab")
    assert (down["outcome"], down["detail"]) == ("unreachable", "connection refused")
    assert (up["level"], up["event"], up["down_seconds"]) == ("info", "vcenter_up", 61.235)


def test_logins_are_told_when_their_outcome_changes(log: EventLog, lines: Lines) -> None:
    for outcome in ("ok", "ok", "refused", "refused", "failed", "ok"):
        log.notify(events.LoginTried("lab", outcome))

    assert said(lines()) == [
        ("info", "logged_in"),
        ("debug", "logged_in"),
        ("error", "login_refused"),
        ("debug", "login_refused"),
        ("warning", "login_failed"),
        ("info", "logged_in"),
    ]


def test_a_broken_source_names_its_first_problems(log: EventLog, lines: Lines) -> None:
    problems = tuple(f"a.yaml:{n}: sessions[{n}].progress: too much" for n in range(1000))
    log.notify(events.SourceFailed("/etc/a.yaml", problems))
    log.notify(events.SourceRecovered("/etc/a.yaml"))

    failed, recovered = lines()
    assert (failed["level"], failed["event"]) == ("error", "source_failed")
    assert failed["source"] == "/etc/a.yaml"
    assert failed["problems"] == list(problems[:20])
    assert failed["problem_count"] == 1000
    assert (recovered["level"], recovered["event"]) == ("info", "source_recovered")
