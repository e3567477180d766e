"""Determines how a session ended, from the server's answers and its library item."""

from __future__ import annotations

from typing import NamedTuple

from keepalived.lease.answers import ItemInfo, SessionInfo
from keepalived.lease.model import Kind, State


class Target(NamedTuple):
    """The library item that a session fills, and its content version when the session began.

    The version is None if the session had ended before it was first read.
    """

    item_id: str
    content_version: str | None


class Ending(NamedTuple):
    """How a session ended, or what is known so far while the library item is still being read.

    `content_moved` says whether the item's content version increased; None if unknown.
    """

    state: State
    reason: str
    error_message: str | None = None
    content_moved: bool | None = None


_REPORTED = {
    "DONE": (State.DONE, "completed"),
    "ERROR": (State.ERROR, "the server reports an error"),
    "CANCELED": (State.CANCELED, "canceled on the server"),
}
_MISSING = frozenset({State.REMOVED, State.EXPIRED, State.NOT_FOUND})


def ending_from_server(info: SessionInfo) -> Ending | None:
    """Return the end that the server reports, or None for a session that has not ended."""
    if info.state not in _REPORTED:
        return None
    state, reason = _REPORTED[info.state]
    return Ending(state, reason, info.error_message)


def ending_for_missing(kind: Kind, deadline: float | None, at: float) -> Ending:
    """Return the ending of a session that the server did not find at the time `at`.

    `deadline` is None for a session that was never renewed. The server deletes no session before
    its lifetime is over, so one that is missing before its deadline was deleted by a client, as
    uploaders do after completing it. A download is never completed: deleting its session is its
    normal end.
    """
    if deadline is None:
        return Ending(State.NOT_FOUND, "the server does not know this session")
    if at < deadline:
        if kind is Kind.DOWNLOAD:
            return Ending(State.DONE, "deleted by its client")
        return Ending(State.REMOVED, "another client deleted it before its lifetime was over")
    return Ending(State.EXPIRED, "missing after its lifetime passed without a renewal")


NOT_EXTENDED = Ending(
    State.EXPIRED, "its keep-alives were answered, but had no effect on the server, and it expired"
)
"""The ending of a session that is missing after renewals that did not extend it."""


def resolve_ending(ending: Ending, target: Target, item: ItemInfo) -> Ending:
    """Complete an ending with what the item shows.

    New content proves that a missing session had been completed. An ending that the server itself
    reported is not changed.
    """
    if item.content_version is None or target.content_version is None:
        return ending
    moved = _has_moved(target.content_version, item.content_version)
    if moved and ending.state in _MISSING:
        return Ending(State.DONE, "completed and deleted", content_moved=True)
    return ending._replace(content_moved=moved)


def _has_moved(before: str, after: str) -> bool:
    """Whether a content version is later than another; in practice, both are decimal numbers."""
    if before.isdecimal() and after.isdecimal():
        return int(after) > int(before)
    return before != after
