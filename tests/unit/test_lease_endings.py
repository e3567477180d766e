"""How sessions end: reported by the server, missing, or released."""

from __future__ import annotations

import pytest

from keepalived.lease import events, machine
from keepalived.lease import session as core
from keepalived.lease.answers import Answer, ItemInfo, Outcome
from keepalived.lease.endings import (
    Ending,
    Target,
    ending_for_missing,
    ending_from_server,
    resolve_ending,
)
from keepalived.lease.holds import Hold, Owner, OwnerKind
from keepalived.lease.lending import SessionRequest
from keepalived.lease.model import Kind, State
from keepalived.lease.session import RequestKind, Session
from tests.support.lease import BEGUN_AT, KEY, OWNER, answered, begun, hold, info, settled_in

WIDE = [outcome for outcome in Outcome if outcome.is_vcenter_failure]
OTHER_FAILURES = sorted(
    set(Outcome) - {Outcome.OK, Outcome.NOT_FOUND, Outcome.NOT_ALLOWED} - set(WIDE)
)


def of_item(session: Session, version: str = "3") -> Session:
    """Renew a session, and let it learn which item it fills."""
    session, _ = answered(session)
    session, _ = answered(session, value=info(version=version))
    session, _ = answered(session, value=ItemInfo("item-1", "debian", version))
    return session


def gone(session: Session, at: float | None = None) -> core.Step:
    """Let the server no longer know a session."""
    session, _ = answered(session, Outcome.NOT_FOUND, at=at)
    assert session.next_kind is RequestKind.GET
    return answered(session, Outcome.NOT_FOUND)


def the_end(step: core.Step) -> Ending:
    """Return the end that a step brought, with nothing else."""
    session, happened = step
    (end,) = happened
    assert isinstance(end, events.SessionEnd)
    ending = Ending(end.state, end.reason, end.error_message, end.content_moved)
    assert ending == session.ending
    assert session.ending is not None
    assert session.state is session.ending.state
    assert session.state.is_final
    assert session.holds == ()
    return session.ending


# -- by the server's word


@pytest.mark.parametrize("word", ["DONE", "ERROR", "CANCELED"])
def test_a_refused_keep_alive_ends_as_the_server_says(word: str) -> None:
    session, happened = answered(settled_in(), Outcome.NOT_ALLOWED)
    assert (session.next_kind, session.needs_confirmation, happened) == (RequestKind.GET, True, ())
    ending = the_end(answered(session, value=info(word, error="no space left")))
    assert (ending.state, ending.error_message) == (State[word], "no space left")


@pytest.mark.parametrize("word", ["DONE", "ERROR", "CANCELED"])
def test_a_look_that_finds_the_session_ended_ends_it(word: str) -> None:
    session, _ = answered(settled_in(), follow_ups=(RequestKind.GET,))
    assert the_end(answered(session, value=info(word, left=60.0))).state is State[word]


@pytest.mark.parametrize("word", ["ACTIVE", "", "SOMETHING_NEW"])
def test_words_that_are_no_end(word: str) -> None:
    assert ending_from_server(info(word)) is None


@pytest.mark.parametrize("refusal", [Outcome.NOT_ALLOWED, Outcome.NOT_FOUND])
def test_a_refusal_of_an_active_session_is_a_failure_that_says_so(refusal: Outcome) -> None:
    session, _ = answered(settled_in(), refusal)
    session, happened = answered(session, value=info("ACTIVE"))
    assert [event.outcome for event in happened] == [Outcome.FAILED]  # type: ignore[union-attr]  # it is a Failed
    assert session.last_error.endswith("the server reports state ACTIVE")
    assert (session.next_kind, session.state, session.tries) == (
        RequestKind.KEEP_ALIVE,
        State.ACTIVE,
        1,
    )


# -- by being gone


def test_gone_before_its_deadline_somebody_removed_it() -> None:
    assert the_end(gone(settled_in())).state is State.REMOVED


