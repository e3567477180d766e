"""Limits on what one caller, and all callers together, may use: against accident and malice."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of the control socket. Only those that count all callers together bind admins.

    `share_of` lowers those that cost descriptors if the process may not have enough of them.
    """

    connections: int = 448
    """Open connections. Each costs a descriptor and some 100 KiB; a hold that lives with its
    connection keeps one open."""

    connections_reserved: int = 16
    """Connections reserved for admins, so that they can look when all others are taken."""

    connections_per_uid: int = 192
    """One user's open connections: less than half, so that other users can connect."""

    sessions: int = 200_000
    """Known sessions, including ended ones that are still shown. Each costs about 2 KiB of memory;
    this is more than a vCenter can be asked to renew."""

    sessions_per_uid: int = 20_000
    """One user's sessions, counted the same way: ten times what a busy platform team holds."""

    holds_per_session: int = 32
    """One user's holds on one session: that many scripts may share it."""

    holds_per_session_in_all: int = 256
    """All users' holds on one session: each change looks at all of them."""

    holds: int = 250_000
    """All users' live holds, at about 500 bytes each plus their texts."""

    holds_per_uid: int = 25_000
    """One user's live holds: one for each session, and several for some."""

    hold_bytes: int = 64 * 1024 * 1024
    """Bytes of all notes, tokens and owners' names. They are in memory and in the state file."""

    hold_bytes_per_uid: int = 8 * 1024 * 1024
    """One user's bytes of them: 20,000 notes of 400 bytes, or 2,000 tokens of maximal length."""

    processes: int = 384
    """Watched processes, at one pidfd each, however many holds a process owns."""

    processes_per_uid: int = 160
    """One user's watched processes: less than half, so that other users' can be watched as well."""

    body_bytes: int = 16 * 1024
    """The largest request body. The largest sensible one has a kilobyte."""

    header_bytes: int = 8 * 1024
    """The longest request line and the longest header field; session ids have at most 255."""

    header_count: int = 64
    """The most header fields; curl and http.client send about five."""

    request_seconds: float = 30.0
    """How long a connection may go without a complete request, and how long a reader of a long
    answer may pause."""

    body_seconds: float = 10.0
    """How long a request's body may take once its head has arrived."""

    events_waiting: int = 256
    """Events queued for a slow reader before some are lost, at about 500 bytes each."""


DEFAULT_LIMITS = Limits()

_HTTP_CONNECTIONS = 128
_UNSHARED = 128
"""Descriptors for files, the log, name resolution, and connections that are being accepted, refused
or closed."""


class Shares(NamedTuple):
    """The descriptors that listeners may use, so that enough remain for vCenters."""

    control: Limits
    http_connections: int


def share_of(descriptors: int, vcenter_connections: int) -> Shares:
    """Return the limits that fit into `descriptors`, of which vCenters take some."""
    full = DEFAULT_LIMITS
    wanted = full.connections + full.processes + _HTTP_CONNECTIONS
    share = min(1.0, max(0, descriptors - vcenter_connections - _UNSHARED) / wanted)
    if share == 1.0:
        return Shares(full, _HTTP_CONNECTIONS)

    def part(of: int) -> int:
        return max(1, int(of * share))

    # However few there are, an administrator and a probe can connect.
    control = replace(
        full,
        connections=max(8, part(full.connections)),
        connections_reserved=max(2, part(full.connections_reserved)),
        connections_per_uid=part(full.connections_per_uid),
        processes=part(full.processes),
        processes_per_uid=part(full.processes_per_uid),
    )
    return Shares(control, max(4, part(_HTTP_CONNECTIONS)))
