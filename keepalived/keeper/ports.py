"""What the keeper's room needs of others: a vCenter, a place for sessions, and persistence."""

from __future__ import annotations

from typing import Protocol

from keepalived.lease.answers import Answer, FileInfo, ItemInfo, SessionInfo
from keepalived.lease.events import Event
from keepalived.lease.holds import Hold, Owner
from keepalived.lease.model import Kind, SessionKey
from keepalived.lease.session import Session


class VCenter(Protocol):
    """A vCenter, as keepers and those who ask after its sessions need it.

    Nothing here raises for what a network or server does. A request with a `token` goes out with
    that one; it is never logged in for, nor out.
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
    """Where a keeper finds its sessions, and where it puts what became of them."""

    def find(self, key: SessionKey) -> Session | None:
        """Return the session as it stands now."""

    def commit(self, session: Session, happened: tuple[Event, ...]) -> None:
        """Take in the new state of a session, and report the events that led to it."""


class Persistence(Protocol):
    """What the registry wants stored, so that it outlives the process."""

    async def put_hold(self, key: SessionKey, hold: Hold) -> None:
        """Return once the hold is on disk; raises what its store raises."""

    async def delete_hold(self, key: SessionKey, uid: int, owner: Owner) -> None:
        """Return once the hold is gone from the disk; raises what its store raises."""

    def drop_hold(self, key: SessionKey, uid: int, owner: Owner) -> None:
        """Remove, before long, a hold whose time is over."""

    def note_session(self, session: Session) -> None:
        """Take down, within seconds, how a session stands."""

    def note_end(self, session: Session, ended_at: float) -> None:
        """Take down how a session ended, at `ended_at` of the boot-time clock; its holds go."""

    def forget(self, key: SessionKey) -> None:
        """Drop what is known of a session."""


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
