"""What requests may contain: the parts of paths, query strings and bodies."""

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
    Token,
    VCenterName,
    Whole,
    Words,
)
from keepalived.lease.model import Kind, State
from keepalived.lease.progress import Progress
from keepalived.validation import Choice, Contradiction, Model, Pattern, Range

THE_ONLY_ONE = "-"
"""In the place of a vCenter's name: the only one that is configured."""

_OWNER = re.compile(
    r"^(pid:[0-9]{1,7}|ttl(:[0-9.]{1,16})?|connection(:[A-Za-z0-9._:-]{1,64})?|none|discovery)$"
)
_LARGEST_PID = 2**22  # PID_MAX_LIMIT of a 64-bit Linux


class NoParams(Model):
    """No parameters."""


class VCenterPath(Model):
    """Which vCenter."""

    vcenter: VCenterName
    """The vCenter's configured name; `-` means the only one there is."""


class SessionPath(VCenterPath):
    """Which session."""

    id: SessionId
    """The session's id, as the server gave it."""


class KindQuery(Model):
    """Of which kind the session is."""

    kind: Kind = Kind.UPDATE
    """Whether the id is one of an update session or of a download session."""


class HoldQuery(KindQuery):
    """Which hold is meant; needs to be said only where there are several."""

    owner: (
        Annotated[
            str,
            Pattern(
                _OWNER,
                "must be an owner as holds show it: pid:N, ttl, ttl:SECONDS, connection, "
                "connection:NAME, none or discovery",
            ),
        ]
        | None
    ) = None
    """The owner, as a hold's `owner` says it; `ttl` and `connection` alone will do where there is
    one such hold."""

    uid: Number | None = None
    """Whose hold, for admins. Without it, their own; where they have none, the only one."""


class ListQuery(Model):
    """Which sessions."""

    vcenter: VCenterName | None = None
    """Those of this vCenter alone."""

    state: tuple[State, ...] = ()
    """Those in one of these states."""

    mine: Flag = False
    """Those alone that the caller holds, or held until they ended."""


class EventQuery(Model):
    """Which events."""

    vcenter: VCenterName | None = None
    """Those of this vCenter and its sessions alone."""

    id: SessionId | None = None
    """Those of sessions with this id alone."""


class PidOwner(Model):
    """The hold lives as long as this process, which has to be one of the caller's own."""

    pid: Annotated[int, Range(1, _LARGEST_PID), Whole]


class TtlOwner(Model):
    """The hold lives this long beyond its last PUT or PATCH."""

    ttl: Duration


class ConnectionOwner(Model):
    """The hold lives as long as the response stays open.

    `true` lets the daemon choose a name; a name of the caller's choice lets the caller come back
    to the hold after the daemon was restarted, within one lifetime of the session.
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
    """How far the upload has come, in percent or in bytes, and with which token it goes on."""

    progress: Annotated[int, Range(0, 100), Whole] | None = None
    """Percent."""

    bytes_done: Count | None = None
    """Bytes that have been sent."""

    bytes_total: Count | None = None
    """Bytes that there are to send."""

    token: Token | None = None
    """The uploader's own API token (`vmware-api-session-id`), lent so that its API session stays
    fresh, too: what is sent for the session goes out with it. A fresh one takes the place of the
    one before, `null` takes it back, and it is never shown. It is kept where the daemon keeps its
    state, and is never logged out."""

    def __post_init__(self) -> None:
        """Reject wishes that cannot be fulfilled."""
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
    """A hold as it is to be. What is left out keeps the value that the hold has already."""

    owner: OwnerSpec | None
    """What the hold lives and dies with. `null` means nothing: somebody has to let it go."""

    max_lifetime: Duration | None = None
    """When the hold ends at the latest, counted from now: 7 days, or 24 hours without an owner,
    unless said otherwise here. A hold with a `ttl` has that instead."""

    note: Words | None = None
    """A word for whoever looks at the hold."""

    def __post_init__(self) -> None:
        """Reject two limits at once."""
        super().__post_init__()
        if self.max_lifetime is not None and isinstance(self.owner, TtlOwner):
            raise Contradiction("a hold with a ttl ends by that: leave max_lifetime out")
