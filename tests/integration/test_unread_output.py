"""Real processes with unread output: they do their work, and stop on request."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from keepalived.simulator.app import Simulator
from keepalived.simulator.server import serve
from tests.support.daemon import PASSWORD_VARIABLE

pytestmark = pytest.mark.timeout(300)

LIFETIME = 4.0
"""What the daemon takes for the lifetime; the sessions live longer, on a slow machine as well."""
WITHIN = 90.0


class Unread:
    """A process whose standard error is a pipe that is full from the start."""

    def __init__(self, process: Process, reading: int, filling: int) -> None:
        self.process = process
        self.filling = filling
        self._reading = reading

    async def rest(self) -> str:
        """Read what was written, until the end."""

        def read() -> bytes:
            with os.fdopen(self._reading, "rb") as pipe:
                return pipe.read()

        return (await asyncio.to_thread(read))[self.filling :].decode()

    async def end(self) -> int:
        async with asyncio.timeout(WITHIN):
            return await self.process.wait()


@asynccontextmanager
async def unread(*arguments: str, **environ: str) -> AsyncIterator[Unread]:
    reading, writing = os.pipe()
    filling = 0
    os.set_blocking(writing, False)
    try:
        while True:
            filling += os.write(writing, b"\n" * 65536)
    except BlockingIOError:
        os.set_blocking(writing, True)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "keepalived.cli", *arguments),
        stdin=DEVNULL,
        stdout=DEVNULL,
        stderr=writing,
        env={**os.environ, **environ},
    )
    os.close(writing)
    try:
        yield Unread(process, reading, filling)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WITHIN):
        while not condition():  # noqa: ASYNC110 - another process makes it true
            await asyncio.sleep(0.05)


def configuration(folder: Path, url: str, simulator: Simulator, session_id: str) -> Path:
    path = folder / "config.yaml"
    settings: dict[str, Any] = {
        "vcenters": {
            "lab": {
                "url": url,
                "username": simulator.username,
                "password_env": PASSWORD_VARIABLE,
                "session_timeout": LIFETIME,
            }
        },
        "sessions": [{"id": session_id}],
        "http": {"listen": "127.0.0.1:0"},
        "control": {"socket": str(folder / "control.sock")},
        "state": {"path": str(folder / "state.db")},
        "log": {"format": "json", "level": "debug"},
    }
    path.write_text(json.dumps(settings))
    return path


@asynccontextmanager
async def unread_daemon(folder: Path) -> AsyncIterator[tuple[Unread, Simulator, str]]:
    """Run a daemon that holds a session; yield it, its vCenter and the session."""
    simulator = Simulator(session_timeout=WITHIN)
    async with serve(simulator) as url:
        session_id = simulator.open_session()
        config = configuration(folder, url, simulator, session_id)
        environ = {PASSWORD_VARIABLE: simulator.password}
        async with unread("serve", "--config", str(config), **environ) as daemon:
            yield daemon, simulator, session_id


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
async def test_a_daemon_renews_and_ends_while_nobody_reads_its_log(
    tmp_path: Path, ending: signal.Signals
) -> None:
    async with unread_daemon(tmp_path) as (daemon, simulator, session_id):

        def renewals() -> int:
            return len(list(simulator.ledger.requests("*.keep_alive", session_id=session_id)))

        await until(lambda: renewals() > 2)
        daemon.process.send_signal(signal.SIGHUP)
        before = renewals()
        await until(lambda: renewals() > before + 1)
        daemon.process.send_signal(ending)
        assert await daemon.end() == 0
    assert simulator.ledger.session(session_id).ended is None


async def test_the_end_waits_a_moment_for_whoever_reads_the_log(tmp_path: Path) -> None:
    async with unread_daemon(tmp_path) as (daemon, simulator, session_id):
        await until(
            lambda: bool(list(simulator.ledger.requests("*.keep_alive", session_id=session_id)))
        )
        reading = asyncio.create_task(daemon.rest())
        daemon.process.send_signal(signal.SIGTERM)
        assert await daemon.end() == 0
        events = [json.loads(line)["event"] for line in (await reading).splitlines()]
    assert events[-1] == "stopped"
    assert "ready" in events
