"""How sessions end: what the server's answers mean, and what the library item adds."""

from __future__ import annotations

from dataclasses import dataclass, replace

from keepalived.lease.answers import ItemInfo, SessionInfo
from keepalived.lease.model import Kind, State


@dataclass(frozen=True, slots=True)
class Target:
    """The library item that a session fills, and its content version when the session began."""

    item_id: str
    content_version: str


@dataclass(frozen=True, slots=True)
class Ending:
    """How a session ended, or, while that is being settled, what is known of it so far.

    `content_moved` says whether the item's content version moved; None if that is unknown.
    """

    state: State
    reason: str
    error_message: str | None = None
    content_moved: bool | None = None


_TOLD = {
    "DONE": (State.DONE, "completed"),
    "ERROR": (State.ERROR, "the server reports an error"),
    "CANCELED": (State.CANCELED, "canceled on the server"),
}
_VANISHED = frozenset({State.REMOVED, State.EXPIRED, State.NOT_FOUND})


def ending_from_server(info: SessionInfo) -> Ending | None:
    """Return the end that the server reports, or None for a session that has not ended."""
    if info.state not in _TOLD:
        return None
    state, reason = _TOLD[info.state]
    return Ending(state, reason, info.error_message)


def ending_for_missing(kind: Kind, deadline: float | None, at: float) -> Ending:
    """Return the ending of a session that the server did not know at the time `at`.

    `deadline` is None for a session that was never renewed. Uploaders delete their sessions after
    completing them, and the server does not delete one before its lifetime is over: a session that
    is gone before its deadline was deleted by somebody. A download is never completed: deleting its
    session is how it ends when all has gone well.
    """
    if deadline is None:
        return Ending(State.NOT_FOUND, "the server does not know this session")
    if at < deadline:
        if kind is Kind.DOWNLOAD:
            return Ending(State.DONE, "deleted by its client")
        return Ending(State.REMOVED, "somebody ended and deleted it before its lifetime was over")
    return Ending(State.EXPIRED, "it was gone after its lifetime had passed without a renewal")


UNMOVED = Ending(
    State.EXPIRED, "its keep-alives were answered, but had no effect on the server, and it expired"
)
"""The end of a session that is gone after renewals that did not move its expiration."""


def resolve_ending(ending: Ending, target: Target, item: ItemInfo) -> Ending:
    """Complete an ending with what the item shows.

    New content proves that a session which is gone was completed first. An ending that the server
    itself reported is not changed.
    """
    if item.content_version is None:
        return ending
    moved = _has_moved(target.content_version, item.content_version)
    if moved and ending.state in _VANISHED:
        return Ending(State.DONE, "completed and deleted", content_moved=True)
    return replace(ending, content_moved=moved)


def _has_moved(before: str, after: str) -> bool:
    """Whether a content version lies beyond another; versions are decimal numbers in practice."""
    if before.isdecimal() and after.isdecimal():
        return int(after) > int(before)
    return before != after
