"""The models of requests: their paths, query strings and bodies."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from keepalived.control.base import (
    Count,
    Duration,
    Flag,
    Number,
    OwnerName,
    SessionId,
    TextLine,
    Token,
    VCenterName,
    Whole,
)
from keepalived.lease.model import Kind, State
from keepalived.lease.progress import Progress
from keepalived.validation import Choice, Contradiction, Model, Pattern, Range

THE_ONLY_ONE = "-"
"""Stands for the name of the only configured vCenter."""

_OWNER = re.compile(
    r"^(pid:[0-9]{1,7}|ttl(:[0-9.]{1,16})?|connection(:[A-Za-z0-9._:-]{1,64})?|none|discovery)$"
)
_LARGEST_PID = 2**22  # PID_MAX_LIMIT of a 64-bit Linux


class NoParams(Model):
    """No parameters."""


class VCenterPath(Model):
    """Selects a vCenter."""

    vcenter: VCenterName
    """The vCenter's configured name; `-` means the only configured one."""


class SessionPath(VCenterPath):
    """Selects a session."""

    id: SessionId
    """The session's id, as the server returned it."""


class KindQuery(Model):
    """Selects the kind of session."""

    kind: Kind = Kind.UPDATE
    """Whether the id belongs to an update session or to a download session."""


class HoldQuery(KindQuery):
    """Selects a hold. Needed only if there are several."""

    owner: (
        Annotated[
            str,
            Pattern(
                _OWNER,
                "must be an owner as shown in holds: pid:N, ttl, ttl:SECONDS, connection, "
                "connection:NAME, none or discovery",
            ),
        ]
        | None
    ) = None
    """The owner, as shown in a hold's `owner`. `ttl` or `connection` alone is enough if there is
    only one such hold."""

    uid: Number | None = None
    """The holder, for admins. Default: the admin's own holds or, without any, all holds."""


class ListQuery(Model):
    """Filters the list of sessions."""

    vcenter: VCenterName | None = None
    """Only sessions of this vCenter."""

    state: tuple[State, ...] = ()
    """Only sessions in one of these states."""

    mine: Flag = False
    """Only sessions that the caller holds, or held until they ended."""


class EventQuery(Model):
    """Filters the event stream."""

    vcenter: VCenterName | None = None
    """Only events of this vCenter and its sessions."""

    id: SessionId | None = None
    """Only events of sessions with this id."""


class PidOwner(Model):
    """The hold ends with this process, which must belong to the caller."""

    pid: Annotated[int, Range(1, _LARGEST_PID), Whole]


class TtlOwner(Model):
    """The hold ends this long after its last PUT or PATCH."""

    ttl: Duration


class ConnectionOwner(Model):
    """The hold ends when the response is closed.

    With `true`, the daemon chooses a name. With a name of its own, the caller can take the hold
    again after a restart of the daemon, within one lifetime of the session.
    """

    connection: Literal[True] | OwnerName


def _which_owner(value: object) -> type[Model] | None:
    names = value.keys() if isinstance(value, dict) else ()
    return next((kind for name, kind in _OWNERS.items() if name in names), None)


_OWNERS: dict[str, type[Model]] = {
    "pid": PidOwner,
    "ttl": TtlOwner,
    "connection": ConnectionOwner,
}


OwnerSpec = Annotated[
    PidOwner | TtlOwner | ConnectionOwner,
    Choice(_which_owner, 'must be {"pid": N}, {"ttl": "2m"}, {"connection": true} or null'),
]


class ProgressUpdate(Model):
    """The progress of the upload, in percent or in bytes, and the uploader's token."""

    progress: Annotated[int, Range(0, 100), Whole] | None = None
    """Progress in percent."""

    bytes_done: Count | None = None
    """Bytes sent so far."""

    bytes_total: Count | None = None
    """Total bytes to send."""

    token: Token | None = None
    """The uploader's own API token (`vmware-api-session-id`). Requests for the session use it, so
    that its API session stays alive, too. A new token replaces the previous one, and `null` removes
    it. The token is stored with the daemon's state; it is never shown, and never logged out."""

    def __post_init__(self) -> None:
        """Reject contradictory progress."""
        try:
            self.to_progress()
        except ValueError as error:
            raise Contradiction(str(error)) from error

    def to_progress(self) -> Progress | None:
        """Return the progress, None if the request reports none."""
        if self.progress is self.bytes_done is self.bytes_total is None:
            return None
        return Progress(self.progress, self.bytes_done, self.bytes_total)


class HoldRequest(ProgressUpdate):
    """The hold to take or update. Fields that are left out keep their present values."""

    owner: OwnerSpec | None
    """What the hold depends on. `null` means that it lasts until it is released or expires."""

    max_lifetime: Duration | None = None
    """The longest time that the hold lasts from now on. Default: 7 days, or 24 hours without an
    owner. A hold with a `ttl` must leave it out."""

    note: TextLine | None = None
    """Free text that explains the hold to people."""

    def __post_init__(self) -> None:
        """Reject two time limits."""
        super().__post_init__()
        if self.max_lifetime is not None and isinstance(self.owner, TtlOwner):
            raise Contradiction("a hold with a ttl has no max_lifetime; leave it out")
