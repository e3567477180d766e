"""Lent API tokens: which one a request uses, and what its refusal means."""

from __future__ import annotations

import pytest

from keepalived.lease import events, machine
from keepalived.lease.answers import Answer, Outcome
from keepalived.lease.holds import (
    TOKEN_MAX_LENGTH,
    Hold,
    LentToken,
    Owner,
    OwnerKind,
    check_token,
    token_in,
)
from keepalived.lease.session import RequestKind, Session, Step
from tests.support.lease import BEGUN_AT, answered, settled_in

FIRST, SECOND = "token-of-the-first", "token-of-the-second"


def lender(uid: int, token: str | None) -> Hold:
    lent = None if token is None else LentToken(token)
    return Hold(uid, Owner(OwnerKind.NONE), BEGUN_AT, None, token=lent)


def lent(*tokens: str | None) -> Session:
    """Return a session whose holds, of the users 0, 1 …, come with these tokens."""
    return settled_in()._replace(holds=tuple(map(lender, range(len(tokens)), tokens)))


def refused(session: Session) -> Step:
    return answered(session, Outcome.UNAUTHENTICATED)


def token_of(session: Session) -> str | None:
    return machine.next_request(session, session.due).token


def test_a_request_goes_out_with_the_token_that_was_lent() -> None:
    assert token_of(lent(FIRST)) == FIRST
    assert token_of(lent(None, FIRST)) == FIRST
    assert token_of(lent(None)) is None


def test_all_that_a_round_asks_goes_out_with_it() -> None:
    session, _ = answered(lent(FIRST), follow_ups=(RequestKind.GET, RequestKind.FILES))
    assert session.next_kind is RequestKind.GET
    assert token_of(session) == FIRST


def test_several_tokens_take_turns_so_that_each_stays_fresh() -> None:
    session = lent(FIRST, SECOND)
    seen: list[str | None] = []
    for _ in range(4):
        seen.append(token_of(session))
        session, _ = answered(session)
    assert set(seen[:2]) == {FIRST, SECOND}
    assert seen[2:] == seen[:2]


def test_a_failed_attempt_tries_the_next_token() -> None:
    session = lent(FIRST, SECOND)
    first = token_of(session)
    session, _ = answered(session, Outcome.FORBIDDEN)
    assert token_of(session) != first


def test_a_refused_token_is_given_up_at_once_and_the_same_is_asked_without_it() -> None:
    session = lent(FIRST)
    due = session.due
    session, happened = refused(session)
    assert happened == (events.TokenRefused(session.key, Owner(OwnerKind.NONE), fallback=True),)
    assert session.next_kind is RequestKind.KEEP_ALIVE
    assert session.due == due
    assert session.tries == 0
    assert token_of(session) is None
    assert session.holds[0].token == LentToken(FIRST, refused=True)


def test_a_refused_token_leaves_another_in_use() -> None:
    session = lent(FIRST, SECOND)
    first = token_of(session)
    session, happened = refused(session)
    assert len(happened) == 1
    assert token_of(session) == ({FIRST, SECOND} - {first}).pop()


def test_a_token_that_two_parties_lent_is_refused_for_both() -> None:
    session, happened = refused(lent(FIRST, FIRST))
    assert [type(event) for event in happened] == 2 * [events.TokenRefused]
    assert [hold.token for hold in session.holds] == 2 * [LentToken(FIRST, refused=True)]
    assert token_of(session) is None


def test_a_look_that_finds_the_token_refused_is_repeated_without_it() -> None:
    session, _ = answered(lent(FIRST), follow_ups=(RequestKind.GET,))
    session, happened = refused(session)
    assert [type(event) for event in happened] == [events.TokenRefused]
    assert session.next_kind is RequestKind.GET
    assert token_of(session) is None


def test_a_fresh_token_that_came_meanwhile_is_not_given_up_for_the_old_one() -> None:
    session = lent(FIRST)
    request = machine.next_request(session, session.due)
    renewed = session._replace(holds=(lender(0, SECOND),))
    answer: Answer[None] = Answer(Outcome.UNAUTHENTICATED, session.due, session.due)
    session, happened = machine.step(renewed, request, answer, session.due, 0.5)
    assert happened == ()
    assert token_of(session) == SECOND


def test_without_a_token_a_401_is_a_failed_attempt() -> None:
    session, happened = refused(lent(None))
    assert [type(event) for event in happened] == [events.RenewalFailed]
    assert session.tries == 1


# -- what a token may be


def test_white_space_around_a_token_is_dropped() -> None:
    assert check_token(" b00dec0de \n") == "b00dec0de"


@pytest.mark.parametrize(
    "text",
    ["", " \n", "two words", "line\nbreak", "ümlaut", "nul\0", "x" * (TOKEN_MAX_LENGTH + 1)],
    ids=["empty", "blank", "space", "newline", "not ASCII", "NUL", "too long"],
)
def test_what_cannot_stand_in_a_header_is_no_token_and_is_not_repeated(text: str) -> None:
    with pytest.raises(ValueError, match="token") as raised:
        check_token(text)
    assert not text.strip() or text.strip() not in str(raised.value)


def test_no_representation_shows_a_token() -> None:
    session = lent(FIRST)
    request = machine.next_request(session, session.due)
    for thing in (session, request, session.holds, LentToken(FIRST)):
        assert FIRST not in repr(thing)


@pytest.mark.parametrize(
    "content",
    [
        b"T0KEN",
        b" T0KEN\r\n",
        b"\xef\xbb\xbfT0KEN\n",
        b'"T0KEN"\n',
        b'\xef\xbb\xbf"T0KEN"',
        b'{"value": "T0KEN"}',
        b"'T0KEN'",
    ],
)
def test_a_file_may_hold_the_answer_of_a_login(content: bytes) -> None:
    assert token_in(content) == "T0KEN"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b'""',
        b'"',
        b"'",
        b"{}",
        b'{"value": 5}',
        b'{"value": "two words"}',
        b'"T0KEN" "T0KEN"',
        b"[" * 100_000,
        b'"' + b"[" * 100_000,
        b"\xff\xfeT\0",
        b"T0KEN\nT0KEN",
    ],
)
def test_a_file_without_a_token_is_refused_and_not_quoted(content: bytes) -> None:
    with pytest.raises(ValueError, match="API token") as caught:
        token_in(content)
    assert "T0KEN" not in str(caught.value)
