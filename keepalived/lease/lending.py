"""Chooses the credentials of a request, and interprets answers to lent tokens."""

from __future__ import annotations

from typing import NamedTuple

from keepalived.lease import holds as hold_rules
from keepalived.lease.answers import Answer, Outcome
from keepalived.lease.session import Denial, RequestKind, Session


class SessionRequest(NamedTuple):
    """The next request. `progress` is for a keep-alive, `item_id` for reading the item.

    `token` is the lent token to send; None means the vCenter's own credentials.
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
    """Return the token for a request, or None for the vCenter's own credentials.

    Renewals use the lent tokens in turn, so that all of them stay alive and new ones are tried.
    After a failure, which may concern one token alone, the renewal is repeated with reliable
    credentials in turn: tokens that have renewed the session, the vCenter's own credentials, and
    new tokens if the session has only one user.
    """
    denied = {denial.token.value for denial in session.denied}
    in_use = hold_rules.tokens_in_use(session.holds)
    tokens: list[str | None] = [token for token in in_use if token not in denied]
    turn = session.renewals + session.tries
    if denied or session.tries or kind is not RequestKind.KEEP_ALIVE:
        reliable = [
            token
            for token in in_use
            if token not in denied and hold_rules.is_conclusive_for(session.holds, token)
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


def may_concern_token_alone(
    session: Session, request: SessionRequest, answer: Answer[object], *, has_credentials: bool
) -> bool:
    """Whether an answer may concern a lent token alone.

    If so, the request is repeated with other credentials before it counts as failed or ends the
    session.
    """
    if request.token is None or answer.outcome is Outcome.OK:
        return False
    if answer.outcome is Outcome.UNAUTHENTICATED:
        return True
    is_proven = request.token in hold_rules.tokens_in_use(session.holds, proven=True)
    is_of_token = answer.outcome in _OF_TOKEN or answer.status in _STATUSES_OF_TOKEN
    if not is_of_token and (is_proven or answer.outcome in _OF_SESSION):
        return False
    if not is_of_token and answer.status is None:
        return False  # a network failure
    return (
        has_credentials
        or token_to_use(
            with_denial(session, request.token, answer.outcome), request.kind, has_credentials=False
        )
        is not None
    )


_OF_TOKEN = frozenset({Outcome.FORBIDDEN, Outcome.NOT_FOUND})
_STATUSES_OF_TOKEN = frozenset({401, 403, 404})
_OF_SESSION = frozenset({Outcome.NOT_ALLOWED, Outcome.INVALID_ARGUMENT})
_NO_ACCESS = frozenset({Outcome.LOGIN_REFUSED, Outcome.UNAUTHENTICATED, Outcome.FORBIDDEN})
"""Outcomes that say nothing about the session: the credentials have no access to it."""


def with_denial(session: Session, token: str, outcome: Outcome) -> Session:
    """Record the outcome of the current request with a lent token."""
    denial = Denial(hold_rules.LentToken(token), outcome)
    return session._replace(denied=(*session.denied, denial))


def effective_answer(
    session: Session, request: SessionRequest, answer: Answer[object]
) -> Answer[object]:
    """Return the answer that counts, considering earlier answers to the same request."""
    if request.token is None:
        is_gone = any(
            denial.outcome is Outcome.NOT_FOUND
            and hold_rules.is_conclusive_for(session.holds, denial.token.value)
            for denial in session.denied
        )
        # If our own credentials are refused, only the answers to lent tokens count.
        is_not_found = is_gone and answer.outcome in _NO_ACCESS
        return answer._replace(outcome=Outcome.NOT_FOUND) if is_not_found else answer
    if answer.outcome is not Outcome.NOT_FOUND:
        return answer
    all_agree = all(denial.outcome is Outcome.NOT_FOUND for denial in session.denied)
    is_new = session.renewals == 0
    if all_agree and (is_new or hold_rules.is_conclusive_for(session.holds, request.token)):
        return answer
    detail = "not found with a lent API token that has never renewed it, which proves nothing"
    return answer._replace(outcome=Outcome.FORBIDDEN, detail=detail)
