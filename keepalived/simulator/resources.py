"""The resources of a Content Library: libraries, items, sessions and their files."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from keepalived.lease.model import Kind
from keepalived.simulator.content import Content


class SessionState(StrEnum):
    """The states of a session on the server. A download session is never DONE."""

    ACTIVE = "ACTIVE"
    DONE = "DONE"
    ERROR = "ERROR"
    CANCELED = "CANCELED"


class SourceType(StrEnum):
    """Where the content of a session's file comes from."""

    NONE = "NONE"
    PUSH = "PUSH"
    PULL = "PULL"


class TransferStatus(StrEnum):
    """The state of a session's file."""

    WAITING_FOR_TRANSFER = "WAITING_FOR_TRANSFER"
    TRANSFERRING = "TRANSFERRING"
    VALIDATING = "VALIDATING"
    READY = "READY"
    ERROR = "ERROR"


class PrepareStatus(StrEnum):
    """The state of the preparation of a file for download."""

    UNPREPARED = "UNPREPARED"
    PREPARING = "PREPARING"
    PREPARED = "PREPARED"
    ERROR = "ERROR"


class SessionEvent(StrEnum):
    """The events of a session."""

    CREATED = "created"
    EXPIRED = "expired"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    DELETED = "deleted"


@dataclass(slots=True)
class Library:
    """A local library. Times are in seconds on the server's monotonic clock."""

    id: str
    name: str
    created_at: float
    description: str = ""


@dataclass(slots=True)
class Item:
    """A library item. `files` maps the name of each received file to its content."""

    id: str
    library_id: str
    name: str
    created_at: float
    type: str = ""
    description: str = ""
    content_version: int = 1
    files: dict[str, Content] = field(default_factory=dict)
    active_update_session: str | None = None


@dataclass(slots=True)
class File:
    """One file of an update session. Sizes are in bytes.

    `ticket` is the secret part of the upload URL of a PUSH file. `pull_started_at` is when the
    server began to fetch a PULL file. `receiving` is whether a PUT is in progress.
    """

    name: str
    source_type: SourceType
    declared_size: int | None = None
    source_uri: str | None = None
    ticket: str = ""
    status: TransferStatus = TransferStatus.WAITING_FOR_TRANSFER
    bytes_transferred: int = 0
    pull_started_at: float | None = None
    receiving: bool = False
    error: str | None = None
    content: Content | None = None


@dataclass(slots=True)
class DownloadFile:
    """One file of a download session, with its content at the creation of the session.

    `ticket` is the secret part of the download URL, set when a client requests it at
    `requested_at`. `bytes_transferred` is how many bytes were sent.
    """

    name: str
    content: Content
    ticket: str = ""
    requested_at: float | None = None
    bytes_transferred: int = 0


@dataclass(slots=True)
class ServerSession:
    """An update or download session.

    `expires_at` is when the session ends without activity, `announced_expiry` the time that `get`
    reports: they differ only under a fault. `validates_at` is when the last pull of a completed
    session is done, and `completes_at` when its files are also validated. An update session has
    `files`, a download session `downloads`, each by name.
    """

    id: str
    kind: Kind
    item_id: str
    content_version: int
    creator: str
    created_at: float
    expires_at: float
    announced_expiry: float
    state: SessionState = SessionState.ACTIVE
    client_progress: int | None = None
    validates_at: float | None = None
    completes_at: float | None = None
    error: str | None = None
    files: dict[str, File] = field(default_factory=dict)
    downloads: dict[str, DownloadFile] = field(default_factory=dict)