def test_gone_after_its_deadline_it_expired() -> None:
    session = settled_in()
    assert session.deadline is not None
    assert the_end(gone(session, at=session.deadline)).state is State.EXPIRED


def test_gone_without_ever_having_been_renewed_it_was_not_found() -> None:
    assert the_end(gone(begun())).state is State.NOT_FOUND


def test_the_time_of_the_answer_decides_not_when_it_was_looked_at() -> None:
    session, _ = answered(settled_in(), Outcome.NOT_FOUND)
    assert session.deadline is not None
    request = machine.next_request(session, session.due)
    answer: Answer[None] = Answer(Outcome.NOT_FOUND, session.due, session.deadline - 0.1)
    after, _ = machine.step(session, request, answer, session.deadline + 60.0, 0.5)
    assert after.state is State.REMOVED
    assert ending_for_missing(Kind.UPDATE, 100.0, 99.9).state is State.REMOVED
    assert ending_for_missing(Kind.UPDATE, 100.0, 100.0).state is State.EXPIRED


def test_a_download_that_is_deleted_before_its_deadline_is_done() -> None:
    assert ending_for_missing(Kind.DOWNLOAD, 100.0, 99.9).state is State.DONE
    assert ending_for_missing(Kind.DOWNLOAD, 100.0, 100.0).state is State.EXPIRED
    assert ending_for_missing(Kind.DOWNLOAD, None, 100.0).state is State.NOT_FOUND


@pytest.mark.parametrize("outcome", [*WIDE, *OTHER_FAILURES, Outcome.NOT_ALLOWED])
def test_doubt_that_nobody_clears_is_a_failure(outcome: Outcome) -> None:
    session, _ = answered(settled_in(), Outcome.NOT_FOUND)
    session, _ = answered(session, outcome)
    assert (session.next_kind, session.needs_confirmation, session.tries) == (
        RequestKind.KEEP_ALIVE,
        False,
        1,
    )
    assert session.state is State.ACTIVE


@pytest.mark.parametrize("outcome", WIDE)
def test_a_vcenter_that_cannot_be_reached_ends_nothing(outcome: Outcome) -> None:
    session = settled_in()
    for _ in range(500):
        session, happened = answered(session, outcome, took=10.0)
        assert len(happened) == 1
    assert session.deadline is not None
    assert session.due > session.deadline + 7200.0
    assert session.state is State.ACTIVE
    recovered, _ = answered(session)
    assert recovered.deadline == session.due + 300.0


# -- settling


@pytest.mark.parametrize(
    ("before", "after", "has_moved"),
    [("3", "4", True), ("3", "3", False), ("9", "10", True), ("4", "3", False), ("a", "b", True)],
)
@pytest.mark.parametrize("state", [State.REMOVED, State.EXPIRED, State.NOT_FOUND])
def test_what_is_gone_was_done_if_its_item_moved(
    state: State, before: str, after: str, has_moved: bool
) -> None:
    target = Target("item-1", before)
    ending = resolve_ending(Ending(state, "gone"), target, ItemInfo("item-1", "debian", after))
    assert ending.state is (State.DONE if has_moved else state)
    assert ending.content_moved is has_moved


@pytest.mark.parametrize("word", ["DONE", "ERROR", "CANCELED"])
@pytest.mark.parametrize(("version", "has_moved"), [("3", False), ("4", True)])
def test_what_the_server_said_stands(word: str, version: str, has_moved: bool) -> None:
    session, _ = answered(of_item(begun()), Outcome.NOT_ALLOWED)
    session, happened = answered(session, value=info(word, version=version))
    assert (session.state, session.next_kind, session.deadline, happened) == (
        State.ACTIVE,
        RequestKind.ITEM,
        None,
        (),
    )
    assert machine.next_request(session, session.due).item_id == "item-1"
    ending = the_end(answered(session, value=ItemInfo("item-1", "debian", version)))
    assert (ending.state, ending.content_moved) == (State[word], has_moved)


