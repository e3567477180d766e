"""Admits connections to the control socket within limits, and identifies their callers."""

from __future__ import annotations

import asyncio
import logging
import os

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from keepalived.control.callers import Caller, caller_of
from keepalived.control.encoding import to_json
from keepalived.control.limits import Limits
from keepalived.control.problems import MEDIA_TYPE, ProblemError, ProblemType
from keepalived.host.peers import peer_credentials
from keepalived.serving.protocol_factory import ProtocolFactory, answer
from keepalived.serving.throttle import Throttle


class ControlConnections:
    """Tracks the open connections and the peer of each."""

    def __init__(self, admin_gid: int | None, limits: Limits) -> None:
        self._admin_gid = admin_gid
        self._limits = limits
        self._callers: dict[RequestHandler, Caller] = {}
        self._refusals = Throttle()

    def protocol_factory(self, server: web.Server) -> ProtocolFactory:
        """Return the factory of protocols for new connections to `server`."""
        return ProtocolFactory(lambda transport: self._admit(server, transport))

    def caller(self, request: web.BaseRequest) -> Caller:
        """Return the caller who sent a request."""
        return self._callers[request.protocol]

    def _admit(self, server: web.Server, transport: asyncio.Transport) -> RequestHandler | bytes:
        peer = peer_credentials(transport.get_extra_info("socket"))
        caller = caller_of(peer, os.geteuid(), self._admin_gid)
        refusal = self._refusal(caller, server.connections)
        if refusal is not None:
            omitted = self._refusals.admit()
            if omitted is not None:
                caller.log(
                    "connection_refused",
                    None,
                    level=logging.WARNING,
                    reason=refusal.detail,
                    omitted=omitted,
                )
            headers = {"Content-Type": MEDIA_TYPE, **refusal.headers}
            kind = refusal.problem
            return answer(kind.status, kind.title, headers, to_json(refusal.document("/")))
        handler = server()
        self._callers[handler] = caller
        return handler

    def _refusal(self, caller: Caller, alive: list[RequestHandler]) -> ProblemError | None:
        self._callers = {each: self._callers[each] for each in alive if each in self._callers}
        limits = self._limits
        reserved = 0 if caller.is_admin else limits.connections_reserved
        if len(alive) >= limits.connections - reserved:
            return ProblemError(
                ProblemType.UNAVAILABLE,
                "all connections of the control socket are in use; try again later",
                headers={"Retry-After": "5"},
            )
        own = sum(other.uid == caller.uid for other in self._callers.values())
        if not caller.is_admin and own >= limits.connections_per_uid:
            return ProblemError(
                ProblemType.TOO_MANY,
                f"user {caller.uid} has {own} connections open, which is the limit; close some, "
                "or take holds with a ttl or a pid, which do not need an open connection",
            )
        return None
