"""The interfaces that keepers need: a vCenter, a place for sessions, and persistence."""

from __future__ import annotations

from typing import Protocol

from keepalived.lease.answers import Answer, FileInfo, ItemInfo, SessionInfo
from keepalived.lease.events import Event
from keepalived.lease.holds import Hold, Owner
from keepalived.lease.model import Kind, SessionKey
from keepalived.lease.session import Session


class VCenter(Protocol):
    """A vCenter, as keepers and other users of its sessions need it.

    No method raises for a failure of the network or the server. A request with a `token` is sent
    with that token; there is no login or logout for it.
    """

    async def keep_alive(
        self,
        kind: Kind,
        session_id: str,
        progress: int | None,
        *,
        timeout: float,
        token: str | None = None,
    ) -> Answer[None]: ...

    async def get(
        self, kind: Kind, session_id: str, *, timeout: float, token: str | None = None
    ) -> Answer[SessionInfo]: ...

    async def files(
        self, kind: Kind, session_id: str, *, timeout: float, token: str | None = None
    ) -> Answer[tuple[FileInfo, ...]]: ...

    async def item(
        self, item_id: str, *, timeout: float, token: str | None = None
    ) -> Answer[ItemInfo]: ...

    async def list(
        self, kind: Kind, *, timeout: float, token: str | None = None
    ) -> Answer[tuple[str, ...]]: ...

    async def cancel(
        self, kind: Kind, session_id: str, *, timeout: float, token: str | None = None
    ) -> Answer[None]: ...

    async def who_am_i(self, *, timeout: float, token: str | None = None) -> Answer[None]: ...

    async def close(self, *, timeout: float) -> None: ...


class Sessions(Protocol):
    """Where a keeper finds its sessions and stores their new state."""

    def find(self, key: SessionKey) -> Session | None:
        """Return the session in its current state."""

    def commit(self, session: Session, happened: tuple[Event, ...]) -> None:
        """Store the new state of a session, and report the events that led to it."""


class Persistence(Protocol):
    """What the registry needs stored, so that it outlives the process."""

    async def put_hold(self, key: SessionKey, hold: Hold) -> None:
        """Return once the hold is on disk; raises what the store raises."""

    async def delete_hold(self, key: SessionKey, uid: int, owner: Owner) -> None:
        """Return once the hold is removed from disk; raises what the store raises."""

    def drop_hold(self, key: SessionKey, uid: int, owner: Owner) -> None:
        """Remove a hold whose time is over, later."""

    def note_session(self, session: Session) -> None:
        """Store the state of a session, within seconds."""

    def note_end(self, session: Session, ended_at: float) -> None:
        """Store how a session ended, at `ended_at` on the boot-time clock, and drop its holds."""

    def forget(self, key: SessionKey) -> None:
        """Remove what is stored about a session."""


class NullPersistence:
    """Stores nothing: for `exec`, `hold()` and tests."""

    async def put_hold(self, key: SessionKey, hold: Hold) -> None:
        """Store nothing."""

    async def delete_hold(self, key: SessionKey, uid: int, owner: Owner) -> None:
        """Store nothing."""

    def drop_hold(self, key: SessionKey, uid: int, owner: Owner) -> None:
        """Store nothing."""

    def note_session(self, session: Session) -> None:
        """Store nothing."""

    def note_end(self, session: Session, ended_at: float) -> None:
        """Store nothing."""

    def forget(self, key: SessionKey) -> None:
        """Store nothing."""
