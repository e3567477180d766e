"""The basic types of the core: session keys, kinds and states."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import NamedTuple

SESSION_ID_MAX_LENGTH = 255
_SESSION_ID = re.compile(rf"(?!\.{{1,2}}$)[A-Za-z0-9._:-]{{1,{SESSION_ID_MAX_LENGTH}}}")


class Kind(StrEnum):
    """The kind of a session: one of the two session resources of the Content Library."""

    UPDATE = "update"
    DOWNLOAD = "download"

    # Part of every session key; the hash of Enum is slow, since it is computed in Python.
    __hash__ = str.__hash__


class SessionKey(NamedTuple):
    """Identifies a session: the configured name of its vCenter, its kind, and the server's id."""

    vcenter: str
    kind: Kind
    id: str


class State(StrEnum):
    """The state of a session, as the daemon sees it."""

    PENDING = "PENDING"
    ACTIVE = "ACTIVE"
    DONE = "DONE"
    ERROR = "ERROR"
    CANCELED = "CANCELED"
    EXPIRED = "EXPIRED"
    REMOVED = "REMOVED"
    NOT_FOUND = "NOT_FOUND"
    RELEASED = "RELEASED"

    # Sessions are counted by state.
    __hash__ = str.__hash__

    @property
    def is_final(self) -> bool:
        """Whether a session in this state has ended: no more requests are sent for it."""
        return self not in _ALIVE

    @property
    def is_failure(self) -> bool:
        """Whether a session that ended in this state has lost its content."""
        return self in (State.ERROR, State.EXPIRED, State.NOT_FOUND)


_ALIVE = (State.PENDING, State.ACTIVE)
FINAL_STATES = tuple(state for state in State if state.is_final)


def check_session_id(text: str) -> str:
    """Return `text` if it is a valid session id; raise ValueError with the reason otherwise.

    An id is part of a URL's path, where dot segments and slashes would be resolved: an invalid id
    could direct a request to another endpoint.
    """
    if _SESSION_ID.fullmatch(text):
        return text
    if not text:
        raise ValueError("a session id must not be empty")
    if len(text) > SESSION_ID_MAX_LENGTH:
        raise ValueError(f"a session id has at most {SESSION_ID_MAX_LENGTH} characters")
    raise ValueError(
        f"{text!r} is not a session id: ids consist of letters, digits and . _ : - "
        "and are neither '.' nor '..'"
    )
