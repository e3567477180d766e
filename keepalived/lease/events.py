"""Events of sessions, vCenters and sources: one named tuple for each kind.

Functions of the core return some of them; other packages create the rest. A listener has one
method, `notify(event)`, and matches the types it needs.

Times are seconds. `slack` is the time left until the deadline, negative for an overdue session and
None for one that was never renewed.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from keepalived.lease.answers import FileInfo, Outcome
from keepalived.lease.holds import Hold, Owner
from keepalived.lease.model import SessionKey, State

# -- holds


class HoldTaken(NamedTuple):
    """A session has a new hold."""

    key: SessionKey
    hold: Hold


class HoldChanged(NamedTuple):
    """The progress, time limit, note or token of a hold has changed."""

    key: SessionKey
    before: Hold
    hold: Hold


class HoldReleased(NamedTuple):
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


class RenewalFailed(NamedTuple):
    """An attempt failed; the next one follows in `retry_in` seconds."""

    key: SessionKey
    outcome: Outcome
    detail: str
    retry_in: float
    slack: float | None
    lifetime: float


class SessionAtRisk(NamedTuple):
    """A session is at risk or overdue while its vCenter is down.

    No request is sent then, so there is no RenewalFailed.
    """

    key: SessionKey
    slack: float | None
    lifetime: float


class LifetimeLearned(NamedTuple):
    """According to the server, the session's lifetime is `after` seconds.

    `configured` is the configured lifetime. `clock_ahead` is how many seconds the server's `Date`
    is ahead of this machine's clock. Both are None if unknown.
    """

    key: SessionKey
    before: float
    after: float
    configured: float | None = None
    clock_ahead: float | None = None


class RenewalWithoutEffect(NamedTuple):
    """A renewal succeeded without extending the session, which expires in `left` seconds.

    Not repeated until a renewal has extended the session.
    """

    key: SessionKey
    left: float | None


class TokenRefused(NamedTuple):
    """The vCenter refuses the API token lent with a hold.

    `fallback` says whether other credentials remain: another lent token, or the vCenter's own.
    """

    key: SessionKey
    owner: Owner
    fallback: bool


# -- transfers


class FileFailed(NamedTuple):
    """A file of the session changed to status ERROR. Occurs once per file."""

    key: SessionKey
    file: FileInfo


class SessionStalled(NamedTuple):
    """A transfer has not moved for `idle` seconds. Not repeated until it moves again."""

    key: SessionKey
    idle: float


class SessionMoving(NamedTuple):
    """A transfer that had stalled moves again."""

    key: SessionKey


# -- ends


class SessionEnd(NamedTuple):
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


class SessionForgotten(NamedTuple):
    """An ended session is no longer shown, because it is old or was restarted."""

    key: SessionKey


# -- vCenters


class VCenterAdded(NamedTuple):
    """A vCenter was added, and its sessions can be held."""

    vcenter: str


class VCenterRemoved(NamedTuple):
    """A vCenter is no longer configured."""

    vcenter: str


class VCenterDown(NamedTuple):
    """Three requests in a row could not reach the vCenter."""

    vcenter: str
    outcome: Outcome
    detail: str


class VCenterUp(NamedTuple):
    """The vCenter answers again after `down_seconds`."""

    vcenter: str
    down_seconds: float


class LoginTried(NamedTuple):
    """A login was tried; `outcome` is ok, refused or failed."""

    vcenter: str
    outcome: str


# -- sources of sessions


class SourceFailed(NamedTuple):
    """A source could not be read completely. Occurs once for each change of its problems."""

    source: str
    problems: tuple[str, ...]


class SourceRecovered(NamedTuple):
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


ONLY_COUNTED = frozenset({KeepAliveAnswered, AttemptStarted})
"""The types that each keep-alive causes and that only the metrics use."""


class Listener(Protocol):
    """Receives events as they happen. Must neither block nor raise."""

    def notify(self, event: Event) -> None:
        """Process an event."""
