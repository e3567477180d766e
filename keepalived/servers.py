"""The daemon's HTTP servers, on TCP and on the control socket: bound early, imported late.

Importing aiohttp with its server takes longer than the rest of a start. So the sockets listen from
the beginning, and connections wait in their queues until the servers are there, some tenths of a
second after the sessions of files are renewed.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING, Any

import structlog

from keepalived.control.limits import Shares
from keepalived.control.listening import Listening, SocketWatch, admin_gid, listen
from keepalived.host.blocking import THREADS
from keepalived.host.clock import Clock
from keepalived.host.memory import return_free_memory
from keepalived.host.processes import ProcessWatcher
from keepalived.keeper.registry import Registry
from keepalived.observe.binding import bind
from keepalived.observe.bus import EventBus
from keepalived.observe.health import Health
from keepalived.observe.metrics import Metrics
from keepalived.settings import Reloaded, Settings

if TYPE_CHECKING:
    from keepalived.control.server import ControlServer
    from keepalived.observe.http import HttpListener

log = structlog.get_logger(__name__)

REQUIREMENT = "the servers"
"""What readiness waits for until both serve."""

_START_AFTER = 1.0
"""Seconds after which the servers start even if a source has not been read yet."""


class Servers:
    """Life cycle: `bind_http`, `bind_control`, `run` until cancelled, `stop_control`.

    The binding methods leave on `to_close` what has to be closed at the end.

    `reload` reads the configuration again and returns the result.
    """

    def __init__(
        self,
        settings: Settings,
        registry: Registry,
        metrics: Metrics,
        health: Health,
        bus: EventBus,
        clock: Clock,
        shares: Shares,
        reload: Callable[[], Coroutine[Any, Any, Reloaded]],
    ) -> None:
        self._settings = settings
        self._registry = registry
        self._metrics = metrics
        self._health = health
        self._bus = bus
        self._clock = clock
        self._shares = shares
        self._reload = reload
        self._watcher = ProcessWatcher(shares.control.processes)
        self._http: list[socket.socket] = []
        self._listening: Listening | None = None
        self._admins: int | None = None
        self._listener: HttpListener | None = None
        self._control: ControlServer | None = None
        self._socket_watch: SocketWatch | None = None

    @property
    def address(self) -> str:
        """HOST:PORT of the HTTP listener."""
        host, port = self._http[0].getsockname()[:2]
        return f"{host}:{port}"

    @property
    def trouble(self) -> str:
        """Why clients cannot find the control socket; empty if they can."""
        return "" if self._socket_watch is None else self._socket_watch.trouble

    async def bind_http(self, to_close: AsyncExitStack) -> None:
        """Bind the HTTP listener's address. Raises ListenError."""
        self._http = await bind(self._settings.http.listen)
        to_close.push_async_callback(self._close_http)

    def bind_control(self, to_close: AsyncExitStack) -> None:
        """Bind the control socket, if its folder exists. Raises SocketError."""
        settings = self._settings.control
        to_close.callback(self._watcher.close)
        self._listening = listen(settings)
        if self._listening is None:
            log.warning(
                "control_socket_unavailable",
                message=f"{settings.socket.parent} does not exist, so commands such as "
                "`clkeepalived hold` cannot connect; create it, or set control.socket",
            )
        else:
            to_close.callback(self._listening.close)
            to_close.push_async_callback(self.stop_control)
        self._admins = admin_gid(settings)

    async def run(self, sources_read: asyncio.Event) -> None:
        """Import and start the servers once the sources were read, and watch the control socket."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_START_AFTER):
                await sources_read.wait()
        # A thread of its own, whose stack is returned to the system: imports nest deeply.
        await asyncio.get_running_loop().run_in_executor(THREADS, _import_servers)
        from keepalived.control.server import ControlServer
        from keepalived.observe.http import HttpListener

        self._listener = HttpListener(
            self._http,
            metrics=self._metrics,
            engine=self._registry,
            health=self._health,
            clock=self._clock,
            page=self._settings.http.page,
            most_connections=self._shares.http_connections,
        )
        await self._listener.start()
        if self._listening is None:
            self._health.done(REQUIREMENT)
            await asyncio.Event().wait()
            return
        self._control = control = ControlServer(
            self._registry,
            self._watcher,
            self._bus,
            self._clock,
            reload=self._reload,
            admin_gid=self._admins,
            limits=self._shares.control,
        )
        await control.restore_owners()
        await control.start(self._listening.socket)
        return_free_memory()
        self._health.done(REQUIREMENT)
        self._socket_watch = SocketWatch(self._listening, control.serve_on, self._clock)
        await self._socket_watch.run()

    async def stop_control(self) -> None:
        """Accept no more holds, and finish pending ones. Idempotent."""
        if self._control is not None:
            await self._control.stop()

    async def _close_http(self) -> None:
        if self._listener is not None:
            await self._listener.stop()
        for each in self._http:
            each.close()


def _import_servers() -> None:
    import keepalived.control.server
    import keepalived.observe.http  # noqa: F401
