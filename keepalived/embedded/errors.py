"""The exceptions of `keepalived.hold`. No message contains a secret."""

from __future__ import annotations

from keepalived.lease.events import SessionEnd
from keepalived.lease.model import State


class HoldError(Exception):
    """A session cannot be held, or was lost while it was held: the base of all these errors."""


class InvalidArguments(HoldError, ValueError):
    """`hold`, or a method of the object it returns, was called with invalid arguments."""


class AccessRefused(HoldError):
    """The vCenter rejects the given credentials or API token."""


class VCenterUnavailable(HoldError):
    """The vCenter could not be reached when the block was entered."""


class SessionLost(HoldError):
    """The session ended in another way than by being completed.

    Raised at the end of the block, and on entry if the session has already ended.
    """

    def __init__(self, end: SessionEnd) -> None:
        super().__init__(end)  # unpickling calls the class with this again
        self.end = end

    def __str__(self) -> str:
        return describe_end(self.end)

    @property
    def session_id(self) -> str:
        """The server's id of the session."""
        return self.end.key.id

    @property
    def state(self) -> State:
        """The final state of the session."""
        return self.end.state

    @property
    def error_message(self) -> str | None:
        """The server's error message, if it gave one."""
        return self.end.error_message


def describe_end(end: SessionEnd) -> str:
    """Describe how a session ended, in one line."""
    why = f": {end.error_message}" if end.error_message else ""
    return f"{end.key.kind} session {end.key.id} ended as {end.state} ({end.reason}){why}"
