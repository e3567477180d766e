"""The final lines: what arrived, what did not and why, and what was left on the server."""

from __future__ import annotations

from dataclasses import dataclass

from keepalived.lease.endings import Ending
from keepalived.lease.model import Kind, State
from keepalived.lease.session import Session
from keepalived.lease.stalls import is_server_at_work
from keepalived.lease.text import duration, printable
from keepalived.wrapper.ownership import name_of


@dataclass(frozen=True, slots=True)
class Account:
    """The outcome of one of the command's own sessions.

    `held` is how long it was held, and `idle` the longest time without activity of its uploader;
    both in seconds.
    """

    session: Session
    held: float
    idle: float


def line(account: Account) -> str:
    """Return a summary of a session for the user, in one line."""
    session = account.session
    spans = (
        f"held {duration(account.held)}, longest idle gap {duration(account.idle)} "
        f"of {duration(session.lifetime)} allowed"
    )
    return f"{printable(_subject(session))}{_outcome(session)}; {spans}"


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


def _outcome(session: Session) -> str:
    is_download = session.key.kind is Kind.DOWNLOAD
    if is_left_open(session):
        if is_server_at_work(session.files):
            return ", still open: vCenter is at work on it"
        return ", still open" if is_download else ", still open: it was not completed"
    ending = session.ending
    assert ending is not None  # noqa: S101 - a session without an ending is open
    if is_download:
        return f", {ending.reason if ending.state is State.DONE else _why(ending)}"
    if ending.content_moved:
        return ", content arrived"
    if ending.state is State.DONE and ending.content_moved is None:
        return ", completed; whether its content arrived could not be verified"
    return f", content did not arrive: {_why(ending)}"


def _why(ending: Ending) -> str:
    words = f"{ending.state}, {ending.reason}"
    return f"{words} ({printable(ending.error_message)})" if ending.error_message else words
