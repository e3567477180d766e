"""Reads the credentials of a Unix socket's peer from the kernel."""

from __future__ import annotations

import socket
import struct
from typing import NamedTuple, Protocol

_SO_PEERGROUPS = 59  # asm-generic/socket.h; Python has no name for it
_UCRED = struct.Struct("iII")  # struct ucred of unix(7): pid, uid, gid
_GROUPS_BYTES = 1024  # the most that Python reads of a socket option: 256 groups


class PeerCredentials(NamedTuple):
    """The peer's process and user at the time it connected.

    `pid` is 0 for a process that is not visible in this PID namespace. `gid` is the primary group,
    and `groups` are the supplementary ones.
    """

    pid: int
    uid: int
    gid: int
    groups: frozenset[int] = frozenset()

    def is_member(self, gid: int) -> bool:
        """Whether the peer belongs to a group, primary or supplementary."""
        return gid == self.gid or gid in self.groups


class _Options(Protocol):
    """The method of sockets that asyncio's transports also provide."""

    def getsockopt(self, level: int, optname: int, buflen: int, /) -> bytes: ...


def peer_credentials(connection: _Options) -> PeerCredentials:
    """Return the credentials of the peer of a connected Unix stream socket.

    A user with more than 256 supplementary groups counts as having none: groups grant rights, so an
    unknown membership must not. Raises OSError if the kernel does not report the peer.
    """
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    pid, uid, gid = _UCRED.unpack(raw)
    try:
        listed = connection.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, _GROUPS_BYTES)
    except OSError:
        return PeerCredentials(pid, uid, gid)
    groups = memoryview(listed).cast("I")
    return PeerCredentials(pid, uid, gid, frozenset(groups))
