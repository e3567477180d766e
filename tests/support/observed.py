"""A whole daemon on the fake clock, with its log, its metrics and its event stream recorded."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import aiohttp
from pydantic import SecretStr

from keepalived.daemon import Daemon
from keepalived.lease.model import Kind, SessionKey
from keepalived.observe.logs import configure_logging
from keepalived.settings import Loaded, Settings
from keepalived.simulator.app import Simulator
from keepalived.simulator.wire import Request, Response
from keepalived.vcenter.memory import MemoryTransport
from tests.support.control import Answered, Caller
from tests.support.engine import NAME, LoopClock

PATIENCE = 120.0
"""Seconds of fake time in which an event has to reach the log and the stream: longer than any
pause of the daemon, and over in a moment."""

Fields = Mapping[str, object]


class SharedClock(LoopClock):
    """The loop's time, which the state file's thread may read as well."""

    def __init__(self) -> None:
        super().__init__()
        self._loop = asyncio.get_running_loop()

    def boot(self) -> float:
        return self._loop.time() + self._jumped


class Observed:
    """A daemon at work on a simulator, and everything that it has reported so far."""

    def __init__(
        self, simulator: Simulator, daemon: Daemon, clock: SharedClock, written: io.StringIO
    ) -> None:
        self.simulator = simulator
        self.daemon = daemon
        self.clock = clock
        self.stream: list[dict[str, Any]] = []
        self.caller: Caller
        self._written = written

    @property
    def log(self) -> list[dict[str, Any]]:
        """The log lines written so far."""
        return [json.loads(line) for line in self._written.getvalue().splitlines()]

    def logged(self, event: str) -> list[dict[str, Any]]:
        """Return the log lines of an event, without their time stamps."""
        lines = (line for line in self.log if line["event"] == event)
        return [{k: v for k, v in line.items() if k != "timestamp"} for line in lines]

    def streamed(self, event: str) -> list[dict[str, Any]]:
        """Return the stream's lines of an event, without their time stamps."""
        lines = (line for line in self.stream if line["event"] == event)
        return [{k: v for k, v in line.items() if k != "at"} for line in lines]

    def counted(self) -> dict[str, float]:
        """Return the daemon's own counters and histograms, by name and labels."""
        return {
            f"{sample.name}{json.dumps(sample.labels) if sample.labels else ''}": sample.value
            for family in self.daemon._metrics.registry.collect()
            if family.name.startswith("clkeepalived_")
            for sample in family.samples
        }

    def changes(self, since: Mapping[str, float]) -> dict[str, float]:
        """Return by how much each of them has moved since an earlier reading."""
        now = self.counted()
        moved = {name: value - since.get(name, 0.0) for name, value in now.items()}
        return {name: change for name, change in moved.items() if change}

    async def until(self, event: str, *, count: int = 1, patience: float = PATIENCE) -> None:
        """Wait until the log, or where it has no such line the stream, has an event `count` times.

        The bound is on the fake clock: a slow machine does not come any closer to it.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + patience
        while len(self.logged(event)) < count:
            assert loop.time() < end, (
                f"no {event} in the log: {[each['event'] for each in self.log]}"
            )
            await asyncio.sleep(1)

    async def until_streamed(self, event: str, *, count: int = 1) -> None:
        """Wait until the stream has an event `count` times."""
        loop = asyncio.get_running_loop()
        end = loop.time() + PATIENCE
        while len(self.streamed(event)) < count:
            seen = [each["event"] for each in self.stream]
            assert loop.time() < end, f"no {event} in the stream: {seen}"
            await asyncio.sleep(1)

    def open(self, kind: Kind = Kind.UPDATE) -> SessionKey:
        """Open a session on the server, without holding it."""
        return SessionKey(NAME, kind, self.simulator.open_session(kind=kind))

    async def hold(self, key: SessionKey, **wish: object) -> Answered:
        """Take a hold over the control socket, or change it."""
        answered = await self.caller.put(path_of(key), {"owner": None, **wish})
        assert answered.status in (200, 201), answered.body
        return answered

    async def release(self, key: SessionKey, owner: str = "none") -> None:
        """Let a hold go over the control socket."""
        answered = await self.caller.delete(f"{path_of(key)}&owner={owner}")
        assert answered.status in (200, 204), answered.body


def path_of(key: SessionKey) -> str:
    """Return where the control socket has a session."""
    return f"/v1/sessions/{key.vcenter}/{key.id}?kind={key.kind}"


@contextmanager
def _logging_into(stream: io.StringIO) -> Iterator[None]:
    """Send the log to a stream at debug level, as the daemon itself sets logging up."""
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    configure_logging(format="json", level="debug", stream=stream)
    try:
        yield
    finally:
        root.setLevel(level)
        root.handlers[:] = handlers


@asynccontextmanager
async def observed(
    folder: Path,
    simulator: Simulator,
    *,
    vcenter: Mapping[str, object] | None = None,
    handle: Callable[[Request], Awaitable[Response]] | None = None,
    **settings: object,
) -> AsyncIterator[Observed]:
    """Run a daemon with a caller and an event stream on its control socket; every draw is 0.5.

    `handle` may stand before the simulator.
    """
    credentials = {"username": simulator.username, "password": SecretStr(simulator.password)}
    configured = {"url": "http://vcenter.test", **(credentials if vcenter is None else vcenter)}
    socket = folder / "control.sock"
    loaded = Loaded(
        Settings.model_validate(
            {
                "vcenters": {NAME: configured},
                "state": {"path": folder / "state.db"},
                "control": {"socket": socket},
                "http": {"listen": "127.0.0.1:0"},
                **settings,
            }
        )
    )

    async def load() -> Loaded:
        return loaded

    clock, written = SharedClock(), io.StringIO()
    daemon = Daemon(
        loaded,
        load,
        clock=clock,
        make_transport=lambda _settings: MemoryTransport(handle or simulator.handle),
        draw=lambda: 0.5,
    )
    seen = Observed(simulator, daemon, clock, written)
    with _logging_into(written):
        running = asyncio.create_task(daemon.run())
        try:
            await seen.until("ready")
            async with _connected(socket) as seen.caller, _reading(socket, seen):
                yield seen
        finally:
            daemon.stop()
            await running


@asynccontextmanager
async def _connected(socket: Path) -> AsyncIterator[Caller]:
    # Without time limits: on the fake clock minutes pass while a thread writes the state file.
    http = aiohttp.ClientSession(
        "http://localhost",
        connector=aiohttp.UnixConnector(str(socket)),
        timeout=aiohttp.ClientTimeout(total=None),
    )
    async with http:
        yield Caller(http)


@asynccontextmanager
async def _reading(socket: Path, seen: Observed) -> AsyncIterator[None]:
    """Read the event stream into `seen` while the block runs, from before it begins."""
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
            response.close()
