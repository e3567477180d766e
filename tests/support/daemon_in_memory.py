"""Run the whole daemon in one event loop, on the fake clock, with a simulator in memory.

Its files, its control socket and its HTTP listener are real; the vCenter and the time are not.
"""

from __future__ import annotations

import asyncio
import io
import json
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, redirect_stderr
from pathlib import Path
from typing import Any

import aiohttp

from keepalived.daemon import Daemon
from keepalived.host.notify import Notifier
from keepalived.lease.holds import Hold
from keepalived.lease.model import Kind, SessionKey
from keepalived.lease.session import Session
from keepalived.observe.logs import configure_logging
from keepalived.settings import ConfigError, Loaded, Settings
from keepalived.simulator.app import Simulator
from keepalived.simulator.wire import Request, Response
from keepalived.validation import Secret, validate
from tests.support.daemon import samples
from tests.support.engine import NAME, LoopClock
from tests.support.memory_transport import MemoryTransport
from tests.support.recorded import is_recorded, record

PATIENCE = 600.0
"""Default time limit for conditions, in seconds of the fake clock."""

LOG = {"format": "json", "level": "debug"}

VCenters = Mapping[str, Mapping[str, Any]]


class SharedClock(LoopClock):
    """The loop's time, readable from the state file's thread."""

    def __init__(self) -> None:
        super().__init__()
        self._loop = asyncio.get_running_loop()

    def boot(self) -> float:
        return self._loop.time() + self._jumped


class MemoryDaemon:
    """A running daemon whose configuration can be replaced and reloaded.

    `folder` has its state file and its control socket. `vcenters` gives settings of each vCenter by
    name; their defaults are those of `simulator`. Requests to all vCenters go through `handle`, by
    default the simulator's. Other settings are given by their names.
    """

    def __init__(
        self,
        simulator: Simulator,
        folder: Path,
        *,
        handle: Callable[[Request], Awaitable[Response]] | None = None,
        draw: Callable[[], float] = random.random,
        notifier: Notifier | None = None,
        written: io.StringIO | None = None,
        vcenters: VCenters | None = None,
        **settings: Any,
    ) -> None:
        self.simulator = simulator
        self.folder = folder
        self.socket = folder / "control.sock"
        self.clock = SharedClock()
        self._written = written or io.StringIO()
        self._loaded: Loaded | ConfigError
        self._loaded = loaded = self._load(vcenters or {NAME: {}}, settings)
        self.daemon = Daemon(
            loaded,
            self._read,
            clock=self.clock,
            make_transport=lambda _settings: MemoryTransport(handle or simulator.handle),
            draw=draw,
            notifier=notifier,
        )
        self.task = asyncio.create_task(self.daemon.run())

    def _load(self, vcenters: VCenters, settings: Mapping[str, Any]) -> Loaded:
        usual = {
            "url": "http://vcenter.test",
            "username": self.simulator.username,
            "password": Secret(self.simulator.password),
        }
        data = {
            "vcenters": {name: {**usual, **own} for name, own in vcenters.items()},
            "state": {"path": self.folder / "state.db"},
            "control": {"socket": self.socket},
            "http": {"listen": "127.0.0.1:0"},
            "log": LOG,
            **settings,
        }
        return Loaded(validate(Settings, data))

    async def _read(self) -> Loaded:
        if isinstance(self._loaded, ConfigError):
            raise self._loaded
        return self._loaded

    async def reload(
        self,
        *,
        vcenters: VCenters | None = None,
        refused: ConfigError | None = None,
        **settings: Any,
    ) -> None:
        """Replace the configuration, or have it `refused`, and reload it."""
        self._loaded = refused or self._load(vcenters or {NAME: {}}, settings)
        self.daemon.reload()
        await asyncio.sleep(5)

    @property
    def is_ready(self) -> bool:
        """Whether the daemon has started and read its sources once."""
        return not self.daemon._health.missing

    async def until(self, condition: Callable[[], object], seconds: float = PATIENCE) -> None:
        """Wait until a condition holds; fail after `seconds` of the fake clock."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while not condition():
            assert loop.time() < end, f"not within {seconds} s of the fake clock"
            await asyncio.sleep(0.5)

    def logged(self, event: str = "", **fields: object) -> list[dict[str, Any]]:
        """Return the log lines of an event (any by default) that have these fields."""
        lines = map(json.loads, self._written.getvalue().splitlines())
        return [
            line
            for line in lines
            if event in ("", line["event"]) and fields.items() <= line.items()
        ]

    async def until_logged(self, event: str, **fields: object) -> dict[str, Any]:
        """Wait for a log line, and return the first match."""
        await self.until(lambda: self.logged(event, **fields))
        return self.logged(event, **fields)[0]

    async def metrics(self) -> dict[tuple[str, ...], float]:
        """Scrape; return samples by name and label values in the order of the label names."""
        return samples(await self.scrape())

    async def scrape(self) -> str:
        """Return the text of a scrape."""
        (address,) = {line["listen"] for line in self.logged("ready")}
        # Without a timeout: on the fake clock minutes may pass while a thread works.
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None)) as session,
            session.get(f"http://{address}/metrics") as answer,
        ):
            return await answer.text()

    def find(
        self, session_id: str, *, vcenter: str = NAME, kind: Kind = Kind.UPDATE
    ) -> Session | None:
        """Return a session of the daemon's."""
        return self.daemon.registry.find(SessionKey(vcenter, kind, session_id))

    def hold(self, session_id: str) -> Hold | None:
        """Return the only hold on a session, None if it is not held."""
        session = self.find(session_id)
        holds = session.holds if session else ()
        assert len(holds) < 2
        return holds[0] if holds else None

    async def ended_after(self) -> float:
        """Wait until the daemon ends by itself; return the seconds of waiting."""
        began = self.clock.boot()
        await self.task
        return self.clock.boot() - began


@contextmanager
def logging_to(written: io.StringIO) -> Iterator[io.StringIO]:
    """Send the log there, as JSON, while the block runs, also after a reload."""
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    try:
        with redirect_stderr(written):
            configure_logging(format=LOG["format"], level=LOG["level"])
            yield written
    finally:
        root.setLevel(level)
        root.handlers[:] = handlers


@asynccontextmanager
async def running(simulator: Simulator, folder: Path, **how: Any) -> AsyncIterator[MemoryDaemon]:
    """Run a daemon while the block runs; it has started when the block begins."""
    with logging_to(io.StringIO()) as written:
        life = MemoryDaemon(simulator, folder, written=written, **how)
        try:
            await life.until(lambda: life.is_ready or life.task.done())
            await asyncio.sleep(2)  # for its first requests
            yield life
        finally:
            if not life.task.done():
                if is_recorded():
                    record("metrics", [await life.scrape()])
                life.daemon.stop()
            await life.task
            record("log", life.logged())
