"""Assembles, starts and stops the server of the control socket, and passes events to its parts.

The server is a listener on the event bus: it notifies the hold index, the owners and the stream.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Coroutine
from functools import cache
from typing import Any

from aiohttp import hdrs, web

from keepalived.control import dispatch
from keepalived.control.background_tasks import BackgroundTasks
from keepalived.control.connections import ControlConnections
from keepalived.control.context import ControlContext
from keepalived.control.encoding import JSON
from keepalived.control.event_stream import EventStream
from keepalived.control.hold_index import HolderKey, HoldIndex
from keepalived.control.hold_service import HoldService
from keepalived.control.limits import DEFAULT_LIMITS, Limits
from keepalived.control.owners import Owners
from keepalived.control.routes import OPENAPI_PATH, ROUTES
from keepalived.host import blocking
from keepalived.host.clock import Clock
from keepalived.host.processes import ProcessWatcher
from keepalived.keeper.registry import Registry
from keepalived.lease.events import ONLY_COUNTED, Event, HoldReleased, Renewed
from keepalived.observe.bus import EventBus
from keepalived.serving.acceptor import Acceptor
from keepalived.serving.protocol_factory import ProtocolFactory
from keepalived.serving.request_log import server_logger
from keepalived.settings import Reloaded
from keepalived.version import VERSION

_SHUTDOWN_SECONDS = 2.0


class ControlServer:
    """Serves the control socket.

    Call `restore_owners` once the registry knows its keepers and the restored holds, then `start`,
    and finally `stop`. `reload` reads the configuration again and returns the result. The members
    of the group `admin_gid` are admins, like root and the daemon's user.
    """

    def __init__(
        self,
        registry: Registry,
        watcher: ProcessWatcher,
        bus: EventBus,
        clock: Clock,
        *,
        reload: Callable[[], Coroutine[Any, Any, Reloaded]],
        admin_gid: int | None = None,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self._bus = bus
        self._connections = ControlConnections(admin_gid, limits)
        index, background = HoldIndex(registry), BackgroundTasks()
        owners = Owners(registry, watcher, clock, limits, background)
        self._context = ControlContext(
            registry=registry,
            events=EventStream(clock),
            clock=clock,
            limits=limits,
            version=VERSION,
            reload=reload,
            index=index,
            holds=HoldService(registry, index, owners, limits, clock),
            owners=owners,
            background=background,
        )
        self._runner: web.AppRunner | None = None
        self._protocol_factory: ProtocolFactory | None = None
        self._acceptor: Acceptor | None = None

    async def restore_owners(self) -> None:
        """Watch the owners of the restored holds in the registry.

        Call it before `start` and after the keepers were attached, because a connection can be
        restored within one lifetime of the session, which the keepers know.
        """
        self._bus.add(self, ignoring=ONLY_COUNTED)
        await self._context.owners.restore()

    def notify(self, event: Event) -> None:
        """Update the index and the owners, then offer the event to the readers of the stream."""
        context = self._context
        if not isinstance(event, Renewed):
            context.index.notify(event)
            if isinstance(event, HoldReleased):
                context.owners.forget(event.key, HolderKey(event.hold.uid, event.hold.owner))
        context.events.notify(event)

    async def start(self, listening: socket.socket) -> None:
        """Serve on a Unix socket that is already listening. `stop` closes it."""
        limits = self._context.limits
        app = web.Application(
            middlewares=[dispatch.answer_problems], client_max_size=limits.body_bytes
        )
        app.on_response_prepare.append(_hide_server)
        self._runner = web.AppRunner(
            app,
            access_log=None,
            logger=server_logger(),
            auto_decompress=False,
            handler_cancellation=True,
            shutdown_timeout=_SHUTDOWN_SECONDS,
            keepalive_timeout=limits.request_seconds,
            tcp_keepalive=False,
            max_line_size=limits.header_bytes,
            max_field_size=limits.header_bytes,
            max_headers=limits.header_count,
        )
        for route in ROUTES:
            handler = dispatch.handler_of(route, self._context, self._connections.caller)
            app.router.add_route(route.method, route.path, handler)
        app.router.add_route("GET", OPENAPI_PATH, _description(self._context.version))
        await self._runner.setup()
        await self.serve_on(listening)

    async def serve_on(self, listening: socket.socket) -> None:
        """Serve on another socket from now on. Open connections stay open."""
        assert self._runner is not None  # noqa: S101 - started before
        server = self._runner.server
        assert server is not None  # noqa: S101 - setup() has made it
        before = self._acceptor
        self._protocol_factory = self._protocol_factory or self._connections.protocol_factory(
            server
        )
        self._acceptor = Acceptor([listening], self._protocol_factory)
        if before is not None:
            before.close()

    async def stop(self) -> None:
        """Accept no more connections, end the streams, and finish pending writes. Idempotent.

        Holds of connections stay, so that their owners can take them again after a restart.
        """
        self._context.is_closing = True
        if self._acceptor is not None and self._protocol_factory is not None:
            self._acceptor.close()
            self._protocol_factory.close()
        for subscription in tuple(self._context.events.subscriptions):
            subscription.close()
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()
        for listing in self._context.listings.values():
            listing.cancel()
        self._context.owners.stop()
        await self._context.background.all_done()
        self._bus.remove(self)


def _description(version: str) -> dispatch.Handler:
    """Return the handler of the OpenAPI document, which is generated on the first request."""

    @cache
    def document() -> bytes:
        from keepalived.control import openapi

        return json.dumps(openapi.describe(ROUTES, version)).encode()

    async def get_openapi(_request: web.Request) -> web.StreamResponse:
        body = await blocking.call(OPENAPI_PATH, document)
        return web.Response(body=body, content_type=JSON)

    return get_openapi


async def _hide_server(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers.popall(hdrs.SERVER, None)
