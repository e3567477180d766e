"""Format the final lines of `exec`: for each session, whether its content arrived, or why not."""

from __future__ import annotations

from dataclasses import dataclass

from keepalived.lease.endings import Ending
from keepalived.lease.model import Kind, State
from keepalived.lease.session import Session
from keepalived.lease.stalls import is_server_at_work
from keepalived.lease.text import duration, printable
from keepalived.wrapper.ownership import name_of


@dataclass(frozen=True, slots=True)
class SessionOutcome:
    """The outcome of one of the command's own sessions.

    `held` is how long it was held, and `idle` the longest time without activity of its uploader;
    both in seconds.
    """

    session: Session
    held: float
    idle: float


def line(outcome: SessionOutcome) -> str:
    """Return a summary of a session for the user, in one line."""
    session = outcome.session
    expires = "would have expired" if outcome.idle > session.lifetime else "expires"
    spans = (
        f"held {duration(outcome.held)}, longest pause {duration(outcome.idle)} "
        f"(it {expires} after {duration(session.lifetime)})"
    )
    return f"{what_became(session)}; {spans}"


def what_became(session: Session) -> str:
    """Return how a session ended, in one line."""
    return f"{printable(_subject(session))}{_result(session)}"


def is_left_open(session: Session) -> bool:
    """Whether a session is still open on the server, as far as is known."""
    return session.ending is None or session.ending.state is State.RELEASED


def _subject(session: Session) -> str:
    name = name_of(session)
    before = session.target.content_version if session.target else None
    after = session.item.content_version if session.item else None
    if session.key.kind is Kind.DOWNLOAD:
        return f"{name} (download)"
    if session.ending is None or before is None or after is None or before == after:
        return name
    return f"{name} version {before}\N{RIGHTWARDS ARROW}{after}"


def _result(session: Session) -> str:
    is_download = session.key.kind is Kind.DOWNLOAD
    if is_left_open(session):
        if is_server_at_work(session.files):
            return ", still open: vCenter is processing it"
        return ", still open" if is_download else ", still open: it was not completed"
    ending = session.ending
    assert ending is not None  # noqa: S101 - a session without an ending is open
    if is_download:
        return f", {ending.reason if ending.state is State.DONE else _reason(ending)}"
    if ending.content_moved:
        return ", content arrived"
    if ending.state is State.DONE and ending.content_moved is None:
        return ", completed; whether its content arrived could not be verified"
    return f", content did not arrive: {_reason(ending)}"


def _reason(ending: Ending) -> str:
    reason = f"{ending.state}, {ending.reason}"
    return f"{reason} ({printable(ending.error_message)})" if ending.error_message else reason
