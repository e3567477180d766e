"""The credentials of repeated requests, and which of their answers counts."""

from __future__ import annotations

import pytest

from keepalived.lease import events, machine
from keepalived.lease.answers import Answer, Outcome
from keepalived.lease.holds import Hold, LentToken, Owner, OwnerKind
from keepalived.lease.model import State
from keepalived.lease.session import RequestKind, Session
from tests.support.lease import BEGUN_AT, settled_in

MINE, THEIRS = "token-of-mine", "token-of-theirs"


def lender(uid: int, token: str | None, *, proven: bool = False) -> Hold:
    lent = None if token is None else LentToken(token, proven=proven)
    return Hold(uid, Owner(OwnerKind.NONE, str(uid)), BEGUN_AT, None, token=lent)


def held_by(*holds: Hold) -> Session:
    return settled_in()._replace(holds=holds)


def asked(
    session: Session, outcome: Outcome, *, own: bool = True
) -> tuple[Session, tuple[events.Event, ...], str | None]:
    """Answer what is asked next; return also the token that it was asked with."""
    at = session.due
    request = machine.next_request(session, at, has_credentials=own)
    answer: Answer[object] = Answer(outcome, at, at, detail="words")
    after, happened = machine.step(session, request, answer, at, 0.5, has_credentials=own)
    return after, happened, request.token


FAILURES = (
    Outcome.TIMED_OUT,
    Outcome.UNREACHABLE,
    Outcome.UNAVAILABLE,
    Outcome.FAILED,
    Outcome.INVALID_ARGUMENT,
)


@pytest.mark.parametrize("outcome", FAILURES)
@pytest.mark.parametrize(
    ("proven", "own", "tokens"),
    [
        (False, True, [MINE, None, MINE, None]),
        (True, True, [MINE, MINE, None, MINE]),
        (False, False, [MINE, MINE, MINE, MINE]),
    ],
)
def test_what_fails_with_a_lone_lender_s_token_is_tried_with_our_own_credentials_as_well(
    outcome: Outcome, proven: bool, own: bool, tokens: list[str | None]
) -> None:
    session = held_by(lender(1, MINE, proven=proven), lender(1, None))
    tried = []
    for _ in tokens:
        session, _, token = asked(session, outcome, own=own)
        tried.append(token)
    assert tried == tokens


def test_after_a_failed_attempt_a_new_token_of_somebody_s_is_not_relied_on() -> None:
    session = held_by(lender(1, None), lender(2, THEIRS))
    session, _, token = asked(session, Outcome.TIMED_OUT)
    assert token == THEIRS
    assert asked(session, Outcome.OK)[2] is None


def test_a_new_token_s_404_ends_nothing_while_others_can_be_asked() -> None:
    session = held_by(lender(1, MINE, proven=True), lender(2, THEIRS))
    while True:
        session, happened, token = asked(session, Outcome.NOT_FOUND, own=False)
        assert happened == ()
        if token == THEIRS:
            break
        session = held_by(lender(1, MINE, proven=True), lender(2, THEIRS))._replace(
            renewals=session.renewals + 1
        )
    session, _, token = asked(session, Outcome.OK, own=False)
    assert token == MINE
    assert session.denied == ()
    assert session.state is State.ACTIVE


def test_two_new_tokens_that_disagree_end_nothing() -> None:
    session = held_by(lender(1, MINE), lender(2, THEIRS))
    session, happened, first = asked(session, Outcome.FORBIDDEN, own=False)
    assert happened == ()
    session, happened, second = asked(session, Outcome.NOT_FOUND, own=False)
    assert {first, second} == {MINE, THEIRS}
    assert session.next_kind is RequestKind.KEEP_ALIVE
    assert session.tries == 1


def test_where_our_own_credentials_cannot_tell_a_proven_token_can() -> None:
    session = held_by(lender(1, MINE, proven=True))
    for kind in (RequestKind.KEEP_ALIVE, RequestKind.GET):
        assert session.next_kind is kind
        session, _, token = asked(session, Outcome.NOT_FOUND)
        assert token == MINE
        session, _, token = asked(session, Outcome.LOGIN_REFUSED)
        assert token is None
    assert session.state is State.REMOVED


def test_our_own_answer_stands_before_that_of_a_token() -> None:
    session = held_by(lender(1, None), lender(2, THEIRS))
    session, _, _ = asked(session, Outcome.NOT_FOUND)
    session, _, token = asked(session, Outcome.FORBIDDEN)
    assert token is None
    assert (session.state, session.tries) == (State.ACTIVE, 1)
