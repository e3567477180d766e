"""Admission of connections: served, or refused with an answer."""

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

    `admit` returns the protocol that serves a connection, or the answer that refuses it.
    `lingering` are refused connections that are still open.
    """

    def __init__(self, admit: Admit) -> None:
        self.admit = admit
        self.lingering: set[asyncio.Transport] = set()

    def __call__(self) -> asyncio.Protocol:
        """Return the protocol of a new connection."""
        return _Newcomer(self)

    def close(self) -> None:
        """Stop waiting for refused connections."""
        for transport in tuple(self.lingering):
            transport.abort()


class _Newcomer(asyncio.Protocol):
    """Decides about a connection before the first byte is read, and then hands it over.

    A refused client has a moment to read the reason: closing at once would look like a missing
    daemon.
    """

    def __init__(self, door: ProtocolFactory) -> None:
        self._door = door
        self._refused: asyncio.Transport | None = None
        self._patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        way = cast(asyncio.Transport, transport)
        admitted = self._door.admit(way)
        if isinstance(admitted, RequestHandler):
            way.set_protocol(admitted)
            admitted.connection_made(way)
        elif len(self._door.lingering) >= MOST_LINGERING:
            way.abort()
        else:
            self._refused = way
            self._door.lingering.add(way)
            self._patience = asyncio.get_running_loop().call_later(LINGERING_SECONDS, way.abort)
            way.write(admitted)
            way.write_eof()

    def connection_lost(self, error: Exception | None) -> None:
        if self._refused is not None and self._patience is not None:
            self._patience.cancel()
            self._door.lingering.discard(self._refused)


def answer(status: HTTPStatus | int, title: str, headers: Mapping[str, str], body: bytes) -> bytes:
    """Return a complete answer, with its head, for a client whose request is not read."""
    fields = {"Content-Length": str(len(body)), "Connection": "close", **headers}
    lines = [f"HTTP/1.1 {int(status)} {title}"]
    lines += [f"{name}: {value}" for name, value in fields.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body
