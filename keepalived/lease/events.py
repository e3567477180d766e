"""What happens to sessions, vCenters and sources: one frozen type for each kind of event.

The core returns some of these from its functions; other parts create them where they happen.
Every listener has a method `notify(event)` and matches the types it needs. The three types that
each keep-alive causes are tuples, which cost a third of a dataclass to make.

Times are seconds. `slack` is the time left until the deadline, negative for an overdue session and
None for one that was never renewed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from keepalived.lease.answers import FileInfo, Outcome
from keepalived.lease.holds import Hold, Owner
from keepalived.lease.model import SessionKey, State

# -- holds


@dataclass(frozen=True, slots=True)
class HoldTaken:
    """A session has a new hold."""

    key: SessionKey
    hold: Hold


@dataclass(frozen=True, slots=True)
class HoldChanged:
    """A hold has other contents: progress, a time limit, a note or a token."""

    key: SessionKey
    before: Hold
    hold: Hold


@dataclass(frozen=True, slots=True)
class HoldReleased:
    """A session has lost a hold. `state` is the session's state after that."""

    key: SessionKey
    hold: Hold
    state: State


# -- renewals


class AttemptStarted(NamedTuple):
    """A worker took up a session `lag` seconds after it fell due."""

    vcenter: str
    lag: float


class KeepAliveAnswered(NamedTuple):
    """A keep-alive was answered, or was given up, after `seconds` on the wire."""

    key: SessionKey
    outcome: Outcome
    seconds: float


class Renewed(NamedTuple):
    """A keep-alive succeeded with `slack` seconds left. `progress`, in percent, went with it."""

    key: SessionKey
    first: bool
    slack: float | None
    progress: int | None


@dataclass(frozen=True, slots=True)
class RenewalFailed:
    """An attempt failed; the next one follows in `retry_in` seconds."""

    key: SessionKey
    outcome: Outcome
    detail: str
    retry_in: float
    slack: float | None
    lifetime: float


@dataclass(frozen=True, slots=True)
class SessionAtRisk:
    """A session is at risk or overdue while its vCenter is down, so that no request can fail."""

    key: SessionKey
    slack: float | None
    lifetime: float


@dataclass(frozen=True, slots=True)
class LifetimeLearned:
    """The server's answers say that the session lives for `after` seconds.

    `configured` is the configured lifetime, and `clock_ahead` by how many seconds the server's
    `Date` is ahead of this machine's clock, None where unknown.
    """

    key: SessionKey
    before: float
    after: float
    configured: float | None = field(default=None, compare=False)
    clock_ahead: float | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class RenewalWithoutEffect:
    """A renewal succeeded and did not move `expiration_time`, `left` seconds from now.

    Occurs once until a renewal moves it.
    """

    key: SessionKey
    left: float | None


@dataclass(frozen=True, slots=True)
class TokenRefused:
    """The vCenter refuses the API token that came with a hold.

    `fallback` says whether the session is renewed otherwise, with another lent token or with the
    vCenter's own credentials.
    """

    key: SessionKey
    owner: Owner
    fallback: bool


# -- transfers


@dataclass(frozen=True, slots=True)
class FileFailed:
    """A file of the session went into ERROR. Occurs once per file."""

    key: SessionKey
    file: FileInfo


@dataclass(frozen=True, slots=True)
class SessionStalled:
    """A transfer that was moving has stood still for `idle` seconds. Occurs once until it moves."""

    key: SessionKey
    idle: float


@dataclass(frozen=True, slots=True)
class SessionMoving:
    """A transfer that had stalled moves again."""

    key: SessionKey


# -- ends


@dataclass(frozen=True, slots=True)
class SessionEnd:
    """A session reached a final state.

    `content_moved` says whether the library item's content version moved beyond the one the
    session started from: the only proof of arrival that outlives the session. None if unknown.
    """

    key: SessionKey
    state: State
    reason: str
    error_message: str | None
    held_seconds: float
    keep_alives: int
    progress: int | None
    library: str | None
    item: str | None
    content_moved: bool | None


@dataclass(frozen=True, slots=True)
class SessionForgotten:
    """An ended session is not shown any more, or begins anew."""

    key: SessionKey


# -- vCenters


@dataclass(frozen=True, slots=True)
class VCenterAdded:
    """Sessions of a vCenter are kept from now on."""

    vcenter: str


@dataclass(frozen=True, slots=True)
class VCenterRemoved:
    """A vCenter is not configured any more."""

    vcenter: str


@dataclass(frozen=True, slots=True)
class VCenterDown:
    """Three requests in a row could not reach the vCenter."""

    vcenter: str
    outcome: Outcome
    detail: str


@dataclass(frozen=True, slots=True)
class VCenterUp:
    """The vCenter answers again after `down_seconds`."""

    vcenter: str
    down_seconds: float


@dataclass(frozen=True, slots=True)
class LoginTried:
    """A login was tried; `outcome` is ok, refused or failed."""

    vcenter: str
    outcome: str


# -- sources of sessions


@dataclass(frozen=True, slots=True)
class SourceFailed:
    """A source could not be read, in whole or in part. Occurs once for each change of that."""

    source: str
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SourceRecovered:
    """A source that had failed can be read again."""

    source: str


Event = (
    Renewed
    | KeepAliveAnswered
    | AttemptStarted
    | HoldTaken
    | HoldChanged
    | HoldReleased
    | RenewalFailed
    | SessionAtRisk
    | LifetimeLearned
    | RenewalWithoutEffect
    | TokenRefused
    | FileFailed
    | SessionStalled
    | SessionMoving
    | SessionEnd
    | SessionForgotten
    | VCenterAdded
    | VCenterRemoved
    | VCenterDown
    | VCenterUp
    | LoginTried
    | SourceFailed
    | SourceRecovered
)


EACH_KEEP_ALIVE = (Renewed, KeepAliveAnswered, AttemptStarted)
"""The types that each keep-alive causes. Listeners that do not need them may skip them early."""


class Listener(Protocol):
    """Receives events as they happen. Must neither block nor raise."""

    def notify(self, event: Event) -> None:
        """Take note of an event."""
