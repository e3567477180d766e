"""The HTTP listener: metrics for Prometheus, health for probes, and a page for people."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING

from aiohttp import hdrs, web

from keepalived.host.clock import Clock
from keepalived.host.slices import run_in_slices
from keepalived.keeper.snapshot import StatusSource
from keepalived.observe.connections import (
    HEADER_BYTES,
    HEADER_COUNT,
    MOST_CONNECTIONS,
    REQUEST_SECONDS,
    HttpConnections,
)
from keepalived.observe.health import Health
from keepalived.observe.hosts import loopback_names_only
from keepalived.observe.metrics import Metrics
from keepalived.observe.page.serving import StatusPage
from keepalived.serving.acceptor import Acceptor
from keepalived.serving.request_log import server_logger

if TYPE_CHECKING:
    from keepalived.observe.page.view_model import DaemonView

_SHUTDOWN_SECONDS = 2.0


@dataclass(eq=False)
class HttpListener:
    """Serves `/metrics`, `/healthz` and `/readyz` on `sockets`, which listen, and closes them.

    With `page`, the status page is at `/`. `engine` is called in the event loop, once per scrape.
    On loopback, requests for another host are refused.
    """

    sockets: Sequence[socket.socket]
    _: KW_ONLY
    metrics: Metrics
    engine: StatusSource
    health: Health
    clock: Clock
    page: bool = True
    most_connections: int = MOST_CONNECTIONS

    def __post_init__(self) -> None:
        self._started_at = 0.0
        self._page = StatusPage(self.engine.snapshot, self._view_of_daemon) if self.page else None
        self._scraping = asyncio.Lock()
        self._connections = HttpConnections(self.most_connections)
        self._running = AsyncExitStack()

    async def start(self) -> tuple[str, int]:
        """Serve; return the address, with its actual port."""
        self._started_at = self.clock.boot()
        addresses = [each.getsockname() for each in self.sockets]
        is_local = all(ipaddress.ip_address(each[0]).is_loopback for each in addresses)
        guards = [loopback_names_only] if is_local else []
        app = web.Application(middlewares=[self._connections.note_requests, *guards])
        app.router.add_get("/metrics", self._get_metrics)
        app.router.add_get("/healthz", self._get_healthz)
        app.router.add_get("/readyz", self._get_readyz)
        if self._page is not None:
            self._page.add_to(app.router)
        app.on_response_prepare.append(_hide_server)
        runner = web.AppRunner(
            app,
            access_log=None,
            logger=server_logger(),
            auto_decompress=False,
            shutdown_timeout=_SHUTDOWN_SECONDS,
            keepalive_timeout=REQUEST_SECONDS,
            max_line_size=HEADER_BYTES,
            max_field_size=HEADER_BYTES,
            max_headers=HEADER_COUNT,
        )
        self._running.push_async_callback(runner.cleanup)
        await runner.setup()
        server = runner.server
        assert server is not None  # noqa: S101 - setup() has made it
        door = self._connections.door(server)
        self._running.callback(door.close)
        self._running.callback(Acceptor(self.sockets, door).close)
        host, port = addresses[0][:2]
        return host, port

    async def stop(self) -> None:
        """Close the sockets, and give pending answers a moment to finish. Idempotent."""
        await self._running.aclose()

    def _view_of_daemon(self) -> DaemonView:
        from keepalived.observe.page.view_model import DaemonView

        return DaemonView(
            version=self.metrics.version,
            wall=self.clock.wall(),
            running_for=self.clock.boot() - self._started_at,
            complaints=self.health.stalled(),
            waiting_for=self.health.missing,
            broken_sources=self.metrics.broken_sources,
            is_configuration_good=self.metrics.is_configuration_good,
        )

    async def _get_metrics(self, request: web.Request) -> web.Response:
        async with self._scraping:
            state = await run_in_slices(self.metrics.state.text(self.engine.engine_view()))
            body, headers = await asyncio.to_thread(
                self.metrics.scrape,
                state,
                ",".join(request.headers.getall(hdrs.ACCEPT, ())),
                ",".join(request.headers.getall(hdrs.ACCEPT_ENCODING, ())),
            )
        return web.Response(body=body, headers=headers)

    async def _get_healthz(self, _request: web.Request) -> web.Response:
        return _health_response("ok", self.health.stalled())

    async def _get_readyz(self, _request: web.Request) -> web.Response:
        return _health_response("ready", [f"waiting for {each}" for each in self.health.missing])


def _health_response(good: str, problems: Iterable[str]) -> web.Response:
    lines = list(problems)
    return web.Response(
        status=503 if lines else 200, text="".join(f"{line}\n" for line in lines or [good])
    )


async def _hide_server(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers.popall(hdrs.SERVER, None)
