"""The page and the metrics behind the reverse proxy that the documentation shows."""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
import trustme

from keepalived.host.clock import SystemClock
from keepalived.keeper.snapshot import Snapshot
from keepalived.observe.binding import bind
from keepalived.observe.health import Health
from keepalived.observe.http import HttpListener
from keepalived.observe.metrics import Metrics
from tests.support.programs import needs
from tests.support.sessions import Still
from tests.system.nginx import NAME, PASSWORD, USER, nginx

pytestmark = [needs("nginx"), needs("openssl"), pytest.mark.timeout(900)]

NOTHING_HELD = Still(Snapshot(1000.0, (), ()))


@dataclass
class Site:
    """The proxy as a client meets it."""

    http: aiohttp.ClientSession
    url: str
    trust: ssl.SSLContext

    async def get(self, path: str, *, password: str | None = None) -> tuple[int, str]:
        """Return status and text of a page."""
        headers = {"Host": NAME}
        if password is not None:
            pair = base64.b64encode(f"{USER}:{password}".encode()).decode()
            headers["Authorization"] = f"Basic {pair}"
        async with self.http.get(
            self.url + path, ssl=self.trust, server_hostname=NAME, headers=headers
        ) as answer:
            return answer.status, await answer.text()


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    clock = SystemClock()
    metrics = Metrics(version="1", max_sessions=1, clock=clock)
    listener = HttpListener(
        await bind("127.0.0.1:0"),
        metrics=metrics,
        engine=NOTHING_HELD,
        health=Health(dict, []),
        clock=clock,
    )
    host, port = await listener.start()
    ca = await asyncio.to_thread(trustme.CA)
    trust = await asyncio.to_thread(ssl.create_default_context)
    await asyncio.to_thread(ca.configure_trust, trust)
    async with (
        nginx(tmp_path, f"{host}:{port}", ca=ca) as proxy,
        aiohttp.ClientSession() as http,
    ):
        yield Site(http, f"https://127.0.0.1:{proxy}", trust)
    await listener.stop()


async def test_nobody_is_let_in_without_a_password(site: Site) -> None:
    for path in ("/clkeepalived/", "/clkeepalived/page.js", "/clkeepalived/metrics"):
        assert (await site.get(path))[0] == 401
        assert (await site.get(path, password="guess"))[0] == 401
    assert (await site.get("/", password=PASSWORD))[0] == 404


async def test_the_page_and_what_it_is_made_of_come_through(site: Site) -> None:
    status, page = await site.get("/clkeepalived/", password=PASSWORD)
    assert (status, "Nothing is held" in page) == (200, True)
    for path in ("page.js", "page.css", "page.svg", "metrics", "healthz"):
        assert f'"{path}"' in page or path == "healthz"
        assert (await site.get(f"/clkeepalived/{path}", password=PASSWORD))[0] == 200
