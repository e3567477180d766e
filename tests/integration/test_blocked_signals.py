"""Commands whose parent had signals blocked: they are ended by them all the same."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.support.cli import COMMAND
from tests.support.daemon import Daemon
from tests.support.exec import place

pytestmark = pytest.mark.timeout(300)

WITHIN = 90.0
BLOCKED = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)
_BLOCKING = f"""
import os, signal, sys
signal.pthread_sigmask(signal.SIG_SETMASK, {list(map(int, BLOCKED))})
os.execv(sys.argv[1], sys.argv[1:])
"""


@asynccontextmanager
async def started(
    *words: str, environ: Mapping[str, str] = os.environ, stderr: int = PIPE
) -> AsyncIterator[Process]:
    """Start a command with signals blocked."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _BLOCKING, *COMMAND, *words),
        stdin=DEVNULL,
        stdout=PIPE,
        stderr=stderr,
        env=environ,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()


async def ended(process: Process) -> int:
    async with asyncio.timeout(WITHIN):
        return await process.wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_daemon_reloads_and_ends(tmp_path: Path, number: signal.Signals) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(
        'vcenters: {lab: {url: "https://127.0.0.1:1"}}\nhttp: {listen: "127.0.0.1:0"}\n'
    )
    async with started("serve", "--config", str(config)) as process:
        daemon = Daemon(process)
        await daemon.event("ready", seconds=WITHIN)
        daemon.send(signal.SIGHUP)
        await daemon.event("reloaded", seconds=WITHIN)
        daemon.send(number)
        assert await daemon.end(seconds=WITHIN) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_simulator_ends(number: signal.Signals) -> None:
    async with started("simulate", stderr=DEVNULL) as process:
        assert process.stdout is not None
        assert "url" in json.loads(await process.stdout.readline())
        process.send_signal(number)
        assert await ended(process) == 0


async def test_a_demonstration_ends() -> None:
    async with started("demo", stderr=DEVNULL) as process:
        assert process.stdout is not None
        await process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        await process.stdout.read()
        assert await ended(process) == 128 + signal.SIGTERM


async def test_exec_ends_with_its_command_and_gives_it_what_it_was_given(tmp_path: Path) -> None:
    look = (
        "import resource, signal, sys; print(*map(int, sorted(signal.pthread_sigmask(0, ())))); "
        "print(resource.getrlimit(resource.RLIMIT_NOFILE)[0]); sys.exit(7)"
    )
    async with (
        place(tmp_path, lifetime=WITHIN) as site,
        started(
            *("exec", "--config", str(site.config), "--", sys.executable, "-c", look),
            environ=site.environment,
        ) as process,
    ):
        async with asyncio.timeout(WITHIN):
            out, _ = await process.communicate()
        assert process.returncode == 7
        mask, descriptors = out.decode().splitlines()
        assert mask.split() == [str(int(number)) for number in sorted(BLOCKED)]
        assert int(descriptors) == resource.getrlimit(resource.RLIMIT_NOFILE)[0]
