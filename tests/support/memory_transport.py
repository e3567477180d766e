"""A transport without a network, to a simulator in the same event loop.

Times are the loop's, so on a faked clock days pass in seconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from urllib.parse import urlsplit

from keepalived.simulator.wire import Dropped, RefusedConnection, Request, Response
from keepalived.vcenter.transport import ConnectFailed, Reply, TimedOut


class MemoryTransport:
    """Passes requests to a function, such as the simulator's `handle`."""

    def __init__(self, handle: Callable[[Request], Awaitable[Response]]) -> None:
        self._handle = handle

    async def send(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, timeout: float
    ) -> Reply:
        """Send one request; see Transport."""
        try:
            async with asyncio.timeout(timeout):
                response = await self._handle(Request(method, path, headers, body))
        except TimeoutError:
            raise TimedOut(f"no answer within {timeout:.3g} s") from None
        except Dropped:
            raise ConnectFailed("the connection was closed instead of an answer") from None
        except RefusedConnection:
            raise ConnectFailed("the connection was refused") from None
        announced = response.headers.get("content-length")
        if announced is not None and int(announced) != len(response.body):
            raise ConnectFailed("the connection was closed in the middle of the answer")
        return Reply(response.status, response.headers, response.body)

    async def close(self) -> None:
        """Do nothing."""


class MemoryUploads(MemoryTransport):
    """A transport that also sends content, to a function that receives it in chunks."""

    def __init__(
        self, handle: Callable[[Request, AsyncIterator[bytes] | None], Awaitable[Response]]
    ) -> None:
        super().__init__(lambda request: handle(request, None))
        self._take = handle

    async def put(
        self, url: str, headers: Mapping[str, str], content: AsyncIterator[bytes], size: int
    ) -> Reply:
        """Send content by PUT; see UploadTransport."""
        fields = {**headers, "content-length": str(size)}
        try:
            response = await self._take(Request("PUT", urlsplit(url).path, fields, b""), content)
        except (Dropped, RefusedConnection):
            raise ConnectFailed("the connection was closed instead of an answer") from None
        return Reply(response.status, response.headers, response.body)
