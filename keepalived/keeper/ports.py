"""What the keeper's room needs of others: a vCenter to ask, and a place for its sessions."""

from __future__ import annotations

from typing import Protocol

from keepalived.lease.answers import Answer, FileInfo, ItemInfo, SessionInfo
from keepalived.lease.events import Event
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
