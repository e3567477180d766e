"""What `keepalived.hold` raises. No message holds a secret."""

from __future__ import annotations

from keepalived.lease.events import SessionEnd
from keepalived.lease.model import State


class HoldError(Exception):
    """A session cannot be held, or was lost while it was held: what all of these are."""


class InvalidArguments(HoldError, ValueError):
    """`hold`, or a method of what it returns, was called in a way that cannot be meant."""


class AccessRefused(HoldError):
    """The vCenter takes neither the credentials nor the API token that were given."""


class VCenterUnavailable(HoldError):
    """The vCenter could not be asked when the block was entered."""


class SessionLost(HoldError):
    """The session ended otherwise than by being completed.

    Raised at the end of the block, and when it is entered with a session that has ended already.
    """

    def __init__(self, end: SessionEnd) -> None:
        super().__init__(end)  # what is unpickled is made of this again
        self.end = end

    def __str__(self) -> str:
        return words_for(self.end)

    @property
    def session_id(self) -> str:
        """The server's id of the session."""
        return self.end.key.id

    @property
    def state(self) -> State:
        """What the session ended as."""
        return self.end.state

    @property
    def error_message(self) -> str | None:
        """The server's own words, where it gave any."""
        return self.end.error_message


def words_for(end: SessionEnd) -> str:
    """Return in a line how a session ended, for people."""
    why = f": {end.error_message}" if end.error_message else ""
    return f"{end.key.kind} session {end.key.id} ended as {end.state} ({end.reason}){why}"
