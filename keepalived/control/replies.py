"""The models of response bodies, except those of `vcenter_sessions` and `problems`."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar, Literal

from keepalived.lease.answers import Outcome
from keepalived.lease.model import Kind, State
from keepalived.validation import Model


class HoldReply(Model):
    """A hold, which keeps its session alive."""

    uid: int
    """The user id of the holder."""

    owner: str
    """What the hold depends on: `pid:4711`, `ttl:120`, `connection:NAME`, `file:PATH`,
    `command:NAME`, `discovery` for an unregistered session, or `none`."""

    since: datetime
    until: datetime | None
    """When the hold ends at the latest."""

    progress: int | None
    """In percent; calculated from the bytes if these are known."""

    bytes_done: int | None
    bytes_total: int | None
    note: str
    token: Literal["lent", "refused"] | None
    """Whether the uploader lent its API token, and whether the server refused it. A refused token
    is no longer used; PATCH lends a new one."""


class FileReply(Model):
    """One file of a session, as the server reports it."""

    name: str
    source_type: str
    """How the content is transferred: PUSH, PULL or NONE."""

    status: str
    """The status on the server: WAITING_FOR_TRANSFER, TRANSFERRING, VALIDATING, READY, ERROR …"""

    bytes_transferred: int
    size: int | None
    """In bytes; null until the server knows it."""

    error_message: str | None
    """The server's message about a file in ERROR."""


class OutcomeReply(Model):
    """The outcome of one keep-alive."""

    at: datetime
    outcome: Outcome


class SessionReply(Model):
    """One session."""

    vcenter: str
    kind: Kind
    id: str
    state: State
    since: datetime
    """When the daemon began to hold the session."""

    deadline: datetime | None
    """When the session may expire on the server; null if unknown."""

    slack: float | None
    """Seconds until the deadline; negative when overdue."""

    lifetime: float
    """Seconds that the session lives without activity."""

    next_attempt: datetime | None
    """When the next request is due; null once the session has ended."""

    keep_alives: int
    """The number of successful keep-alives."""

    failures: int
    """The number of failed attempts since the last success."""

    last_error: str
    """Why the last attempt failed; empty after a success."""

    progress: int | None
    """The percentage that the server acknowledged."""

    bytes_transferred: int | None
    """Bytes of its files that the server has."""

    bytes_total: int | None
    """The total size of its files; null until the server knows all sizes."""

    files: tuple[FileReply, ...]
    """Its files, as last reported: the first 250, and one entry for all others."""

    stalled: float | None
    """Seconds without transfer progress; null unless that is long enough to be a stall."""

    library: str | None
    item: str | None
    reason: str | None
    """Why the session ended."""

    error_message: str | None
    """The server's message if the session ended in ERROR."""

    content_moved: bool | None
    """Whether the item's content version changed, which means that the content arrived."""

    holds: tuple[HoldReply, ...]
    """The caller's holds; all holds for admins."""

    outcomes: tuple[OutcomeReply, ...]
    """The outcomes of the last keep-alives, the newest last."""


class SessionList(Model):
    """The requested sessions that the caller may see."""

    sessions: tuple[SessionReply, ...]


class ReleaseReply(Model):
    """A released hold."""

    released: HoldReply
    recorded: bool
    """Whether the release was saved. If not, a restart of the daemon may bring the hold back."""

    detail: str
    """What happened, and what to do."""


class KeepAliveReply(Model):
    """The result of a requested keep-alive."""

    outcome: Outcome
    """`ok` means renewed."""

    detail: str
    """The message of the server or of the network error."""

    session: SessionReply


class VCenterReply(Model):
    """One vCenter."""

    name: str
    up: bool
    sessions: int
    """The number of sessions held there: the caller's, or all for admins."""

    in_flight: int | None
    """Requests in progress; only for admins."""

    utilization: float | None
    """Share of its request slots used in the last minute, 0 to 1; only for admins."""


class VCenterList(Model):
    """The configured vCenters."""

    vcenters: tuple[VCenterReply, ...]


class StatusReply(Model):
    """Counts of the caller's sessions, or of all sessions for admins."""

    version: str
    is_admin: bool
    """Whether the caller has access to everything."""

    idle: bool
    """Whether nothing is held."""

    held: int
    at_risk: int
    """Sessions whose renewals have failed for a while, but whose deadlines are still ahead."""

    overdue: int
    """Sessions past their deadlines, which may have expired on the server."""

    states: dict[State, int]
    """The number of sessions in each state, including ended ones that are still shown."""

    vcenters: tuple[VCenterReply, ...]


class ReloadReply(Model):
    """The result of a reload that took effect."""

    refused: tuple[str, ...]
    """Changes that were not applied, and why. For example, some need a restart."""


class EventLine(Model):
    """One line of an event stream. Fields that do not apply to the event are left out."""

    omitted: ClassVar[tuple[object, ...]] = (None,)

    event: str
    """What happened: stream_started, hold_taken, hold_released, renewed, renewal_failed,
    lifetime_learned, renewal_without_effect, file_failed, session_stalled, session_moving,
    token_refused, session_ended, vcenter_down, vcenter_up, events_lost; and for admins login,
    source_failed, source_recovered."""

    at: datetime
    vcenter: str | None = None
    kind: Kind | None = None
    id: str | None = None
    uid: int | None = None
    """The user whose hold was taken or released."""

    owner: str | None = None
    """The owner of that hold."""

    first: bool | None = None
    """Whether it was the session's first renewal."""

    slack: float | None = None
    """Seconds that were left until the deadline."""

    progress: int | None = None
    outcome: str | None = None
    detail: str | None = None
    retry_in: float | None = None
    """Seconds until the next attempt."""

    lifetime: float | None = None
    """Seconds that a session lives without activity, as learned from the server."""

    left: float | None = None
    """Seconds until the session may expire on the server despite its renewals."""

    idle: float | None = None
    """Seconds without transfer progress."""

    fallback: bool | None = None
    """Whether the session is renewed with other credentials after a lent token was refused."""

    file: str | None = None
    error_message: str | None = None
    state: State | None = None
    reason: str | None = None
    library: str | None = None
    item: str | None = None
    content_moved: bool | None = None
    down_seconds: float | None = None
    source: str | None = None
    count: int | None = None
    """The number of events that a slow reader missed, or of problems that a source has."""
