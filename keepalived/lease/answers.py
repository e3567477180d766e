"""Types for a vCenter's answers: outcomes, sessions, files and library items."""

from __future__ import annotations

from enum import StrEnum
from typing import Generic, NamedTuple, TypeVar

T_co = TypeVar("T_co", covariant=True)


class Outcome(StrEnum):
    """The class of an answer; also the `outcome` label of the keep-alive counter."""

    OK = "ok"
    NOT_ALLOWED = "not_allowed"
    """400 not_allowed_in_current_state."""
    INVALID_ARGUMENT = "invalid_argument"
    """400 invalid_argument."""
    NOT_FOUND = "not_found"
    """404 on a route that is known to exist."""
    UNAUTHENTICATED = "unauthenticated"
    """401 again, after a new login."""
    FORBIDDEN = "forbidden"
    """403."""
    REDIRECTED = "redirected"
    """3xx: a configuration error."""
    FAILED = "failed"
    """409, 500 and other unexpected answers: concerns this request alone."""
    UNAVAILABLE = "unavailable"
    """429, 502, 503 or 504; or a 2xx whose body no vCenter sends."""
    TIMED_OUT = "timed_out"
    UNREACHABLE = "unreachable"
    """No connection: DNS, refused, reset, TLS."""
    NOT_SENT = "not_sent"
    """This process had no descriptor or memory left: says nothing about the vCenter."""
    LOGIN_REFUSED = "login_refused"
    """The credentials were refused, now or within the last minute."""

    # A dictionary key for each answer; the hash of Enum is slow, since it is computed in Python.
    __hash__ = str.__hash__

    @property
    def is_vcenter_failure(self) -> bool:
        """Whether this answer counts against the reachability of the whole vCenter."""
        return self in _VCENTER_WIDE


_VCENTER_WIDE = frozenset(
    {Outcome.UNAVAILABLE, Outcome.TIMED_OUT, Outcome.UNREACHABLE, Outcome.LOGIN_REFUSED}
)


class Answer(NamedTuple, Generic[T_co]):
    """The result of a request, answered or not.

    `sent_at` and `received_at` are seconds on the boot-time clock, and belong to the last attempt
    at the request. `value` is set exactly when `outcome` is OK. `detail` is a message for people,
    and never contains a secret. `error_type` is the vAPI error type from the body of a refusal, in
    lower case, or empty. `retry_after` is in seconds.
    """

    outcome: Outcome
    sent_at: float
    received_at: float
    value: T_co | None = None
    detail: str = ""
    status: int | None = None
    retry_after: float | None = None
    error_type: str = ""


class SessionInfo(NamedTuple):
    """The answer to `get`.

    `state` is as the server reports it: ACTIVE, DONE, ERROR or CANCELED. `lifetime_left` is
    `expiration_time` minus the `Date` of the same response, in seconds; None if either is missing.
    `expires_at` is `expiration_time` itself, in seconds since the epoch by the server's clock.
    `clock_ahead` is how many seconds `Date` was ahead of this machine's clock when the request was
    sent.
    """

    id: str
    state: str
    item_id: str | None = None
    content_version: str | None = None
    client_progress: int | None = None
    lifetime_left: float | None = None
    error_message: str | None = None
    expires_at: float | None = None
    clock_ahead: float | None = None


class FileInfo(NamedTuple):
    """One file of a session. Sizes are in bytes; `size` is None until the file is READY."""

    name: str
    source_type: str
    status: str
    bytes_transferred: int = 0
    size: int | None = None
    error_message: str | None = None


class ItemInfo(NamedTuple):
    """A library item. `library` is the library's name if it could be read.

    `content_version` shows whether content arrived; None if the server does not report it.
    """

    id: str
    name: str
    content_version: str | None
    library: str | None = None
