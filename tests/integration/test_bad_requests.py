"""Requests that cannot be parsed, at each server: answered with 400, and next to nothing logged."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from keepalived.observe.logs import configure_logging
from keepalived.simulator.app import Simulator
from keepalived.simulator.server import serve
from tests.support.control import running_control
from tests.support.listener import running_listener

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Open = Callable[[], Awaitable[Streams]]

UPGRADE = (
    b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    + b"x" * 65536
)
_BODY = b"PUT /v1/sessions/lab/a HTTP/1.1\r\nHost: localhost\r\n"
BAD = {
    "garbage behind an upgrade": UPGRADE,
    "bytes in the target": b"GET /" + b"x" * 8000 + b"\xff HTTP/1.1\r\n\r\n",
    "TLS": b"\x16\x03\x01" * 3000,
    "half a URL": b"GET http://[" + b"x" * 1000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "a bad chunk": _BODY + b"Transfer-Encoding: chunked\r\n\r\nZZ" + b"z" * 30000 + b"\r\n",
    "a long field": b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 60000 + b"\r\n\r\n",
    "many fields": b"GET / HTTP/1.1\r\nHost: x\r\n" + b"a: b\r\n" * 10000 + b"\r\n",
    "no gzip": _BODY + b"Content-Encoding: gzip\r\nContent-Length: 5\r\n\r\nabcde",
    "unread no gzip": b"GET /nowhere HTTP/1.1\r\nHost: localhost\r\nContent-Encoding: gzip\r\n"
    b"Content-Length: 5\r\n\r\nabcde",
}


@asynccontextmanager
async def control(folder: Path) -> AsyncIterator[Open]:
    async with running_control(folder) as running:
        yield lambda: asyncio.open_unix_connection(str(running.path))


@asynccontextmanager
async def listener(_folder: Path) -> AsyncIterator[Open]:
    async with running_listener() as (host, port):
        yield lambda: asyncio.open_connection(host, port)


@asynccontextmanager
async def simulator(_folder: Path) -> AsyncIterator[Open]:
    async with serve(Simulator(with_admin=True)) as url:
        yield lambda: asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))


@pytest.fixture(params=[control, listener, simulator], ids=lambda each: each.__name__)
async def connect(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Open]:
    async with request.param(tmp_path) as connect:
        yield connect


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    yield io.StringIO()
    root.setLevel(level)
    root.handlers[:] = handlers


def lines(log: io.StringIO) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in log.getvalue().splitlines()]
    return [line for line in found if line.get("logger") != "asyncio"]


async def answers(connect: Open, request: bytes) -> bytes:
    """Return all that is answered to a request, until the server closes the connection."""
    reader, writer = await connect()
    try:
        writer.write(request)
        writer.write_eof()
        async with asyncio.timeout(60):
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


@pytest.mark.parametrize("name", sorted(BAD))
async def test_a_bad_request_is_no_line_in_the_log(
    connect: Open, log: io.StringIO, name: str
) -> None:
    configure_logging(format="json", level="info", stream=log)
    for _ in range(3):
        answer = await answers(connect, BAD[name])
        assert b" 500 " not in answer

    assert lines(log) == []


async def test_bad_requests_are_one_short_debug_line_now_and_then(
    connect: Open, log: io.StringIO
) -> None:
    configure_logging(format="json", level="debug", stream=log)
    for _ in range(20):
        await answers(connect, UPGRADE)
        await answers(connect, BAD["bytes in the target"])

    said = [line for line in lines(log) if line["event"] == "bad_request"]
    assert 1 <= len(said) < 20
    assert {line["level"] for line in said} == {"debug"}
    assert "exception" not in log.getvalue()
    assert max(map(len, log.getvalue().splitlines())) < 4096
