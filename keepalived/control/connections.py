"""The door: who comes in, how many at once, and as whom."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

import structlog
from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from keepalived.control.callers import Access, Caller
from keepalived.control.limits import Limits
from keepalived.control.problems import MEDIA_TYPE, Problem, ProblemError
from keepalived.host.peers import peer_credentials

_LINGERING_SECONDS = 1.0
_MOST_LINGERING = 16

log = structlog.get_logger("clkeepalived")


class Connections:
    """Knows who is at the other end of each connection, and how many there are.

    `lingering` are those who were sent away and have not left yet.
    """

    def __init__(self, access: Access, limits: Limits) -> None:
        self._access = access
        self._limits = limits
        self.lingering: set[asyncio.Transport] = set()
        self._callers: dict[RequestHandler, Caller] = {}

    def door(self, server: web.Server) -> Callable[[], asyncio.Protocol]:
        """Return what makes a protocol for each new connection to `server`."""
        return lambda: _Door(self, server)

    def close(self) -> None:
        """Wait no longer for those who were sent away."""
        for transport in tuple(self.lingering):
            transport.abort()

    def caller(self, request: web.BaseRequest) -> Caller:
        """Return who sent a request."""
        return self._callers[request.protocol]

    def admit(
        self, server: web.Server, transport: asyncio.Transport
    ) -> RequestHandler | ProblemError:
        """Return the protocol that serves a new connection, or why it is not served."""
        caller = self._access.caller(peer_credentials(transport.get_extra_info("socket")))
        refusal = self._refusal(caller, server.connections)
        if refusal is not None:
            log.warning("connection_refused", **caller.traces, reason=refusal.detail)
            return refusal
        handler = server()
        self._callers[handler] = caller
        return handler

    def _refusal(self, caller: Caller, alive: list[RequestHandler]) -> ProblemError | None:
        self._callers = {each: self._callers[each] for each in alive if each in self._callers}
        limits = self._limits
        if caller.is_admin:
            full = len(alive) >= limits.connections
        else:
            full = len(alive) >= limits.connections - limits.connections_reserved
        if full:
            return ProblemError(
                Problem.UNAVAILABLE,
                "all connections of the control socket are taken; try again later",
                headers={"Retry-After": "5"},
            )
        own = sum(other.uid == caller.uid for other in self._callers.values())
        if not caller.is_admin and own >= limits.connections_per_uid:
            return ProblemError(
                Problem.TOO_MANY,
                f"user {caller.uid} has {own} connections open, which is the limit; close some, "
                "or hold with a ttl or a pid, which needs no connection to stay open",
            )
        return None


class _Door(asyncio.Protocol):
    """Looks at who connects before the first byte is read, and then steps aside.

    Whoever is sent away has a moment to read why: closing at once would look like a daemon that is
    not there.
    """

    def __init__(self, connections: Connections, server: web.Server) -> None:
        self._connections = connections
        self._server = server
        self._sent_away: asyncio.Transport | None = None
        self._patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        way = cast(asyncio.Transport, transport)
        admitted = self._connections.admit(self._server, way)
        if not isinstance(admitted, ProblemError):
            way.set_protocol(admitted)
            admitted.connection_made(way)
        elif len(self._connections.lingering) >= _MOST_LINGERING:
            way.abort()
        else:
            self._sent_away = way
            self._connections.lingering.add(way)
            self._patience = asyncio.get_running_loop().call_later(_LINGERING_SECONDS, way.abort)
            way.write(_refusal(admitted))
            way.write_eof()

    def connection_lost(self, error: Exception | None) -> None:
        if self._sent_away is not None and self._patience is not None:
            self._patience.cancel()
            self._connections.lingering.discard(self._sent_away)


def _refusal(error: ProblemError) -> bytes:
    """Return an answer, complete with its head, for somebody whose request is not read."""
    body = error.document("/").model_dump_json().encode()
    headers = {
        "Content-Type": MEDIA_TYPE,
        "Content-Length": str(len(body)),
        "Connection": "close",
        **error.headers,
    }
    lines = [f"HTTP/1.1 {error.problem.status} {error.problem.title}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body
