"""Who calls, and what follows from it."""

from __future__ import annotations

from dataclasses import dataclass

from keepalived.host.peers import PeerCredentials

_ROOT = 0


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever connected. Admins see and do all, everybody else only what is their own."""

    peer: PeerCredentials
    is_admin: bool

    @property
    def uid(self) -> int:
        """The user."""
        return self.peer.uid

    @property
    def traces(self) -> dict[str, int]:
        """What the log says of whoever did something."""
        return {"uid": self.peer.uid, "pid": self.peer.pid}


@dataclass(frozen=True, slots=True)
class Access:
    """Who is an admin: root, the daemon's own user, and the members of one group, if any."""

    own_uid: int
    admin_gid: int | None = None

    def caller(self, peer: PeerCredentials) -> Caller:
        """Return what a peer may do."""
        is_admin = peer.uid in (_ROOT, self.own_uid) or (
            self.admin_gid is not None and peer.is_member(self.admin_gid)
        )
        return Caller(peer, is_admin)
