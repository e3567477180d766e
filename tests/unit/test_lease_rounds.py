"""Rounds of a live session: renewals, failures, and follow-up requests."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keepalived.lease import events, machine
from keepalived.lease.answers import Answer, FileInfo, ItemInfo, Outcome
from keepalived.lease.model import State
from keepalived.lease.session import RequestKind
from tests.support.examples import examples
from tests.support.lease import answered, begun, info, settled_in

ALL_FOLLOW_UPS = (RequestKind.GET, RequestKind.FILES)
WIDE = [outcome for outcome in Outcome if outcome.is_vcenter_failure]
# No progress is sent where these are used.
FAILURES = sorted(set(Outcome) - {Outcome.OK, Outcome.NOT_ALLOWED, Outcome.NOT_FOUND})


# -- renewing


def test_a_new_session_is_due_at_once_and_has_no_deadline() -> None:
    session = begun()
    assert session.state is State.PENDING
    assert session.is_due(1000.0)
    assert session.deadline is None
    assert session.slack(5000.0) is None


def test_within_a_millisecond_counts_as_due() -> None:
    session = begun()
    assert session.is_due(999.9995)
    assert not session.is_due(999.998)


def test_the_deadline_counts_from_when_the_renewal_was_sent() -> None:
    session, happened = answered(begun(), took=7.0)
    assert session.state is State.ACTIVE
    assert session.renewed_at == 1000.0
    assert session.deadline == 1300.0
    assert session.slack(1100.0) == 200.0
    assert happened == (events.Renewed(session.key, first=True, slack=None, progress=None),)


def test_the_second_renewal_is_spread_the_third_comes_at_about_half() -> None:
    for u, second, third in [(0.0, 60.0, 135.0), (0.5, 105.0, 150.0), (0.99, 149.1, 164.7)]:
        session = begun()
        session, _ = answered(session, u=u)
        session, _ = answered(session, Outcome.FAILED, u=u)  # the look at the session
        assert session.due == pytest.approx(1000.0 + second)
        sent = session.due
        session, _ = answered(session, u=u)
        session, _ = answered(session, Outcome.FAILED, u=u)
        assert session.due == pytest.approx(sent + third)


def test_a_renewal_tells_how_much_time_was_left_when_it_was_answered() -> None:
    session = settled_in()
    _, happened = answered(session, took=4.0)
    assert happened == (events.Renewed(session.key, first=False, slack=146.0, progress=None),)


def test_an_answer_that_took_too_long_does_not_make_a_hot_loop() -> None:
    session, _ = answered(settled_in(), took=1000.0)
    assert session.due == session.renewed_at + 1001.0  # type: ignore[operator]  # just renewed


# -- failing


@pytest.mark.parametrize("outcome", FAILURES)
def test_a_failure_is_tried_again_and_ends_nothing(outcome: Outcome) -> None:
    session = settled_in()
    failed, happened = answered(session, outcome)
    assert failed.state is State.ACTIVE
    assert failed.due == session.due + 1.0
    assert failed.last_error == "words"
    assert failed.deadline == session.deadline
    assert happened == (events.RenewalFailed(failed.key, outcome, "words", 1.0, 150.0, 300.0),)


def test_failures_back_off_until_the_deadline_presses() -> None:
    session = settled_in()
    waits = []
    while (slack := session.slack(session.due)) is not None and slack > -60.0:
        sent = session.due
        session, _ = answered(session, Outcome.FAILED)
        waits.append((slack, session.due - sent))
    assert [wait for _, wait in waits[:6]] == pytest.approx([1, 2, 4, 8, 15, 15])
    for slack, wait in waits[6:]:
        assert wait == pytest.approx(15.0 if slack <= 0 else min(15.0, max(1.0, slack / 4)))
    assert session.state is State.ACTIVE


def test_timeouts_grow_with_the_retries_and_start_anew_after_a_success() -> None:
    session = settled_in()
    timeouts = []
    for _ in range(3):
        timeouts.append(machine.next_request(session, session.due).timeout)
        session, _ = answered(session, Outcome.TIMED_OUT)
    assert timeouts == [10.0, 30.0, 49.0]
    session, _ = answered(session)
    assert session.last_error == ""
    assert machine.next_request(session, session.due).timeout == 10.0


def test_a_configured_timeout_stands() -> None:
    assert machine.next_request(begun(), 1000.0, 3.0).timeout == 3.0


def test_retry_after_is_honoured_up_to_half_the_slack() -> None:
    session = settled_in()
    patient, _ = answered(session, Outcome.UNAVAILABLE, retry_after=30.0)
    assert patient.due == session.due + 30.0
    pressed, _ = answered(session, Outcome.UNAVAILABLE, retry_after=3600.0)
    assert pressed.due == session.due + 75.0


def test_a_failure_without_words_is_named() -> None:
    session = begun()
    request = machine.next_request(session, 1000.0)
    answer: Answer[None] = Answer(Outcome.TIMED_OUT, 1000.0, 1010.0)
    session, _ = machine.step(session, request, answer, 1010.0, 0.5)
    assert session.last_error == "timed_out"


def test_the_last_three_outcomes_are_remembered() -> None:
    session = begun()
    for outcome in [Outcome.FAILED, Outcome.TIMED_OUT, Outcome.FORBIDDEN, Outcome.UNAVAILABLE]:
        session, _ = answered(session, outcome, took=0.25)
    assert [outcome for _, outcome in session.outcomes] == [
        Outcome.TIMED_OUT,
        Outcome.FORBIDDEN,
        Outcome.UNAVAILABLE,
    ]


lifetimes = st.floats(1.0, 86400.0)
draws = st.floats(0.0, 1.0, exclude_max=True)


@given(lifetimes, draws, st.floats(0.0, 0.3), st.lists(draws, min_size=60, max_size=60), st.data())
@settings(max_examples=examples(100))
def test_an_outage_of_less_than_a_third_of_the_lifetime_loses_nothing(
    lifetime: float, u: float, outage: float, retries: list[float], data: st.DataObject
) -> None:
    """Every request hangs until its timeout while the outage lasts, which begins at any time."""
    session = settled_in(lifetime)
    session, _ = answered(session, u=u)
    renewed_at, deadline = session.renewed_at, session.deadline
    assert renewed_at is not None
    assert deadline is not None
    starts = renewed_at + lifetime * data.draw(st.floats(0.0, 0.6))
    for retry in retries:
        if not starts <= session.due < starts + outage * lifetime:
            break
        timeout = machine.next_request(session, session.due).timeout
        session, _ = answered(session, Outcome.TIMED_OUT, took=timeout, u=retry)
    assert session.due < deadline


# -- looking


def test_every_round_looks_at_the_session_and_its_files_in_that_order() -> None:
    session, _ = answered(settled_in(), follow_ups=ALL_FOLLOW_UPS)
    assert (session.next_kind, session.due) == (RequestKind.GET, session.renewed_at)
    session, _ = answered(session, value=info(), follow_ups=ALL_FOLLOW_UPS)
    assert (session.next_kind, session.due) == (RequestKind.FILES, session.renewed_at)
    session, _ = answered(session, value=(), follow_ups=ALL_FOLLOW_UPS)
    assert (session.next_kind, session.slack(session.due)) == (RequestKind.KEEP_ALIVE, 150.0)


def test_without_looks_only_the_first_rounds_look() -> None:
    session = begun()
    asked = []
    for _ in range(5):
        session, _ = answered(session)
        asked.append(session.next_kind)
        if session.next_kind is RequestKind.GET:
            session, _ = answered(session, Outcome.FORBIDDEN)
    assert asked == [RequestKind.GET] * 3 + [RequestKind.KEEP_ALIVE] * 2


def test_what_the_session_fills_is_looked_up_once() -> None:
    session, _ = answered(begun())
    session, _ = answered(session, value=info(version="3"))
    request = machine.next_request(session, session.due)
    assert (request.kind, request.item_id) == (RequestKind.ITEM, "item-1")
    session, _ = answered(session, value=ItemInfo("item-1", "debian", "3", "images"))
    assert session.item is not None
    assert session.item.name == "debian"
    session, _ = answered(session)
    assert session.next_kind is RequestKind.KEEP_ALIVE


@pytest.mark.parametrize("outcome", [Outcome.NOT_FOUND, Outcome.FAILED, Outcome.TIMED_OUT])
def test_an_item_that_cannot_be_read_is_no_failure(outcome: Outcome) -> None:
    session, _ = answered(begun())
    session, _ = answered(session, value=info(version="3"))
    session, happened = answered(session, outcome)
    assert (session.next_kind, session.tries, happened) == (RequestKind.KEEP_ALIVE, 0, ())
    assert session.due == pytest.approx(1105.0)


@pytest.mark.parametrize("outcome", [Outcome.FORBIDDEN, Outcome.NOT_FOUND, Outcome.FAILED])
@pytest.mark.parametrize("kind", ALL_FOLLOW_UPS)
def test_a_look_in_vain_is_no_failure(kind: RequestKind, outcome: Outcome) -> None:
    session, _ = answered(settled_in(), follow_ups=ALL_FOLLOW_UPS)
    while session.next_kind is not kind:
        session, _ = answered(session, value=info(), follow_ups=ALL_FOLLOW_UPS)
    session, happened = answered(session, outcome, follow_ups=ALL_FOLLOW_UPS)
    assert session.next_kind is (
        RequestKind.FILES if kind is RequestKind.GET else RequestKind.KEEP_ALIVE
    )
    assert (session.tries, session.state, happened) == (0, State.ACTIVE, ())


@pytest.mark.parametrize("outcome", WIDE)
def test_a_vcenter_that_does_not_answer_is_asked_nothing_more_in_this_round(
    outcome: Outcome,
) -> None:
    session, _ = answered(begun(), follow_ups=ALL_FOLLOW_UPS)
    session, happened = answered(session, outcome, took=10.0, follow_ups=ALL_FOLLOW_UPS)
    assert (session.next_kind, session.due, happened) == (RequestKind.KEEP_ALIVE, 1105.0, ())


def test_a_round_that_was_broken_off_begins_anew_with_a_renewal() -> None:
    session, _ = answered(begun(percent=10), follow_ups=ALL_FOLLOW_UPS)
    assert machine.next_request(session, session.due + 1.0).kind is RequestKind.GET
    late = machine.next_request(session, session.due + 1.1)
    assert late.kind is RequestKind.KEEP_ALIVE
    session, happened = answered(session, at=1120.0)
    assert session.renewed_at == 1120.0
    assert isinstance(happened[0], events.Renewed)
    assert session.next_kind is RequestKind.GET


def test_a_file_that_fails_is_reported_once() -> None:
    session, _ = answered(settled_in(), follow_ups=ALL_FOLLOW_UPS)
    session, _ = answered(session, value=info(), follow_ups=ALL_FOLLOW_UPS)
    good = FileInfo("a.vmdk", "PUSH", "TRANSFERRING", 5)
    bad = FileInfo("b.vmdk", "PUSH", "ERROR", 5, error_message="bad checksum")
    session, happened = answered(session, value=(good, bad), follow_ups=ALL_FOLLOW_UPS)
    assert happened == (events.FileFailed(session.key, bad),)
    assert session.files == (good, bad)
    session, _ = answered(session, follow_ups=(RequestKind.FILES,))
    session, happened = answered(session, value=(good, bad), follow_ups=(RequestKind.FILES,))
    assert happened == ()


@pytest.mark.parametrize(
    ("took", "asked"), [(90.0, RequestKind.GET), (90.1, RequestKind.KEEP_ALIVE)]
)
def test_nothing_more_is_asked_once_a_round_has_taken_too_long(
    took: float, asked: RequestKind
) -> None:
    session, _ = answered(settled_in(), took=took, follow_ups=(RequestKind.GET, RequestKind.FILES))
    assert session.next_kind is asked
