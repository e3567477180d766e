"""Limit the HTTP listener's connections, and close idle ones to make room."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from http import HTTPStatus

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler
from aiohttp.web_protocol import RequestHandler

from keepalived.serving.protocol_factory import ProtocolFactory, answer
from keepalived.serving.throttle import Throttle
from keepalived.serving.turns import Turns

MOST_CONNECTIONS = 128
"""Open connections: Prometheus, probes and browsers need a handful."""
REQUEST_SECONDS = 30.0
"""Time limit for a connection without a complete request, and for the client to read an answer."""
HEADER_BYTES = 8 * 1024
"""The longest request line and the longest header field."""
HEADER_COUNT = 64
"""The most header fields; browsers send about fifteen."""

_FULL = answer(
    HTTPStatus.SERVICE_UNAVAILABLE,
    "Service Unavailable",
    {"Content-Type": "text/plain; charset=utf-8", "Retry-After": "5"},
    b"all connections of this listener are taken; try again later\n",
)

log = structlog.stdlib.get_logger("clkeepalived")


class HttpConnections:
    """Admits `most` connections. At the limit, a new one replaces the one idle for longest.

    Clients that open connections without sending requests therefore cannot lock out a health probe,
    whose failure may restart the daemon.
    """

    def __init__(self, most: int = MOST_CONNECTIONS) -> None:
        self._most = most
        self._open: dict[RequestHandler, asyncio.Transport] = {}
        self._busy: set[RequestHandler] = set()
        self._refusals = Throttle()
        self._turns = Turns()

    def door(self, server: web.Server) -> ProtocolFactory:
        """Return the factory of protocols for new connections to `server`."""
        return ProtocolFactory(lambda transport: self._admit(server, transport))

    @web.middleware
    async def note_requests(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Serve requests in turns, and track which connections are in use.

        Answers are sent within REQUEST_SECONDS.
        """
        protocol = request.protocol
        self._busy.add(protocol)
        try:
            await self._turns.take(None)
            response = await handler(request)
            # aiohttp notices that the connection is closed, and ends quietly.
            with suppress(ConnectionError):
                await _send(request, response)
            return response
        finally:
            self._busy.discard(protocol)
            if (transport := self._open.pop(protocol, None)) is not None:
                self._open[protocol] = transport

    def _admit(self, server: web.Server, transport: asyncio.Transport) -> RequestHandler | bytes:
        # `_open` is ordered by last use, or by opening time for unused connections.
        self._open = {each: way for each, way in self._open.items() if not way.is_closing()}
        if len(self._open) >= self._most:
            omitted = self._refusals.admit()
            if omitted is not None:
                log.warning("http_connections_full", connections=self._most, omitted=omitted)
            idle = next((each for each in self._open if each not in self._busy), None)
            if idle is None:
                return _FULL
            self._open.pop(idle).abort()
        handler = server()
        self._open[handler] = transport
        return handler


async def _send(request: web.Request, response: web.StreamResponse) -> None:
    """Send an answer; close the connection if the client does not read it in time."""
    try:
        async with asyncio.timeout(REQUEST_SECONDS):
            await response.prepare(request)
            await response.write_eof()
    except TimeoutError:
        if request.transport is not None:
            request.transport.abort()
