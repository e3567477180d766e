"""What is asked of a vCenter beside the keeper's own work: lists and commands, a few at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from keepalived.lease.answers import Answer, FileInfo, ItemInfo, SessionInfo
from keepalived.lease.model import Kind

T = TypeVar("T")

AT_ONCE = 2
"""Requests at once. Renewals have slots of their own, which these cannot take."""


class Asked(Protocol):
    """The operations that can be asked beside the keeper's own."""

    async def get(self, kind: Kind, session_id: str, *, timeout: float) -> Answer[SessionInfo]: ...

    async def files(
        self, kind: Kind, session_id: str, *, timeout: float
    ) -> Answer[tuple[FileInfo, ...]]: ...

    async def item(self, item_id: str, *, timeout: float) -> Answer[ItemInfo]: ...

    async def list(self, kind: Kind, *, timeout: float) -> Answer[tuple[str, ...]]: ...

    async def cancel(self, kind: Kind, session_id: str, *, timeout: float) -> Answer[None]: ...


class Beside:
    """Sends requests to a vCenter for whoever is not its keeper.

    A `timeout`, in seconds, counts from the moment a request is sent: the time that it waits here
    for others says nothing about the vCenter.
    """

    def __init__(self, vcenter: Asked) -> None:
        self._vcenter = vcenter
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def get(self, kind: Kind, session_id: str, *, timeout: float) -> Answer[SessionInfo]:
        """Read a session."""
        return await self._in_turn(lambda: self._vcenter.get(kind, session_id, timeout=timeout))

    async def files(
        self, kind: Kind, session_id: str, *, timeout: float
    ) -> Answer[tuple[FileInfo, ...]]:
        """List the files of a session."""
        return await self._in_turn(lambda: self._vcenter.files(kind, session_id, timeout=timeout))

    async def item(self, item_id: str, *, timeout: float) -> Answer[ItemInfo]:
        """Read a library item."""
        return await self._in_turn(lambda: self._vcenter.item(item_id, timeout=timeout))

    async def list(self, kind: Kind, *, timeout: float) -> Answer[tuple[str, ...]]:
        """List the ids of the account's sessions."""
        return await self._in_turn(lambda: self._vcenter.list(kind, timeout=timeout))

    async def cancel(self, kind: Kind, session_id: str, *, timeout: float) -> Answer[None]:
        """Cancel a session."""
        return await self._in_turn(lambda: self._vcenter.cancel(kind, session_id, timeout=timeout))

    async def _in_turn(self, send: Callable[[], Awaitable[T]]) -> T:
        async with self._slots:
            return await send()
