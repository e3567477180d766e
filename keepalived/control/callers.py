"""Who calls, and what follows from it."""

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
    """Whoever connected. Admins see and do all, everybody else only what is their own."""

    uid: int
    pid: int
    is_admin: bool

    def log(
        self, event: str, key: SessionKey | None, *, level: int = logging.INFO, **facts: object
    ) -> None:
        """Write down that the caller did something, to a session unless `key` is None."""
        about = {}
        if key is not None:
            about = {"vcenter": key.vcenter, "session_id": key.id, "kind": key.kind.value}
        log.log(level, event, **about, uid=self.uid, pid=self.pid, **facts)


def caller_of(peer: PeerCredentials, own_uid: int, admin_gid: int | None = None) -> Caller:
    """Return what a peer may do: root, the daemon's own user and one group's members are admins."""
    is_admin = peer.uid in (_ROOT, own_uid) or (admin_gid is not None and peer.is_member(admin_gid))
    return Caller(peer.uid, peer.pid, is_admin)
