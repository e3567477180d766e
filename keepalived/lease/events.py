"""Events of sessions, vCenters and sources: one immutable type for each kind.

Functions of the core return some of them; other packages create the rest. A listener has one
method, `notify(event)`, and matches the types it needs. The three types that each keep-alive causes
are tuples, which cost a third of a dataclass to create.

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
    """The progress, time limit, note or token of a hold has changed."""

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
    """A worker began a renewal `lag` seconds after the session fell due."""

    vcenter: str
    lag: float


class KeepAliveAnswered(NamedTuple):
    """A keep-alive was answered, or timed out, `seconds` after it was sent."""

    key: SessionKey
    outcome: Outcome
    seconds: float


class Renewed(NamedTuple):
    """A keep-alive succeeded with `slack` seconds left; it reported `progress`, in percent."""

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
    """A session is at risk or overdue while its vCenter is down.

    No request is sent then, so there is no RenewalFailed.
    """

    key: SessionKey
    slack: float | None
    lifetime: float


@dataclass(frozen=True, slots=True)
class LifetimeLearned:
    """According to the server, the session's lifetime is `after` seconds.

    `configured` is the configured lifetime. `clock_ahead` is how many seconds the server's `Date`
    is ahead of this machine's clock. Both are None if unknown.
    """

    key: SessionKey
    before: float
    after: float
    configured: float | None = field(default=None, compare=False)
    clock_ahead: float | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class RenewalWithoutEffect:
    """A renewal succeeded without extending the session, which expires in `left` seconds.

    Not repeated until a renewal has extended the session.
    """

    key: SessionKey
    left: float | None


@dataclass(frozen=True, slots=True)
class TokenRefused:
    """The vCenter refuses the API token lent with a hold.

    `fallback` says whether other credentials remain: another lent token, or the vCenter's own.
    """

    key: SessionKey
    owner: Owner
    fallback: bool


# -- transfers


@dataclass(frozen=True, slots=True)
class FileFailed:
    """A file of the session changed to status ERROR. Occurs once per file."""

    key: SessionKey
    file: FileInfo


@dataclass(frozen=True, slots=True)
class SessionStalled:
    """A transfer has not moved for `idle` seconds. Not repeated until it moves again."""

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

    `content_moved` says whether the library item's content version increased since the session
    began: the only proof of arrival that outlives the session. None if unknown.
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
    """An ended session is no longer shown, because it is old or was restarted."""

    key: SessionKey


# -- vCenters


@dataclass(frozen=True, slots=True)
class VCenterAdded:
    """A vCenter was added, and its sessions can be held."""

    vcenter: str


@dataclass(frozen=True, slots=True)
class VCenterRemoved:
    """A vCenter is no longer configured."""

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
    """A source could not be read completely. Occurs once for each change of its problems."""

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
"""The types that each keep-alive causes. Listeners that ignore them may return early."""


class Listener(Protocol):
    """Receives events as they happen. Must neither block nor raise."""

    def notify(self, event: Event) -> None:
        """Process an event."""
