"""Sessions in which nothing can move: discovery releases them, and pulls cause a warning."""

from __future__ import annotations

import pytest

from keepalived.lease import events
from keepalived.lease.answers import FileInfo
from keepalived.lease.holds import OwnerKind
from keepalived.lease.model import State
from keepalived.lease.session import take_hold
from tests.support.lease import HOUR, discovered, hold, looked

BEGAN = 10_000.0


def file(status: str, transferred: int = 0, *, name: str = "a", source: str = "PUSH") -> FileInfo:
    return FileInfo(name, source, status, transferred)


def kinds(happened: tuple[object, ...]) -> list[type]:
    return [type(event) for event in happened if not hasattr(event, "file")]


def test_a_session_whose_files_are_all_in_error_is_let_go_in_time() -> None:
    failed = file("ERROR", 5), file("ERROR", name="b")
    session, happened = looked(discovered(), *failed, at=BEGAN)
    assert kinds(happened) == []
    session, happened = looked(session, *failed, at=BEGAN + 0.49 * HOUR)
    assert kinds(happened) == []
    session, happened = looked(session, *failed, at=BEGAN + 0.5 * HOUR)
    assert happened == (events.SessionStalled(session.key, 0.5 * HOUR),)
    session, happened = looked(session, *failed, at=BEGAN + 1.99 * HOUR)
    assert happened == ()
    session, happened = looked(session, *failed, at=BEGAN + 2 * HOUR)
    assert [type(event) for event in happened] == [events.SessionEnd]
    assert session.state is State.RELEASED
    assert session.ending is not None
    assert session.ending.reason == "all its files have failed, and it has no other hold"


def test_the_time_counts_from_the_first_look_at_which_they_all_were() -> None:
    session, _ = looked(discovered(), file("ERROR"), file("TRANSFERRING", name="b"), at=BEGAN)
    for hours in (1.0, 2.0, 3.0):
        session, happened = looked(
            session, file("ERROR"), file("TRANSFERRING", name="b"), at=BEGAN + hours * HOUR
        )
        assert kinds(happened) == []
    failed = file("ERROR"), file("ERROR", name="b")
    session, happened = looked(session, *failed, at=BEGAN + 4 * HOUR)
    assert kinds(happened) == []
    session, _ = looked(session, *failed, at=BEGAN + 5.99 * HOUR)
    assert session.state is State.ACTIVE
    # A file that is sent anew begins it all anew.
    session, happened = looked(
        session, file("ERROR"), file("TRANSFERRING", 1, name="b"), at=BEGAN + 5.995 * HOUR
    )
    assert kinds(happened) == [events.SessionMoving]
    session, _ = looked(session, *failed, at=BEGAN + 6 * HOUR)
    session, _ = looked(session, *failed, at=BEGAN + 7.9 * HOUR)
    assert session.state is State.ACTIVE


def test_whoever_asked_for_it_keeps_it() -> None:
    session = take_hold(discovered(hours=240), hold())
    for hours in range(30):
        session, _ = looked(session, file("ERROR"), at=BEGAN + hours * HOUR)
    assert session.state is State.ACTIVE
    assert [each.owner.kind for each in session.holds] == [OwnerKind.FILE]


def test_a_pull_without_a_first_byte_is_warned_of_and_kept() -> None:
    waiting = file("WAITING_FOR_TRANSFER", source="PULL")
    session, happened = looked(discovered(), waiting, at=BEGAN)
    assert happened == ()
    session, happened = looked(session, waiting, at=BEGAN + 0.49 * HOUR)
    assert happened == ()
    session, happened = looked(session, waiting, at=BEGAN + 0.5 * HOUR)
    assert happened == (events.SessionStalled(session.key, 0.5 * HOUR),)
    assert session.still_since == BEGAN
    session, happened = looked(session, waiting, at=BEGAN + 9 * HOUR)
    assert happened == ()
    assert session.state is State.ACTIVE
    moving = file("TRANSFERRING", 1, source="PULL")
    session, happened = looked(session, moving, at=BEGAN + 9.1 * HOUR)
    assert happened == (events.SessionMoving(session.key),)
    assert session.still_since is None


@pytest.mark.parametrize(
    "other", [file("TRANSFERRING", 7, name="b", source="PULL"), file("VALIDATING", name="b")]
)
def test_pulls_that_wait_for_each_other_are_not_warned_of(other: FileInfo) -> None:
    session, waiting = discovered(), file("WAITING_FOR_TRANSFER", source="PULL")
    for step in range(50):
        at_work = FileInfo(
            other.name,
            other.source_type,
            other.status,
            other.bytes_transferred + step * (other.status == "TRANSFERRING"),
        )
        session, happened = looked(session, waiting, at_work, at=BEGAN + step * 150)
        assert happened == ()


def test_without_files_nothing_has_failed() -> None:
    session = discovered()
    for hours in range(10):
        session, happened = looked(session, at=BEGAN + hours * HOUR)
        assert happened == ()
    assert session.state is State.ACTIVE
