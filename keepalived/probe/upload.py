"""One long PUT that sends small pieces at intervals until it may finish."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

from keepalived.lease.answers import Answer
from keepalived.vcenter.library_admin import LibraryAdmin

FILE_NAME = "probe.bin"
PIECE_BYTES = 4 * 1024
_LAST_SECONDS = 30.0


class SlowUpload:
    """A PUT large enough to last `longest` seconds at one piece every `pause` seconds.

    `finish` sends the remaining content at once.
    """

    def __init__(self, admin: LibraryAdmin, pause: float, longest: float) -> None:
        self.size = PIECE_BYTES * (2 + int(longest / pause))
        self.sent = 0
        self._admin = admin
        self._pause = pause
        self._hurry = asyncio.Event()
        self._task: asyncio.Task[Answer[None]] | None = None

    def begin(self, uri: str) -> None:
        """Start to send to an upload URL."""
        putting = self._admin.put(uri, self._content(), self.size)
        self._task = asyncio.create_task(putting, name="slow upload")

    @property
    def is_over(self) -> bool:
        """Whether the server has answered, or the connection broke."""
        return self._task is not None and self._task.done()

    async def finish(self) -> Answer[None] | None:
        """Send the rest and return the answer, or None if none arrives."""
        self._hurry.set()
        if self._task is None:
            return None
        await asyncio.wait([self._task], timeout=_LAST_SECONDS)
        return self._task.result() if self._task.done() else None

    async def stop(self) -> None:
        """Cancel the PUT."""
        self._hurry.set()
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _content(self) -> AsyncIterator[bytes]:
        piece = bytes(PIECE_BYTES)
        while self.sent < self.size:
            yield piece
            self.sent += len(piece)
            with suppress(TimeoutError):
                async with asyncio.timeout(self._pause):
                    await self._hurry.wait()
