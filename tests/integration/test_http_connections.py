"""Connections to the HTTP listener that ask for nothing, or read nothing."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE
from pathlib import Path

import aiohttp
import pytest

from keepalived.simulator.app import Simulator
from keepalived.simulator.server import serve
from tests.support.daemon import PASSWORD_VARIABLE, Daemon
from tests.support.listener import running_listener

HALF = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
WHOLE = HALF + b"\r\n"
WITHIN = 90.0

pytestmark = pytest.mark.timeout(300)


async def test_half_requests_keep_nobody_out() -> None:
    async with running_listener(most_connections=4) as (host, port):
        others = []
        for _ in range(12):
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(HALF)
            others.append((reader, writer))
        async with asyncio.timeout(WITHIN), aiohttp.ClientSession() as session:
            for _ in range(3):
                async with session.get(f"http://{host}:{port}/healthz") as answer:
                    assert answer.status == 200
            # The oldest had to make room.
            with_end = [await _is_over(reader) for reader, _ in others[:8]]
        assert all(with_end)
        for _, writer in others:
            writer.close()


async def _is_over(reader: asyncio.StreamReader) -> bool:
    try:
        return await reader.read() == b""
    except ConnectionError:
        return True


async def test_a_connection_in_use_outlives_many_half_requests() -> None:
    async with running_listener(most_connections=4) as (host, port), asyncio.timeout(WITHIN):
        reader, writer = await asyncio.open_connection(host, port)
        others = []
        for _ in range(12):
            writer.write(WHOLE)
            assert (await reader.readuntil(b"ok\n")).startswith(b"HTTP/1.1 200")
            for _ in range(2):
                _, other = await asyncio.open_connection(host, port)
                other.write(HALF)
                others.append(other)
            # Until both have been let in.
            async with (
                aiohttp.ClientSession() as session,
                session.get(f"http://{host}:{port}/healthz") as answer,
            ):
                assert answer.status == 200
        for each in (writer, *others):
            each.close()


async def test_half_a_request_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("keepalived.observe.http.REQUEST_SECONDS", 0.2)
    async with running_listener() as (host, port), asyncio.timeout(WITHIN):
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(WHOLE)
        await reader.readuntil(b"ok\n")
        writer.write(HALF)
        assert await reader.read() == b""
        writer.close()


async def test_an_idle_connection_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("keepalived.observe.http.REQUEST_SECONDS", 0.2)
    async with running_listener() as (host, port), asyncio.timeout(WITHIN):
        for begin in (b"", HALF, b"G"):
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(begin)
            assert await reader.read() == b""
            writer.close()


@pytest.mark.extended
async def test_a_thousand_half_requests_cost_no_session(tmp_path: Path) -> None:
    simulator = Simulator(session_timeout=WITHIN)
    async with serve(simulator) as url:
        session_id = simulator.open_session()
        config = tmp_path / "config.yaml"
        vcenter = {
            "url": url,
            "username": simulator.username,
            "password_env": PASSWORD_VARIABLE,
            "session_timeout": 4.0,
        }
        settings = {
            "vcenters": {"lab": vcenter},
            "sessions": [{"id": session_id}],
            "http": {"listen": "127.0.0.1:0"},
            "control": {"socket": str(tmp_path / "control.sock")},
            "state": {"path": str(tmp_path / "state.db")},
        }
        config.write_text(json.dumps(settings))
        program = [sys.executable, "-m", "keepalived.cli", "serve", "--config", str(config)]
        process = await asyncio.create_subprocess_exec(
            *("sh", "-c", 'ulimit -n 1024; exec "$@"', "sh", *program),
            stdin=DEVNULL,
            stderr=PIPE,
            env={**os.environ, PASSWORD_VARIABLE: simulator.password},
        )
        daemon = Daemon(process)
        try:
            await _crowd(daemon, simulator, tmp_path / "control.sock", session_id)
            daemon.send(signal.SIGTERM)
            assert await daemon.end(seconds=WITHIN) == 0
        finally:
            if process.returncode is None:
                process.kill()
    assert not [event for event in daemon.events if event["event"] == "vcenter_down"]
    assert len(daemon.events) < 100
    assert daemon.other_lines == []


async def _crowd(daemon: Daemon, simulator: Simulator, control: Path, session_id: str) -> None:
    ready = await daemon.event("ready", seconds=WITHIN)
    host, _, port = ready["listen"].rpartition(":")

    def renewals() -> int:
        return len(list(simulator.ledger.requests("*.keep_alive", session_id=session_id)))

    crowd = []
    for _ in range(1100):
        with contextlib.suppress(ConnectionError):
            _, writer = await asyncio.open_connection(host, int(port))
            writer.write(HALF)
            crowd.append(writer)
    before = renewals()
    await daemon.until(lambda: renewals() > before + 3, seconds=WITHIN, what="renewals")
    assert await _status(f"http://{ready['listen']}/readyz") == 200
    assert await _status("http://localhost/v1/sessions", control) == 200
    for writer in crowd:
        writer.close()


async def _status(url: str, path: Path | None = None) -> int:
    connector = None if path is None else aiohttp.UnixConnector(str(path))
    async with (
        asyncio.timeout(WITHIN),
        aiohttp.ClientSession(connector=connector) as session,
        session.get(url) as answer,
    ):
        return answer.status
