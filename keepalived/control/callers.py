"""The callers of the control socket and their rights."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import structlog

from keepalived.host.peers import PeerCredentials
from keepalived.lease.model import SessionKey

log = structlog.get_logger("clkeepalived")

_ROOT = 0


@dataclass(frozen=True, slots=True)
class Caller:
    """A connected user. Admins have access to everything, other users only to their own holds."""

    uid: int
    pid: int
    is_admin: bool

    def log(
        self, event: str, key: SessionKey | None, *, level: int = logging.INFO, **facts: object
    ) -> None:
        """Log an action of the caller, on a session unless `key` is None."""
        about = {}
        if key is not None:
            about = {"vcenter": key.vcenter, "session_id": key.id, "kind": key.kind.value}
        log.log(level, event, **about, uid=self.uid, pid=self.pid, **facts)


def caller_of(peer: PeerCredentials, own_uid: int, admin_gid: int | None = None) -> Caller:
    """Return the caller for a peer. Root, the daemon's user and one group's members are admins."""
    is_admin = peer.uid in (_ROOT, own_uid) or (admin_gid is not None and peer.is_member(admin_gid))
    return Caller(peer.uid, peer.pid, is_admin)