@pytest.mark.parametrize(
    ("at", "version", "state"),
    [
        (BEGUN_AT + 100.0, "3", State.REMOVED),
        (BEGUN_AT + 100.0, "4", State.DONE),
        (BEGUN_AT + 300.0, "3", State.EXPIRED),
        (BEGUN_AT + 300.0, "4", State.DONE),
    ],
)
def test_a_session_that_is_gone_is_settled_by_its_item(
    at: float, version: str, state: State
) -> None:
    session, happened = gone(of_item(begun()), at)
    assert happened == ()
    session, happened = answered(session, value=ItemInfo("item-1", "renamed", version))
    assert session.item is not None
    assert session.item.name == "renamed"
    assert the_end((session, happened)).state is state


def test_the_version_counts_only_as_read_while_active() -> None:
    session, _ = answered(begun())
    session, happened = answered(session, value=info("DONE", version="4"))
    assert happened == ()
    session, happened = answered(session, value=ItemInfo("item-1", "debian", "4"))
    assert the_end((session, happened)).content_moved is None
    assert session.item is not None


def test_the_version_counts_as_it_was_read_first() -> None:
    session, _ = answered(of_item(begun()), follow_ups=(RequestKind.GET,))
    session, _ = answered(session, value=info(version="4"), follow_ups=(RequestKind.GET,))
    session, _ = gone(session)
    assert the_end(answered(session, value=ItemInfo("item-1", "debian", "4"))).state is State.DONE


def test_settling_does_not_wait_for_what_failed_before() -> None:
    session = of_item(begun())
    for _ in range(5):
        session, _ = answered(session, Outcome.FAILED)
    session, _ = gone(session)
    looked_at = session.due
    session, _ = answered(session, Outcome.FAILED)
    assert session.due == looked_at + 1.0


def test_a_download_has_no_item_to_settle() -> None:
    session = begun()._replace(key=KEY._replace(kind=Kind.DOWNLOAD))
    ending = the_end(gone(of_item(session)))
    assert (ending.state, ending.content_moved) == (State.DONE, None)


def test_an_item_that_is_gone_settles_nothing_and_is_told() -> None:
    session, _ = gone(of_item(begun()))
    ending = the_end(answered(session, Outcome.NOT_FOUND))
    assert (ending.state, ending.content_moved) == (State.REMOVED, None)
    assert ending.reason.endswith("its item is gone, too")


@pytest.mark.parametrize("outcome", [*OTHER_FAILURES, Outcome.NOT_ALLOWED, Outcome.OK])
def test_an_item_that_tells_nothing_three_times_is_left(outcome: Outcome) -> None:
    session, _ = gone(of_item(begun()))
    for wait in (1.0, 2.0):
        looked_at = session.due
        session, happened = answered(session, outcome)
        assert (session.next_kind, happened) == (RequestKind.ITEM, ())
        assert session.due == looked_at + wait
    ending = the_end(answered(session, outcome))
    assert (ending.state, ending.content_moved) == (State.REMOVED, None)


@pytest.mark.parametrize("outcome", WIDE)
def test_an_unreachable_vcenter_is_waited_for_to_settle(outcome: Outcome) -> None:
    session, _ = gone(of_item(begun()))
    for _ in range(50):
        session, happened = answered(session, outcome)
        assert (session.next_kind, happened) == (RequestKind.ITEM, ())
    session, _ = answered(session, Outcome.FAILED)  # as a server does that is just starting
    assert machine.next_request(session, session.due + 3600.0).kind is RequestKind.ITEM
    ending = the_end(answered(session, value=ItemInfo("item-1", "debian", "4")))
    assert ending.state is State.DONE


def test_items_that_cannot_be_read_for_an_hour_are_not_waited_for_any_longer() -> None:
    session, _ = gone(of_item(begun()))
    over = session.due + 3600.0
    while session.due < over:
        session, happened = answered(session, Outcome.UNAVAILABLE)
        assert not happened
    ending = the_end(answered(session, Outcome.UNAVAILABLE))
    assert (ending.state, ending.content_moved) == (State.REMOVED, None)


# -- by nobody wanting it any more


