"""The status page over HTTP: its fence, who may read it by which name, and what it costs."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
import pytest

from keepalived.host.clock import SystemClock
from keepalived.keeper.snapshot import Snapshot, StatusSource, VCenterView
from keepalived.observe.binding import bind
from keepalived.observe.health import Health
from keepalived.observe.hosts import names_loopback
from keepalived.observe.http import HttpListener
from keepalived.observe.metrics import Metrics
from tests.support.sessions import Still

LAB = VCenterView("lab", up=True, in_flight=0, utilization=0.0)
NOTHING_HELD = Still(Snapshot(1000.0, (), (LAB,)))


@asynccontextmanager
async def listening(
    engine: StatusSource = NOTHING_HELD,
    *,
    listen: str = "127.0.0.1:0",
    page: bool = True,
) -> AsyncIterator[aiohttp.ClientSession]:
    """Run a listener, and yield a client of it that unpacks nothing."""
    clock = SystemClock()
    metrics = Metrics(version="1.2.3", max_sessions=10, clock=clock)
    health = Health(dict, [])
    listener = HttpListener(
        await bind(listen), metrics=metrics, engine=engine, health=health, clock=clock, page=page
    )
    _, port = await listener.start()
    try:
        async with aiohttp.ClientSession(
            f"http://127.0.0.1:{port}", auto_decompress=False
        ) as client:
            yield client
    finally:
        await listener.stop()


async def test_the_page_is_fenced_in() -> None:
    async with listening() as http, http.get("/") as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
        policy = dict(
            part.strip().split(" ", 1)
            for part in answer.headers["Content-Security-Policy"].split(";")
        )
        assert policy == {
            "default-src": "'none'",
            "style-src": "'self'",
            "script-src": "'self'",
            "connect-src": "'self'",
            "img-src": "'self'",
            "base-uri": "'none'",
            "form-action": "'none'",
            "frame-ancestors": "'none'",
        }
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["Cache-Control"] == "no-store"
        assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.parametrize(
    ("path", "kind", "words"),
    [
        ("/page.css", "text/css", b"prefers-color-scheme: dark"),
        ("/page.js", "text/javascript", b'"use strict"'),
        ("/page.svg", "image/svg+xml", b"<svg"),
    ],
)
async def test_what_the_page_is_made_of(path: str, kind: str, words: bytes) -> None:
    async with listening() as http, http.get(path) as answer:
        assert answer.status == 200
        assert answer.content_type == kind
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert words in await answer.read()


async def test_the_page_is_packed_for_whoever_unpacks() -> None:
    async with listening() as http:
        async with http.get("/", headers={"Accept-Encoding": "identity"}) as answer:
            assert "Content-Encoding" not in answer.headers
            plain = await answer.read()
        async with http.get("/", headers={"Accept-Encoding": "gzip"}) as answer:
            assert answer.headers["Content-Encoding"] == "gzip"
            assert answer.headers["Vary"] == "Accept-Encoding"
            assert gzip.decompress(await answer.read()) == plain


async def test_head_answers_without_a_body() -> None:
    async with listening() as http, http.head("/") as answer:
        assert answer.status == 200
        assert int(answer.headers["Content-Length"]) > 0
        assert await answer.read() == b""


@pytest.mark.parametrize("path", ["/", "/page.css", "/page.js", "/page.svg"])
async def test_without_the_page_there_is_none(path: str) -> None:
    async with listening(page=False) as http:
        async with http.get(path) as answer:
            assert answer.status == 404
        async with http.get("/metrics") as answer:
            assert answer.status == 200


@pytest.mark.parametrize(
    "host",
    [
        *("localhost", "localhost:9878", "LOCALHOST:1", "grafana.localhost"),
        *("127.0.0.1", "127.0.0.1:9878", "127.8.9.1:80", "[::1]", "[::1]:9878"),
    ],
)
def test_names_of_this_machine(host: str) -> None:
    assert names_loopback(host)


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "evil.example:9878", "localhost.evil.example", "127.0.0.1.evil.example"),
        *("", ":9878", "192.0.2.1", "0.0.0.0:80", "[::]:9878", "[2001:db8::1]"),
        *("localhost@evil.example", "evil.example/localhost", "localhost:no", "localhost,evil"),
        *("[::1", "localhost#", "localhost?", "127.0.0.1 evil"),
    ],
)
def test_other_names(host: str) -> None:
    assert not names_loopback(host)


@pytest.mark.parametrize("path", ["/", "/metrics", "/healthz", "/page.js", "/no-such-page"])
async def test_on_loopback_nobody_is_answered_who_asks_for_another_host(path: str) -> None:
    async with (
        listening() as http,
        http.get(path, headers={"Host": "rebound.evil.example:9878"}) as answer,
    ):
        assert answer.status == 421
        assert "Host: localhost" in await answer.text()
        assert "Server" not in answer.headers


async def test_a_request_without_a_host_comes_from_no_browser() -> None:
    async with listening() as http:
        async with http.get("/healthz") as answer:
            port = answer.url.port
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /healthz HTTP/1.0\r\n\r\n")
        assert (await reader.readline()).endswith(b" 200 OK\r\n")
        writer.close()
        await writer.wait_closed()


async def test_beyond_loopback_any_name_is_answered() -> None:
    async with (
        listening(listen="0.0.0.0:0") as http,
        http.get("/", headers={"Host": "metrics.lab.example"}) as answer,
    ):
        assert answer.status == 200


@dataclass
class Asked(Still):
    """Counts how often it is asked for everything."""

    times: int = 0

    def snapshot(self) -> Snapshot:
        self.times += 1
        return super().snapshot()


@pytest.mark.looptime
async def test_however_many_look_the_page_is_built_once_a_second() -> None:
    engine = Asked(NOTHING_HELD.state)
    async with listening(engine) as http:
        await asyncio.gather(*(read(http) for _ in range(20)))
        assert engine.times == 1
        async with asyncio.timeout(120):
            while engine.times == 1:
                await read(http)
                await asyncio.sleep(0.1)


async def read(http: aiohttp.ClientSession) -> str:
    async with http.get("/", headers={"Accept-Encoding": "identity"}) as answer:
        assert answer.status == 200
        return await answer.text()
