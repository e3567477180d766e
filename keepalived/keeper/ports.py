"""The interfaces between keepers, the registry and the rest: vCenter, sessions, persistence."""

from __future__ import annotations

from typing import Protocol

from keepalived.lease.answers import Answer, FileInfo, ItemInfo, SessionInfo
from keepalived.lease.events import Event
from keepalived.lease.holds import Hold, Owner
from keepalived.lease.model import Kind, SessionKey
from keepalived.lease.session import Session


class VCenter(Protocol):
    """The operations of a vCenter on sessions.

    Methods do not raise for failures of the network or the server. With a `token`, the request uses
    that token, without a login or logout. Timeouts are in seconds.
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
    """The sessions of keepers, and where they store new states."""

    def find(self, key: SessionKey) -> Session | None:
        """Return the current state of a session; None for an unknown one."""

    def commit(self, session: Session, happened: tuple[Event, ...]) -> None:
        """Store the new state of a session, and report the events that led to it."""


class Persistence(Protocol):
    """Stores holds and sessions, so that they survive a restart."""

    async def put_hold(self, key: SessionKey, hold: Hold) -> None:
        """Store a hold, and return once it is on disk. Raises the errors of the store."""

    async def delete_hold(self, key: SessionKey, uid: int, owner: Owner) -> None:
        """Remove a hold, and return once that is on disk. Raises the errors of the store."""

    def drop_hold(self, key: SessionKey, uid: int, owner: Owner) -> None:
        """Remove an expired hold, without waiting."""

    def note_session(self, session: Session) -> None:
        """Store the state of a session within seconds, without waiting."""

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
