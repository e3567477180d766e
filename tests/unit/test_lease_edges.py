"""Exact messages, and boundary values of the core's rules."""

from __future__ import annotations

import pytest

from keepalived.lease import events, stalls, timing
from keepalived.lease import session as core
from keepalived.lease.answers import Answer, FileInfo, ItemInfo, Outcome
from keepalived.lease.endings import (
    Ending,
    Target,
    ending_for_missing,
    ending_from_server,
    resolve_ending,
)
from keepalived.lease.holds import TOKEN_MAX_LENGTH, Hold, LentToken, Owner, OwnerKind, check_token
from keepalived.lease.latency import LatencyEstimate
from keepalived.lease.machine import next_request, step
from keepalived.lease.model import SESSION_ID_MAX_LENGTH, Kind, State, check_session_id
from keepalived.lease.session import RequestKind, Session
from tests.support.lease import BEGUN_AT, OWNER, answered, begun, info, settled_in

HOUR = 3600.0
LATE = 0.25
"""Seconds between sending and looking at the answer."""


def said(ending: Ending) -> tuple[State, str]:
    return ending.state, ending.reason


# -- words


@pytest.mark.parametrize(
    ("kind", "deadline", "state", "reason"),
    [
        (Kind.UPDATE, None, State.NOT_FOUND, "the server does not know this session"),
        (Kind.DOWNLOAD, 11.0, State.DONE, "deleted by its client"),
        (
            Kind.UPDATE,
            11.0,
            State.REMOVED,
            "another client deleted it before its lifetime was over",
        ),
        (
            Kind.UPDATE,
            10.0,
            State.EXPIRED,
            "missing after its lifetime passed without a renewal",
        ),
    ],
)
def test_what_is_said_of_a_session_that_is_gone(
    kind: Kind, deadline: float | None, state: State, reason: str
) -> None:
    assert said(ending_for_missing(kind, deadline, 10.0)) == (state, reason)


def test_what_is_said_of_content_that_arrived() -> None:
    gone = ending_for_missing(Kind.UPDATE, 11.0, 10.0)
    found = resolve_ending(gone, Target("item-1", "1"), ItemInfo("item-1", "x", "2"))
    assert said(found) == (State.DONE, "completed and deleted")


def test_what_is_said_of_a_hold_that_was_let_go() -> None:
    _, happened = core.release_hold(begun(), 0, OWNER, 1000.0)
    (ended,) = (event for event in happened if isinstance(event, events.SessionEnd))
    assert (ended.state, ended.reason) == (State.RELEASED, "its last hold was released")


def test_what_is_said_of_a_token_that_cannot_be_one() -> None:
    with pytest.raises(ValueError, match=r"^the API token is empty$"):
        check_token(" \n")
    with pytest.raises(
        ValueError,
        match=r"^an API token consists of printable ASCII characters without spaces: "
        r"the value of vmware-api-session-id, and nothing else$",
    ):
        check_token("two words")
    assert check_token("x" * TOKEN_MAX_LENGTH) == "x" * TOKEN_MAX_LENGTH


def test_what_is_said_of_an_id_that_cannot_be_one() -> None:
    with pytest.raises(ValueError, match=r"^a session id must not be empty$"):
        check_session_id("")
    longest = "/" * SESSION_ID_MAX_LENGTH
    with pytest.raises(ValueError, match=r"digits and \. _ : - and are neither '\.' nor '\.\.'$"):
        check_session_id(longest)
    with pytest.raises(ValueError, match=r"^a session id has at most \d+ characters$"):
        check_session_id(longest + "/")


# -- edges


def test_an_attempt_that_times_out_at_the_deadline_still_fits() -> None:
    lifetime = 300.0
    slack = lifetime * (1 - 0.55)
    assert timing.attempts_that_fit(lifetime, slack) == 1
    assert timing.attempts_that_fit(lifetime, slack + 1) == 0


def test_what_is_about_as_usual_teaches_nothing() -> None:
    usual = LatencyEstimate(5.0)
    assert usual.after(Outcome.OK, 5.0 - 1e-6) is usual


@pytest.mark.parametrize(("before", "after"), [("9", "10"), ("a", "b"), ("9", "b"), ("a", "10")])
def test_a_version_that_is_no_number_has_moved_where_it_differs(before: str, after: str) -> None:
    gone = ending_for_missing(Kind.UPDATE, 11.0, 10.0)
    found = resolve_ending(gone, Target("item-1", before), ItemInfo("item-1", "x", after))
    assert found.content_moved is True


def test_one_file_that_moves_is_enough_whatever_comes_before_it() -> None:
    def file(name: str, arrived: int) -> FileInfo:
        return FileInfo(name, "PUSH", "TRANSFERRING", arrived)

    before = (file("b", 1),)
    assert stalls.was_moving(before, (file("a", 1), file("b", 2)))


def test_due_counts_to_the_tolerance_and_hastening_leaves_what_is_due_alone() -> None:
    # Near zero, where the tolerance is not lost in rounding.
    session = settled_in()._replace(due=timing.DUE_TOLERANCE)
    assert session.is_due(0.0)
    assert not session.is_due(-timing.DUE_TOLERANCE)
    assert core.make_due(session, session.due) is session


def later(session: Session, outcome: Outcome, value: object = None) -> core.Step:
    """Let a request be answered that was sent when it was due, and looked at a little later."""
    return answered(session, outcome, value, took=LATE)


def test_a_refused_token_is_followed_at_once_by_the_same_request_without_it() -> None:
    lent = Hold(0, Owner(OwnerKind.NONE), BEGUN_AT, None, token=LentToken("token"))
    session = settled_in()._replace(holds=(lent,))
    after, _ = later(session, Outcome.UNAUTHENTICATED)
    assert after.due == session.due + LATE
    assert next_request(after, after.due).token is None


