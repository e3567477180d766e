"""Admits new connections, or refuses them with a response."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import cast

from aiohttp.web_protocol import RequestHandler

LINGERING_SECONDS = 1.0
MOST_LINGERING = 16

Admit = Callable[[asyncio.Transport], RequestHandler | bytes]


class ProtocolFactory:
    """Makes a protocol for each new connection.

    `admit` returns the protocol that serves a connection, or the response that refuses it.
    `lingering` are refused connections that are still open.
    """

    def __init__(self, admit: Admit) -> None:
        self.admit = admit
        self.lingering: set[asyncio.Transport] = set()

    def __call__(self) -> asyncio.Protocol:
        """Return the protocol for a new connection."""
        return _NewConnection(self)

    def close(self) -> None:
        """Stop waiting for refused connections."""
        for transport in tuple(self.lingering):
            transport.abort()


class _NewConnection(asyncio.Protocol):
    """Admits or refuses a connection before its first byte is read.

    A refused client has a moment to read the reason: if the connection closed at once, the daemon
    would seem to be missing.
    """

    def __init__(self, factory: ProtocolFactory) -> None:
        self._factory = factory
        self._refused: asyncio.Transport | None = None
        self._timeout: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        connection = cast(asyncio.Transport, transport)
        admitted = self._factory.admit(connection)
        if isinstance(admitted, RequestHandler):
            connection.set_protocol(admitted)
            admitted.connection_made(connection)
        elif len(self._factory.lingering) >= MOST_LINGERING:
            connection.abort()
        else:
            self._refused = connection
            self._factory.lingering.add(connection)
            self._timeout = asyncio.get_running_loop().call_later(
                LINGERING_SECONDS, connection.abort
            )
            connection.write(admitted)
            connection.write_eof()

    def connection_lost(self, error: Exception | None) -> None:
        if self._refused is not None and self._timeout is not None:
            self._timeout.cancel()
            self._factory.lingering.discard(self._refused)


def answer(status: HTTPStatus | int, title: str, headers: Mapping[str, str], body: bytes) -> bytes:
    """Return a complete response, with its head, for a client whose request is not read."""
    fields = {"Content-Length": str(len(body)), "Connection": "close", **headers}
    lines = [f"HTTP/1.1 {int(status)} {title}"]
    lines += [f"{name}: {value}" for name, value in fields.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body
