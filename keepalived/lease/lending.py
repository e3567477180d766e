"""Which credentials a request uses, and what an answer to a lent token means."""

from __future__ import annotations

from typing import NamedTuple

from keepalived.lease import holds as hold_rules
from keepalived.lease.answers import Answer, Outcome
from keepalived.lease.session import Denial, RequestKind, Session


class SessionRequest(NamedTuple):
    """What to send next. `progress` belongs to a keep-alive, `item_id` to a request for the item.

    `token` is the borrowed token to send; None means the vCenter's own credentials.
    """

    kind: RequestKind
    timeout: float
    progress: int | None = None
    item_id: str | None = None
    token: str | None = None

    def __repr__(self) -> str:
        """Show everything but the token."""
        shown = self._replace(token=None if self.token is None else "***")
        return f"Request{tuple(shown)}"


def token_to_use(session: Session, kind: RequestKind, *, has_credentials: bool) -> str | None:
    """Return the token to ask with, None for the vCenter's own credentials.

    A renewal is first sent with the lent tokens, each in turn, so that all of them stay alive and
    new ones are tried. After a failure it is repeated with reliable credentials, in turn: tokens
    that have renewed the session, the vCenter's own credentials, and the new token of a lone
    lender. A failure, or no answer at all, may concern one token alone.
    """
    denied = {denial.token.value for denial in session.denied}
    in_use = hold_rules.tokens_in_use(session.holds)
    tokens: list[str | None] = [token for token in in_use if token not in denied]
    turn = session.renewals + session.tries
    if denied or session.tries or kind is not RequestKind.KEEP_ALIVE:
        reliable = [
            token
            for token in in_use
            if token not in denied and hold_rules.speaks_for_all(session.holds, token)
        ]
        if session.tries and has_credentials:
            proven = hold_rules.tokens_in_use(session.holds, proven=True)
            new = [token for token in reliable if token not in proven]
            tokens = [*(token for token in reliable if token in proven), None, *new]
            turn = session.tries - 1
        elif reliable or has_credentials:
            tokens = [*reliable]
    if not tokens:
        return None
    return tokens[turn % len(tokens)]


def is_passed_on(
    session: Session, request: SessionRequest, answer: Answer[object], *, has_credentials: bool
) -> bool:
    """Whether an answer may concern a borrowed token alone, so that the request is repeated.

    The request is sent with other credentials before it counts as failed or ends the session.
    """
    if request.token is None or answer.outcome is Outcome.OK:
        return False
    if answer.outcome is Outcome.UNAUTHENTICATED:
        return True
    is_proven = request.token in hold_rules.tokens_in_use(session.holds, proven=True)
    is_of_the_token = answer.outcome in _OF_THE_TOKEN or answer.status in _STATUSES_OF_THE_TOKEN
    if not is_of_the_token and (is_proven or answer.outcome in _OF_THE_SESSION):
        return False
    if not is_of_the_token and answer.status is None:
        return False  # of the network
    return (
        has_credentials
        or token_to_use(
            denying(session, request.token, answer.outcome), request.kind, has_credentials=False
        )
        is not None
    )


_OF_THE_TOKEN = frozenset({Outcome.FORBIDDEN, Outcome.NOT_FOUND})
_STATUSES_OF_THE_TOKEN = frozenset({401, 403, 404})
_OF_THE_SESSION = frozenset({Outcome.NOT_ALLOWED, Outcome.INVALID_ARGUMENT})
_NO_WORD = frozenset({Outcome.LOGIN_REFUSED, Outcome.UNAUTHENTICATED, Outcome.FORBIDDEN})
"""Outcomes that say nothing about the session: the credentials may not ask for it."""


def denying(session: Session, token: str, outcome: Outcome) -> Session:
    """Note how the current request was answered with a lent token."""
    denial = Denial(hold_rules.LentToken(token), outcome)
    return session._replace(denied=(*session.denied, denial))


def as_it_stands(
    session: Session, request: SessionRequest, answer: Answer[object]
) -> Answer[object]:
    """Return the answer that counts, given the earlier answers to the same request."""
    if request.token is None:
        is_gone = any(
            denial.outcome is Outcome.NOT_FOUND
            and hold_rules.speaks_for_all(session.holds, denial.token.value)
            for denial in session.denied
        )
        # If our own credentials are refused, the answers to lent tokens are all there is.
        is_settled = is_gone and answer.outcome in _NO_WORD
        return answer._replace(outcome=Outcome.NOT_FOUND) if is_settled else answer
    if answer.outcome is not Outcome.NOT_FOUND:
        return answer
    do_agree = all(denial.outcome is Outcome.NOT_FOUND for denial in session.denied)
    is_new = session.renewals == 0
    if do_agree and (is_new or hold_rules.speaks_for_all(session.holds, request.token)):
        return answer
    words = "not found by a lent API token, which has never renewed it: that proves nothing"
    return answer._replace(outcome=Outcome.FORBIDDEN, detail=words)
