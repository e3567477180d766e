"""Limits on what one caller and all callers may use, against mistakes and abuse."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of the control socket. Only limits on all callers together apply to admins.

    `share_of` lowers the limits that cost descriptors if the process has too few of them.
    """

    connections: int = 448
    """Open connections. Each costs a descriptor and about 100 KiB. A hold that a connection owns
    keeps one open."""

    connections_reserved: int = 16
    """Connections reserved for admins, so that they can connect when all others are in use."""

    connections_per_uid: int = 192
    """One user's open connections: less than half, so that other users can connect."""

    sessions: int = 200_000
    """Known sessions, including ended ones that are still shown. Each costs about 2 KiB of memory.
    A vCenter cannot handle the renewals of that many."""

    sessions_per_uid: int = 20_000
    """One user's sessions, counted likewise: ten times what a busy platform team holds."""

    holds_per_session: int = 32
    """One user's holds on one session, for scripts that share it."""

    holds_per_session_in_all: int = 256
    """All users' holds on one session. Each change reads all of them."""

    holds: int = 250_000
    """All users' live holds, at about 500 bytes each, plus their texts."""

    holds_per_uid: int = 25_000
    """One user's live holds: one for each session, and more for some of them."""

    hold_bytes: int = 64 * 1024 * 1024
    """Bytes of all notes, tokens and owner names, which are in memory and in the state file."""

    hold_bytes_per_uid: int = 8 * 1024 * 1024
    """One user's share of them: 20,000 notes of 400 bytes, or 2,000 tokens of maximal length."""

    processes: int = 384
    """Watched processes, at one pidfd each, whatever the number of holds a process owns."""

    processes_per_uid: int = 160
    """One user's watched processes: less than half, so that some remain for other users."""

    body_bytes: int = 16 * 1024
    """The largest request body. Legitimate ones have at most a kilobyte."""

    header_bytes: int = 8 * 1024
    """The longest request line and header field. A session id has at most 255 characters."""

    header_count: int = 64
    """The most header fields. curl and http.client send about five."""

    request_seconds: float = 30.0
    """How long a connection may go without a complete request, and how long the reader of a long
    response may pause."""

    body_seconds: float = 10.0
    """How long a request's body may take after its head."""

    events_waiting: int = 256
    """Events queued for a slow reader before some are dropped, at about 500 bytes each."""


DEFAULT_LIMITS = Limits()

_HTTP_CONNECTIONS = 128
_UNSHARED = 128
"""Descriptors for files, the log, name resolution, and connections that are being accepted, refused
or closed."""


class Shares(NamedTuple):
    """The limits of the listeners, which leave enough descriptors for vCenters."""

    control: Limits
    http_connections: int


def share_of(descriptors: int, vcenter_connections: int) -> Shares:
    """Return the limits that fit into `descriptors` after the vCenters' connections."""
    full = DEFAULT_LIMITS
    wanted = full.connections + full.processes + _HTTP_CONNECTIONS
    share = min(1.0, max(0, descriptors - vcenter_connections - _UNSHARED) / wanted)
    if share == 1.0:
        return Shares(full, _HTTP_CONNECTIONS)

    def part(of: int) -> int:
        return max(1, int(of * share))

    # The minimums let an administrator and a probe connect.
    control = replace(
        full,
        connections=max(8, part(full.connections)),
        connections_reserved=max(2, part(full.connections_reserved)),
        connections_per_uid=part(full.connections_per_uid),
        processes=part(full.processes),
        processes_per_uid=part(full.processes_per_uid),
    )
    return Shares(control, max(4, part(_HTTP_CONNECTIONS)))
