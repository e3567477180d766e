"""Serve the simulator over HTTP, on aiohttp."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from aiohttp import web

from keepalived.host.wakeup import Wakeup
from keepalived.serving.request_log import server_logger
from keepalived.simulator import admin
from keepalived.simulator.app import Simulator
from keepalived.simulator.routes import CONTENT_PREFIX
from keepalived.simulator.wire import Dropped, RefusedConnection, Request, Response

_SHORTEST_WAIT, _LONGEST_WAIT = 0.001, 3600.0
# The loopback addresses of a server that listens on all addresses.
_REACHABLE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - a lookup, nothing is bound
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


@asynccontextmanager
async def serve(
    simulator: Simulator,
    host: str = "127.0.0.1",
    port: int = 0,
    ssl_context: ssl.SSLContext | None = None,
) -> AsyncIterator[str]:
    """Serve a simulator over HTTP while the context is open; yield its URL. Port 0 means any.

    Raises OSError if the address cannot be bound.
    """
    server = _HttpServer(simulator, host, port, ssl_context)
    await server.runner.setup()
    try:
        await server.open()
        reached = _REACHABLE.get(host, host)
        reached = f"[{reached}]" if ":" in reached else reached
        scheme = "https" if ssl_context is not None else "http"
        simulator.base_url = f"{scheme}://{reached}:{server.port}"
        simulator.faults.on_change.append(server.faults_changed.ring)
        simulator.on_restart.append(server.drop_connections)
        watch = asyncio.create_task(server.follow_refusals(), name="simulator-refusals")
        try:
            yield simulator.base_url
        finally:
            simulator.faults.on_change.remove(server.faults_changed.ring)
            simulator.on_restart.remove(server.drop_connections)
            watch.cancel()
            with suppress(asyncio.CancelledError):
                await watch
            server.drop_connections()
    finally:
        await server.runner.cleanup()


class _HttpServer:
    def __init__(
        self, simulator: Simulator, host: str, port: int, ssl_context: ssl.SSLContext | None
    ) -> None:
        self.port = port
        self.faults_changed = Wakeup()
        self._simulator = simulator
        self._host = host
        self._ssl = ssl_context
        self._server = web.Server(
            self._handle,
            access_log=None,
            handler_cancellation=True,
            logger=server_logger(),
            auto_decompress=False,
        )
        self.runner = web.ServerRunner(self._server)
        self._site: web.TCPSite | None = None
        self._spared: set[asyncio.Transport] = set()

    async def follow_refusals(self) -> None:
        """Close the listening socket while connections are refused, then reopen it."""
        while True:
            is_refusing, changes_at = self._simulator.faults.refusal()
            if is_refusing:
                await self._close()
            else:
                await self.open()
            wait = min(_LONGEST_WAIT, changes_at - self._simulator.clock.now())
            await self.faults_changed.wait(max(_SHORTEST_WAIT, wait))

    async def open(self) -> None:
        """Start to listen, unless already listening."""
        if self._site is not None:
            return
        site = web.TCPSite(
            self.runner, self._host, self.port, ssl_context=self._ssl, reuse_address=True
        )
        await site.start()
        self._site = site
        # Reopen the same port after every outage.
        self.port = self.runner.addresses[0][1]

    async def _close(self) -> None:
        if self._site is not None:
            await self._site.stop()
            self._site = None
            self.drop_connections()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        transport = request.transport
        if transport is None:
            return web.Response()
        if request.raw_path.startswith(admin.PREFIX):
            self._spared.add(transport)
        try:
            response = await self._answer(request)
        except (Dropped, RefusedConnection):
            _reset(transport)
            return web.Response()
        finally:
            self._spared.discard(transport)
        return await _send(request, response)

    async def _answer(self, request: web.BaseRequest) -> Response:
        is_upload = request.method in ("PUT", "POST") and request.raw_path.startswith(
            CONTENT_PREFIX
        )
        wanted = Request(
            request.method,
            request.raw_path,
            {name.lower(): value for name, value in request.headers.items()},
            b"" if is_upload else await request.read(),
        )
        chunks = request.content.iter_any() if is_upload else None
        return await self._simulator.handle(wanted, chunks)

    def drop_connections(self) -> None:
        """Reset all connections except those with a request to the admin endpoint in progress."""
        for connection in self._server.connections:
            transport = connection.transport
            if transport is not None and transport not in self._spared:
                _reset(transport)


async def _send(request: web.BaseRequest, response: Response) -> web.StreamResponse:
    if response.stream is not None:
        return await _stream(request, response, response.stream)
    announced = int(response.headers.get("content-length", len(response.body)))
    if announced == len(response.body):
        answer = web.Response(
            status=response.status, headers=response.headers, body=response.body or None
        )
        if not request.content.at_eof():
            # An upload was refused before its end: the rest of its body stays unread.
            answer.force_close()
        return answer
    truncated = web.StreamResponse(status=response.status, headers=response.headers)
    truncated.force_close()
    await truncated.prepare(request)
    await truncated.write(response.body)
    if request.transport is not None:
        request.transport.close()
    return truncated


async def _stream(
    request: web.BaseRequest, response: Response, read: Callable[[], bytes]
) -> web.StreamResponse:
    answer = web.StreamResponse(status=response.status, headers=response.headers)
    await answer.prepare(request)
    with suppress(ConnectionError):  # the client went away, or the server "restarted"
        try:
            while chunk := read():
                await answer.write(chunk)
        except Dropped:
            if request.transport is not None:
                _reset(request.transport)
    return answer


def _reset(transport: asyncio.Transport) -> None:
    """Abort a connection: the peer sees a reset, not an orderly close."""
    # A closed connection has no usable socket, and over TLS asking for its socket fails.
    sock = None if transport.is_closing() else transport.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    transport.abort()
