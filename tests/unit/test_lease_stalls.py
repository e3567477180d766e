"""Stalled transfers: when a warning is due, and when a session counts as abandoned."""

from __future__ import annotations

from dataclasses import replace

import pytest

from keepalived.lease import events, stalls
from keepalived.lease import holds as hold_rules
from keepalived.lease.answers import FileInfo
from keepalived.lease.holds import Hold, Owner, OwnerKind
from keepalived.lease.machine import next_request
from keepalived.lease.model import State
from keepalived.lease.session import RequestKind, Session, take_hold
from tests.support.lease import (
    BEGUN_AT,
    DISCOVERED,
    HOUR,
    answered,
    discovered,
    hold,
    looked,
    settled_in,
)


def file(
    transferred: int = 0,
    status: str = "TRANSFERRING",
    *,
    name: str = "disk.vmdk",
    source: str = "PUSH",
) -> FileInfo:
    return FileInfo(name, source, status, transferred)


def moving(session: Session, at: float = 10_000.0) -> Session:
    """Return the session after bytes were seen moving at the time `at`."""
    session, _ = looked(session, file(10), at=at - 150)
    session, _ = looked(session, file(20), at=at)
    assert session.moved_at == at
    return session


# -- what counts as movement


def test_bytes_in_the_middle_of_a_transfer_count() -> None:
    assert stalls.was_moving((file(10),), (file(20),))
    assert not stalls.was_moving((file(10),), (file(10),))
    assert not stalls.was_moving((file(10),), (file(5),))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param((), (file(10),), id="a first reading"),
        pytest.param((file(0, "WAITING_FOR_TRANSFER"),), (file(9),), id="it has just begun"),
        pytest.param((file(9),), (file(99, "READY"),), id="it is over"),
        pytest.param((file(9),), (file(99, name="other.vmdk"),), id="another file"),
        pytest.param((file(0, "READY"),), (file(9, "READY"),), id="no transfer"),
    ],
)
def test_bytes_at_the_edges_of_a_transfer_do_not(
    before: tuple[FileInfo, ...], after: tuple[FileInfo, ...]
) -> None:
    """A server that tells of bytes only at the end shows no movement, and no stall."""
    assert not stalls.was_moving(before, after)
    assert stalls.moved_at(None, before, after, 5.0) is None


def test_once_moving_any_change_counts() -> None:
    before = (file(10),)
    assert stalls.moved_at(1.0, before, (file(10, "READY"),), 5.0) == 5.0
    assert stalls.moved_at(1.0, before, (file(10), file(0, name="next")), 5.0) == 5.0
    assert stalls.moved_at(1.0, before, before, 5.0) == 1.0


def test_what_changed_while_nobody_looked_does_not_count() -> None:
    assert stalls.moved_at(1.0, (), (file(10),), 5.0) == 1.0


@pytest.mark.parametrize(
    "busy",
    [
        file(99, "VALIDATING"),
        file(0, "PREPARING"),
        file(0, "PREPARE_REQUESTED"),
        file(0, "WAITING_FOR_TRANSFER", source="PULL"),
        file(9, source="PULL"),
    ],
    ids=lambda file: f"{file.source_type} {file.status}",
)
def test_a_server_at_work_never_counts_as_stalled(busy: FileInfo) -> None:
    assert stalls.moved_at(1.0, (busy,), (busy,), 5.0) == 5.0


@pytest.mark.parametrize("status", ["READY", "ERROR"])
def test_a_pull_that_is_over_is_no_work(status: str) -> None:
    over = file(9, status, source="PULL")
    assert stalls.moved_at(1.0, (over,), (over,), 5.0) == 1.0


# -- what is said of it


def test_a_stall_is_said_once_at_a_quarter_of_the_timeout() -> None:
    session = moving(settled_in(), at=10_000.0)
    session, happened = looked(session, file(20), at=10_000.0 + 1799)
    assert happened == ()
    session, happened = looked(session, file(20), at=10_000.0 + 1800)
    assert happened == (events.SessionStalled(session.key, 1800.0),)
    assert session.stalled
    session, happened = looked(session, file(20), at=10_000.0 + 1950)
    assert happened == ()
    session, happened = looked(session, file(21), at=10_000.0 + 2100)
    assert happened == (events.SessionMoving(session.key),)
    assert not session.stalled


