"""The door: who comes in, how many at once, and as whom."""

from __future__ import annotations

import asyncio

import structlog
from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from keepalived.control.callers import Access, Caller
from keepalived.control.encoding import to_json
from keepalived.control.limits import Limits
from keepalived.control.problems import MEDIA_TYPE, Problem, ProblemError
from keepalived.host.peers import peer_credentials
from keepalived.serving.door import Door, answer
from keepalived.serving.throttle import Throttle

log = structlog.get_logger("clkeepalived")


class Connections:
    """Knows who is at the other end of each connection, and how many there are."""

    def __init__(self, access: Access, limits: Limits) -> None:
        self._access = access
        self._limits = limits
        self._callers: dict[RequestHandler, Caller] = {}
        self._refusals = Throttle()

    def door(self, server: web.Server) -> Door:
        """Return what makes a protocol for each new connection to `server`."""
        return Door(lambda transport: self._admit(server, transport))

    def caller(self, request: web.BaseRequest) -> Caller:
        """Return who sent a request."""
        return self._callers[request.protocol]

    def _admit(self, server: web.Server, transport: asyncio.Transport) -> RequestHandler | bytes:
        caller = self._access.caller(peer_credentials(transport.get_extra_info("socket")))
        refusal = self._why_not(caller, server.connections)
        if refusal is not None:
            omitted = self._refusals.admit()
            if omitted is not None:
                log.warning(
                    "connection_refused", **caller.traces, reason=refusal.detail, omitted=omitted
                )
            return _refusal(refusal)
        handler = server()
        self._callers[handler] = caller
        return handler

    def _why_not(self, caller: Caller, alive: list[RequestHandler]) -> ProblemError | None:
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


def _refusal(error: ProblemError) -> bytes:
    body = to_json(error.document("/"))
    headers = {"Content-Type": MEDIA_TYPE, **error.headers}
    return answer(error.problem.status, error.problem.title, headers, body)
