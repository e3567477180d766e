"""What the daemon answers."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar, Literal

from keepalived.lease.answers import Outcome
from keepalived.lease.model import Kind, State
from keepalived.validation import Model


class HoldReply(Model):
    """One party's wish that the session stay alive."""

    uid: int
    """Whose hold it is."""

    owner: str
    """What it lives and dies with: `pid:4711`, `ttl:120`, `connection:NAME`, `file:PATH`,
    `command:NAME`, `discovery` for a session that nobody registered, or `none`."""

    since: datetime
    until: datetime | None
    """When it ends at the latest."""

    progress: int | None
    """In percent; worked out from the bytes where those are known."""

    bytes_done: int | None
    bytes_total: int | None
    note: str
    token: Literal["lent", "refused"] | None
    """Whether the uploader's API token came with it, and the server still takes it. A refused one
    is not used any more: PATCH lends a fresh one."""


class FileReply(Model):
    """One file of a session, as the server has it."""

    name: str
    source_type: str
    """PUSH, PULL or NONE: who moves the bytes."""

    status: str
    """The server's word: WAITING_FOR_TRANSFER, TRANSFERRING, VALIDATING, READY, ERROR …"""

    bytes_transferred: int
    size: int | None
    """In bytes, once the server knows it."""

    error_message: str | None
    """What the server says of a file in ERROR."""


class OutcomeReply(Model):
    """How a keep-alive was answered."""

    at: datetime
    outcome: Outcome


class SessionReply(Model):
    """One session."""

    vcenter: str
    kind: Kind
    id: str
    state: State
    since: datetime
    """When the daemon began to hold it."""

    deadline: datetime | None
    """When the server may let it expire, as far as is known."""

    slack: float | None
    """Seconds until the deadline; negative when overdue."""

    lifetime: float
    """Seconds it lives without activity."""

    next_attempt: datetime | None
    """When something will be sent for it; null once it has ended."""

    keep_alives: int
    """How many succeeded."""

    failures: int
    """How many attempts failed since the last success."""

    last_error: str
    """What the last failed attempt met; empty after a success."""

    progress: int | None
    """The percentage that the server acknowledged."""

    bytes_transferred: int | None
    """Bytes that the server has of its files."""

    bytes_total: int | None
    """The size of its files, once the server knows all of them."""

    files: tuple[FileReply, ...]
    """Its files, as they were last seen: the first 250, and one entry for all others."""

    stalled: float | None
    """Seconds since bytes were last seen moving, once that is long enough to be a stall."""

    library: str | None
    item: str | None
    reason: str | None
    """Why it ended."""

    error_message: str | None
    """What the server said when it ended in ERROR."""

    content_moved: bool | None
    """Whether the item's content version moved: whether the content arrived."""

    holds: tuple[HoldReply, ...]
    """The caller's own; everybody's for admins."""

    outcomes: tuple[OutcomeReply, ...]
    """How the last keep-alives were answered, newest last."""


class SessionList(Model):
    """The sessions that were asked for, and that the caller may see."""

    sessions: tuple[SessionReply, ...]


class ReleaseReply(Model):
    """A hold was let go."""

    released: HoldReply
    recorded: bool
    """Whether that was written down. If not, it holds for now, and a restart of the daemon may
    bring the hold back."""

    detail: str
    """The same in words."""


class KeepAliveReply(Model):
    """What came of a keep-alive that was asked for."""

    outcome: Outcome
    """`ok` means renewed."""

    detail: str
    """What the server or the network said."""

    session: SessionReply


class VCenterReply(Model):
    """One vCenter."""

    name: str
    up: bool
    sessions: int
    """Sessions held there: the caller's own, everybody's for admins."""

    in_flight: int | None
    """Requests under way; for admins."""

    utilization: float | None
    """Share of its request slots in use over the last minute, 0 to 1; for admins."""


class VCenterList(Model):
    """The vCenters that are configured."""

    vcenters: tuple[VCenterReply, ...]


class StatusReply(Model):
    """How things stand: of the caller's own sessions, of everybody's for admins."""

    version: str
    is_admin: bool
    """Whether the caller sees everything."""

    idle: bool
    """Whether nothing is held."""

    held: int
    at_risk: int
    """Renewals have been failing for a while, and there is time left."""

    overdue: int
    """Past their deadlines: only the server knows whether they live."""

    states: dict[State, int]
    """Sessions by state, those included that ended and are still shown."""

    vcenters: tuple[VCenterReply, ...]


class ReloadReply(Model):
    """The configuration was read again and applied."""

    refused: tuple[str, ...]
    """What was left out of it, and why: a change that needs a restart, for example."""


class EventLine(Model):
    """One line of an event stream. What does not apply to an event is left out."""

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
    """Whose hold was taken or let go."""

    owner: str | None = None
    """What that hold lives and dies with."""

    first: bool | None = None
    """Whether it was the session's first renewal."""

    slack: float | None = None
    """Seconds that were left."""

    progress: int | None = None
    outcome: str | None = None
    detail: str | None = None
    retry_in: float | None = None
    """Seconds until the next attempt."""

    lifetime: float | None = None
    """Seconds that a session lives, as the server teaches."""

    left: float | None = None
    """Seconds until the server may let the session expire, whatever is sent for it."""

    idle: float | None = None
    """Seconds without movement."""

    fallback: bool | None = None
    """Whether the session is renewed otherwise, though a lent token is refused."""

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
    """How many events a slow reader has missed, or how many problems a source has."""