def test_a_session_that_somebody_wants_is_held_however_long_it_stands_still() -> None:
    session = moving(take_hold(discovered(), hold()))
    session, happened = looked(session, file(20), at=10_000.0 + 9 * HOUR)
    assert [held.owner.kind for held in session.holds] == [OwnerKind.FILE]
    assert happened == (events.SessionStalled(session.key, 9 * HOUR),)
    session, happened = looked(session, file(20), at=10_000.0 + 99 * HOUR)
    assert session.state is State.ACTIVE
    assert happened == ()


# -- the guard


def test_what_nobody_registered_is_let_go_once_it_stood_still_for_the_timeout() -> None:
    session = moving(discovered(), at=10_000.0)
    session, _ = looked(session, file(20), at=10_000.0 + 2 * HOUR - 1)
    assert session.state is State.ACTIVE
    session, happened = looked(session, file(20), at=10_000.0 + 2 * HOUR)
    assert session.state is State.RELEASED
    assert isinstance(happened[-1], events.SessionEnd)


def test_nothing_is_let_go_before_bytes_were_seen_moving() -> None:
    session = discovered()
    for minutes in range(0, 600, 33):
        at = 10_000.0 + minutes * 60
        session, happened = looked(session, file(0, "WAITING_FOR_TRANSFER"), at=at)
        assert happened == ()
    assert session.state is State.ACTIVE


def test_nothing_is_let_go_because_files_cannot_be_read() -> None:
    session = moving(discovered(), at=10_000.0)
    at = 10_000.0 + 9 * HOUR
    session, _ = answered(session._replace(due=at), at=at, follow_ups=(RequestKind.FILES,))
    session, _ = answered(session, value=None, at=at, follow_ups=(RequestKind.FILES,))
    assert session.state is State.ACTIVE


def test_files_are_looked_at_where_nothing_else_is_asked() -> None:
    """The guard has to see, whatever `observe` says."""
    session, _ = answered(discovered()._replace(due=5000.0), at=5000.0, follow_ups=())
    assert session.next_kind is RequestKind.FILES
    session, _ = answered(settled_in()._replace(due=5000.0), at=5000.0, follow_ups=())
    assert session.next_kind is RequestKind.KEEP_ALIVE


def test_movement_lets_a_discovered_session_be_held_for_longer_up_to_a_week() -> None:
    day = 24 * HOUR
    holds = hold_rules.after_movement((DISCOVERED, hold(until=5.0)), BEGUN_AT + 3 * day)
    assert [held.until for held in holds] == [BEGUN_AT + 4 * day, 5.0]
    holds = hold_rules.after_movement(holds, BEGUN_AT + 6.5 * day)
    assert holds[0].until == BEGUN_AT + 7 * day


# -- progress that the server shows


def test_bytes_at_the_server_are_progress_where_the_total_is_known() -> None:
    session = settled_in()
    wanted = Hold(1, Owner(OwnerKind.NONE), BEGUN_AT, None, hold().progress)
    total = replace(wanted, progress=replace(wanted.progress, total=1000))
    session = session._replace(holds=(total,), files=(file(250), file(6, name="b")))
    assert next_request(session, session.due).progress == 25


def test_bytes_at_the_server_never_say_that_all_is_done() -> None:
    assert hold_rules.client_progress((_of(1000),), 5000) == 99
    assert hold_rules.client_progress((_of(1000, done=1000),), 5000) == 100


def test_without_bytes_or_a_total_nothing_is_said() -> None:
    assert hold_rules.client_progress((_of(1000),), 0) is None
    assert hold_rules.client_progress((_of(None),), 500) is None


def _of(total: int | None, done: int | None = None) -> Hold:
    held = hold()
    return replace(held, progress=replace(held.progress, total=total, done=done))
