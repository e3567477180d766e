"""What a session reports to the server and learns from it: progress and lifetime."""

from __future__ import annotations

import pytest

from keepalived.lease import events, machine
from keepalived.lease import session as core
from keepalived.lease.answers import Outcome
from keepalived.lease.session import RequestKind, Session
from tests.support.lease import answered, begun, hold, info, renewed, settled_in

# -- telling progress


def test_progress_is_sent_only_when_it_has_risen() -> None:
    session = renewed(begun(percent=10), times=4)
    sent = []
    for percent in [10, 10, 30, 20, None, 31]:
        session = core.take_hold(session, hold(percent))
        sent.append(machine.next_request(session, session.due).progress)
        session, _ = answered(session)
    assert sent == [None, None, 30, None, None, 31]
    assert session.acknowledged == 31


def test_progress_that_was_not_acknowledged_is_sent_again() -> None:
    session, _ = answered(begun(percent=10), Outcome.TIMED_OUT)
    assert session.acknowledged is None
    assert machine.next_request(session, session.due).progress == 10


def test_progress_that_another_uploader_reported_counts() -> None:
    session, _ = answered(begun(percent=10))
    session, _ = answered(session, value=info(progress=50))
    for percent, sent in [(50, None), (51, 51)]:
        session = core.take_hold(session, hold(percent))
        assert machine.next_request(session, session.due).progress == sent


def test_refused_progress_is_left_out_at_once() -> None:
    session, happened = answered(begun(percent=10), Outcome.INVALID_ARGUMENT)
    assert (session.due, session.tries, happened) == (1000.0, 0, ())
    session = core.take_hold(session, hold(11))
    assert machine.next_request(session, session.due).progress is None
    session, happened = answered(session)
    assert happened == (events.Renewed(session.key, first=True, slack=None, progress=None),)
    session, _ = answered(session, Outcome.FAILED)
    assert machine.next_request(session, session.due).progress == 11
    session = core.take_hold(session, hold(10))
    assert machine.next_request(session, session.due).progress is None


def test_progress_refused_in_a_round_begun_anew_is_left_out_as_well() -> None:
    session, _ = answered(begun(percent=10), Outcome.NOT_ALLOWED)
    assert (session.next_kind, session.needs_confirmation) == (RequestKind.GET, True)
    session, _ = answered(session, Outcome.INVALID_ARGUMENT, at=session.due + 60.0)
    request = machine.next_request(session, session.due)
    assert (request.kind, request.progress) == (RequestKind.KEEP_ALIVE, None)
    assert not session.needs_confirmation


def test_an_invalid_argument_without_progress_is_a_failure() -> None:
    session, _ = answered(begun(percent=10), Outcome.INVALID_ARGUMENT)
    session, happened = answered(session, Outcome.INVALID_ARGUMENT)
    assert session.due == 1001.0
    assert isinstance(happened[0], events.RenewalFailed)
    assert machine.next_request(session, session.due).progress is None


# -- learning the lifetime


def read(session: Session, left: float | None) -> core.Step:
    """One round in which `get` tells how much of the lifetime is left."""
    session, _ = answered(session, follow_ups=(RequestKind.GET,))
    return answered(session, value=info(left=left), follow_ups=(RequestKind.GET,))


def test_the_lifetime_is_what_get_teaches() -> None:
    session, happened = read(settled_in(), 61.0)
    assert session.lifetime == 60.0
    assert session.slack(session.due) == 30.0
    assert happened == (events.LifetimeLearned(session.key, 300.0, 60.0, configured=300.0),)


@pytest.mark.parametrize(
    ("left", "lifetime"), [(3600.0, 300.0), (29.0, 28.0), (5.5, 5.0), (-5.0, 5.0), (None, 300.0)]
)
def test_what_get_teaches_is_clamped(left: float | None, lifetime: float) -> None:
    session, _ = read(begun(), left)
    assert session.lifetime == lifetime


def test_each_reading_replaces_the_last_and_only_a_change_is_news() -> None:
    session, _ = read(begun(), 60.0)
    for left, is_news in [(59.0, False), (62.0, False), (290.0, True), (299.0, False)]:
        session, happened = read(session, left + 1.0)
        assert session.lifetime == left
        assert any(isinstance(event, events.LifetimeLearned) for event in happened) is is_news


def test_a_reading_that_follows_no_renewal_teaches_nothing() -> None:
    session, _ = answered(settled_in(), Outcome.NOT_ALLOWED)
    session, happened = answered(session, value=info(left=150.0))
    assert session.lifetime == 300.0
    assert [type(event) for event in happened] == [events.RenewalFailed]


def test_a_shorter_configured_lifetime_brings_the_renewal_forward() -> None:
    session = settled_in()
    renewed_at = session.renewed_at
    assert renewed_at is not None
    shorter = core.reconfigure(session, 60.0)
    assert (shorter.lifetime, shorter.due) == (60.0, renewed_at + 30.0)
    failed, _ = answered(session, Outcome.FAILED, retry_after=3600.0)
    assert core.reconfigure(failed, 60.0).due == renewed_at + 30.0


def test_a_longer_configured_lifetime_puts_nothing_off_and_forgets_nothing() -> None:
    session = settled_in()
    longer = core.reconfigure(session, 600.0)
    assert (longer.lifetime, longer.due) == (600.0, session.due)
    learned, _ = read(session, 61.0)
    assert core.reconfigure(learned, 600.0).lifetime == 60.0
    assert core.reconfigure(learned, 6000.0).lifetime == 60.0
    assert core.reconfigure(learned, 30.0).lifetime == 30.0


def test_an_unchanged_or_unrenewed_session_takes_a_configured_lifetime_as_it_is() -> None:
    session = settled_in()
    assert core.reconfigure(session, 300.0) is session
    pending = core.reconfigure(begun(), 60.0)
    assert (pending.lifetime, pending.due) == (60.0, 1000.0)


# -- hastening


def test_hastening_never_puts_off() -> None:
    session = settled_in()
    assert core.make_due(session, session.due - 50.0).due == session.due - 50.0
    assert core.make_due(session, session.due + 50.0).due == session.due