def test_the_last_hold_let_go_releases_even_the_overdue() -> None:
    session = core.take_hold(settled_in(), hold(uid=1))
    session, happened = core.release_hold(session, 0, OWNER, 1000.0)
    assert (session.state, happened) == (State.ACTIVE, ())
    assert the_end(core.release_hold(session, 1, OWNER, 1000.0)).state is State.RELEASED


def test_letting_go_what_one_does_not_hold_changes_nothing() -> None:
    session = settled_in()
    assert core.release_hold(session, 1, OWNER, 1000.0) == (session, ())


def test_the_last_hold_over_releases() -> None:
    session = core.new_session(KEY, 300.0, hold(until=1500.0), BEGUN_AT)
    session = core.take_hold(session, hold(uid=1, until=2000.0))
    session, happened = core.expire_holds(session, 1500.0)
    assert ([held.uid for held in session.holds], happened) == ([1], ())
    words = "the max_lifetime of the line that named it is over"
    assert the_end(core.expire_holds(session, 2000.0)) == Ending(State.RELEASED, words)
    nobodys = session._replace(holds=(Hold(1, Owner(OwnerKind.NONE), BEGUN_AT, 2000.0),))
    words = "its last hold reached its time limit"
    assert the_end(core.expire_holds(nobodys, 2000.0)) == Ending(State.RELEASED, words)


def test_an_end_that_is_known_is_reported_whoever_still_wants_the_session() -> None:
    session, _ = gone(of_item(begun()))
    session, happened = core.release_hold(session, 0, OWNER, 1000.0)
    assert (session.holds, session.state, happened) == ((), State.ACTIVE, ())
    assert machine.next_request(session, session.due).kind is RequestKind.ITEM
    assert the_end(answered(session, value=ItemInfo("item-1", "debian", "3"))).state is (
        State.REMOVED
    )


def test_a_released_session_is_not_renewed() -> None:
    session = settled_in()
    request = machine.next_request(session, session.due)
    released, _ = core.release_hold(session, 0, OWNER, 1000.0)
    assert not released.is_due(1e9)
    with pytest.raises(ValueError, match="has ended"):
        machine.next_request(released, session.due)
    with pytest.raises(ValueError, match="cannot be held"):
        core.take_hold(released, hold())
    late: Answer[None] = Answer(Outcome.OK, session.due, session.due)
    assert machine.step(released, request, late, session.due, 0.5) == (released, ())
    assert core.expire_holds(released, 1e9) == (released, ())
    assert core.release_hold(released, 0, OWNER, 1000.0) == (released, ())


# -- answers that come late


@pytest.mark.parametrize("kind", [RequestKind.GET, RequestKind.FILES, RequestKind.ITEM])
def test_an_answer_from_an_earlier_life_does_not_put_off_the_first_renewal(
    kind: RequestKind,
) -> None:
    anew = begun()
    answer = Answer(Outcome.OK, 999.0, 1001.0, info(left=10.0))
    assert machine.step(anew, SessionRequest(kind, 10.0), answer, 1001.0, 0.5) == (anew, ())


def test_a_renewal_from_an_earlier_life_counts() -> None:
    request = SessionRequest(RequestKind.KEEP_ALIVE, 10.0, progress=7)
    session, _ = machine.step(begun(), request, Answer(Outcome.OK, 999.0, 1001.0), 1001.0, 0.5)
    assert (session.renewed_at, session.deadline, session.acknowledged) == (999.0, 1299.0, 7)


def test_no_renewal_undoes_an_end_that_is_known() -> None:
    session, _ = gone(of_item(begun()))
    request = SessionRequest(RequestKind.KEEP_ALIVE, 10.0)
    answer: Answer[None] = Answer(Outcome.OK, 1100.0, 1100.0)
    assert machine.step(session, request, answer, 1100.0, 0.5) == (session, ())


def test_an_item_that_tells_no_version_proves_nothing() -> None:
    gone = Ending(State.REMOVED, "gone")
    assert resolve_ending(gone, Target("item-1", "1"), ItemInfo("item-1", "disk", None)) == gone