def test_an_end_is_settled_at_once_and_without_doubt() -> None:
    session = settled_in()._replace(target=Target("item-1", "1"))
    needs_confirmation, _ = later(session, Outcome.NOT_FOUND)
    assert needs_confirmation.needs_confirmation
    settling, _ = later(needs_confirmation, Outcome.NOT_FOUND)
    assert settling.next_kind is RequestKind.ITEM
    assert settling.needs_confirmation is False
    assert settling.due == needs_confirmation.due + LATE
    assert settling.settling_since == settling.due


def test_an_item_that_cannot_be_had_is_given_up_an_hour_after_the_end_and_not_before() -> None:
    session = settled_in()._replace(target=Target("item-1", "1"))
    session, _ = answered(session, Outcome.NOT_FOUND)
    session, _ = answered(session, Outcome.NOT_FOUND)
    since = session.settling_since
    assert since is not None
    early, _ = answered(session, Outcome.UNREACHABLE, at=since + HOUR - 1)
    assert not early.state.is_final
    late, _ = answered(early, Outcome.UNREACHABLE, at=since + HOUR)
    assert late.state.is_final


def looked(session: Session, arrived: int, at: float) -> core.Step:
    """Renew a session at a time, and let the look at its one file show that many bytes."""
    session, _ = answered(session._replace(due=at), at=at, follow_ups=(RequestKind.FILES,))
    files = (FileInfo("disk.vmdk", "PUSH", "TRANSFERRING", arrived),)
    return answered(session, value=files, at=at, follow_ups=(RequestKind.FILES,))


def test_movement_is_told_only_after_a_stall_and_lengthens_what_is_guarded() -> None:
    guarded = Hold(0, Owner(OwnerKind.DISCOVERY), BEGUN_AT, BEGUN_AT + HOUR)
    session = settled_in()._replace(holds=(guarded,))
    session, _ = looked(session, 10, 10_000.0)
    session, happened = looked(session, 20, 10_150.0)
    assert not any(isinstance(event, events.SessionMoving) for event in happened)
    assert session.stalled is False
    (hold,) = session.holds
    assert hold.until is not None
    assert guarded.until is not None
    assert hold.until > guarded.until
    session, happened = looked(session._replace(stalled=True), 30, 10_300.0)
    assert any(isinstance(event, events.SessionMoving) for event in happened)
    assert session.stalled is False


def test_a_transfer_that_has_just_stopped_is_not_moving() -> None:
    session, _ = looked(settled_in(), 10, 10_000.0)
    session, _ = looked(session, 20, 10_150.0)
    session, happened = looked(session._replace(stalled=True), 20, 10_151.0)
    assert not any(isinstance(event, events.SessionMoving) for event in happened)
    assert session.stalled


def test_what_is_said_of_a_transfer_that_was_abandoned() -> None:
    guarded = Hold(0, Owner(OwnerKind.DISCOVERY), BEGUN_AT, None)
    session = settled_in()._replace(holds=(guarded,))
    session, _ = looked(session, 10, 10_000.0)
    session, _ = looked(session, 20, 10_150.0)
    _, happened = looked(session, 20, 10_150.0 + stalls.STALL_TIMEOUT)
    (ended,) = (event for event in happened if isinstance(event, events.SessionEnd))
    assert ended.reason == ("its transfer has stalled for too long, and it has no other hold")


def test_a_late_answer_is_looked_at_when_it_is_there() -> None:
    session = settled_in()
    request = next_request(session, session.due)
    answer: Answer[object] = Answer(Outcome.OK, session.due, session.due + LATE, None)
    after, _ = step(session, request, answer, session.due + LATE, 0.5, (RequestKind.GET,))
    assert after.next_kind is RequestKind.GET
    assert after.due == session.due + LATE
    seen, _ = later(after, Outcome.OK, info())
    assert seen.next_kind is RequestKind.KEEP_ALIVE


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ("DONE", "completed"),
        ("ERROR", "the server reports an error"),
        ("CANCELED", "canceled on the server"),
    ],
)
def test_what_is_said_of_an_end_that_the_server_tells(state: str, reason: str) -> None:
    ending = ending_from_server(info(state, error="the disk is full"))
    assert ending is not None
    assert said(ending) == (State(state), reason)
    assert ending.error_message == "the disk is full"


def test_what_has_ended_is_in_no_doubt() -> None:
    session, _ = answered(settled_in(), Outcome.NOT_FOUND)
    assert session.needs_confirmation
    ended, _ = answered(session, value=info("DONE"))
    assert ended.state is State.DONE
    assert ended.needs_confirmation is False


def test_a_wait_that_was_asked_for_takes_half_of_what_remains_and_no_more() -> None:
    assert timing.delay_with_retry_after(0.0, 100.0, 0.5, 300.0) == 0.25
    # Nothing remains: it is a matter of the lifetime then.
    assert timing.delay_with_retry_after(0.0, 1000.0, 0.0, 300.0) == 150.0
    assert timing.delay_with_retry_after(0.0, 1000.0, None, 300.0) == 150.0


def test_a_round_that_has_taken_too_long_since_its_renewal_looks_no_further() -> None:
    follow_ups = (RequestKind.GET, RequestKind.FILES)
    session, _ = answered(settled_in(), follow_ups=follow_ups)
    prompt, _ = answered(session, value=info(), follow_ups=follow_ups)
    assert prompt.next_kind is RequestKind.FILES
    slow, _ = answered(session, value=info(), took=250.0, follow_ups=follow_ups)
    assert slow.next_kind is RequestKind.KEEP_ALIVE
