"""Run a whole daemon on the fake clock, and record its log, metrics and event stream."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from keepalived.lease.model import Kind, SessionKey
from keepalived.simulator.app import Simulator
from tests.support.control import Answered, Caller
from tests.support.daemon_in_memory import MemoryDaemon, running
from tests.support.engine import NAME
from tests.support.recorded import record

TIMEOUT = 120.0
"""Seconds of fake time in which an event has to reach the log and the stream: longer than any pause
of the daemon."""

Fields = Mapping[str, object]


class Observed:
    """A daemon running on a simulator, and all its reports so far."""

    def __init__(self, life: MemoryDaemon) -> None:
        self.simulator = life.simulator
        self.daemon = life.daemon
        self.clock = life.clock
        self.stream: list[dict[str, Any]] = []
        self.caller: Caller
        self._life = life

    @property
    def log(self) -> list[dict[str, Any]]:
        """The log lines written so far."""
        return self._life.logged()

    def logged(self, event: str) -> list[dict[str, Any]]:
        """Return the log lines of an event, without their time stamps."""
        lines = self._life.logged(event)
        return [{k: v for k, v in line.items() if k != "timestamp"} for line in lines]

    def streamed(self, event: str) -> list[dict[str, Any]]:
        """Return the stream's lines of an event, without their time stamps."""
        lines = (line for line in self.stream if line["event"] == event)
        return [{k: v for k, v in line.items() if k != "at"} for line in lines]

    def counted(self) -> dict[str, float]:
        """Return the daemon's counters and histograms by name and labels."""
        return {
            f"{sample.name}{json.dumps(sample.labels) if sample.labels else ''}": sample.value
            for family in self.daemon._metrics.registry.collect()
            if family.name.startswith("clkeepalived_")
            for sample in family.samples
        }

    def changes(self, since: Mapping[str, float]) -> dict[str, float]:
        """Return the change of each counter since an earlier reading."""
        now = self.counted()
        moved = {name: value - since.get(name, 0.0) for name, value in now.items()}
        return {name: change for name, change in moved.items() if change}

    async def until(self, event: str, *, count: int = 1, timeout: float = TIMEOUT) -> None:
        """Wait until the log, or the stream if the log lacks it, has an event `count` times.

        The timeout is on the fake clock, so it does not depend on the machine's speed.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + timeout
        while len(self.logged(event)) < count:
            assert loop.time() < end, (
                f"no {event} in the log: {[each['event'] for each in self.log]}"
            )
            await asyncio.sleep(1)

    async def until_streamed(self, event: str, *, count: int = 1) -> None:
        """Wait until the stream has an event `count` times."""
        loop = asyncio.get_running_loop()
        end = loop.time() + TIMEOUT
        while len(self.streamed(event)) < count:
            seen = [each["event"] for each in self.stream]
            assert loop.time() < end, f"no {event} in the stream: {seen}"
            await asyncio.sleep(1)

    async def reload(self, **how: Any) -> None:
        """Reload another configuration; takes the arguments of `MemoryDaemon.reload`."""
        await self._life.reload(**how)

    def open(self, kind: Kind = Kind.UPDATE) -> SessionKey:
        """Open a session on the server, without holding it."""
        return SessionKey(NAME, kind, self.simulator.open_session(kind=kind))

    async def hold(self, key: SessionKey, **wish: object) -> Answered:
        """Take a hold over the control socket, or change it."""
        answered = await self.caller.put(path_of(key), {"owner": None, **wish})
        assert answered.status in (200, 201), answered.body
        return answered

    async def release(self, key: SessionKey, owner: str = "none") -> None:
        """Release a hold over the control socket."""
        answered = await self.caller.delete(f"{path_of(key)}&owner={owner}")
        assert answered.status in (200, 204), answered.body


def path_of(key: SessionKey) -> str:
    """Return the path of a session in the control API."""
    return f"/v1/sessions/{key.vcenter}/{key.id}?kind={key.kind}"


@asynccontextmanager
async def observed(folder: Path, simulator: Simulator, **how: Any) -> AsyncIterator[Observed]:
    """Run a daemon with a caller and an event stream on its control socket; random draws are 0.5.

    Takes the arguments of `MemoryDaemon`.
    """
    async with running(simulator, folder, draw=lambda: 0.5, **how) as life:
        seen = Observed(life)
        async with _connected(life.socket) as seen.caller, _reading(life.socket, seen):
            yield seen


@asynccontextmanager
async def _connected(socket: Path) -> AsyncIterator[Caller]:
    # Without timeouts: on the fake clock minutes pass while a thread writes the state file.
    http = aiohttp.ClientSession(
        "http://localhost",
        connector=aiohttp.UnixConnector(str(socket)),
        timeout=aiohttp.ClientTimeout(total=None),
    )
    async with http:
        yield Caller(http)


@asynccontextmanager
async def _reading(socket: Path, seen: Observed) -> AsyncIterator[None]:
    """Read the event stream into `seen` while the block runs, starting before it."""
    async with _connected(socket) as own, own.http.get("/v1/events") as response:

        async def read() -> None:
            async for line in response.content:
                seen.stream.append(json.loads(line))

        reader = asyncio.create_task(read())
        try:
            await seen.until_streamed("stream_started")
            yield
        finally:
            reader.cancel()
            await asyncio.wait([reader])
            record("stream", seen.stream)
            response.close()
