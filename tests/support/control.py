"""A running control socket: the engine is in memory; the socket, callers and users are real."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    contextmanager,
)
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from yarl import URL

from keepalived.control.limits import DEFAULT_LIMITS, Limits
from keepalived.control.server import ControlServer
from keepalived.host.processes import ProcessWatcher
from keepalived.host.sockets import listen_unix
from keepalived.keeper.keeper import Keeper
from keepalived.keeper.policy import RenewalPolicy
from keepalived.keeper.ports import NullPersistence
from keepalived.keeper.registry import Registry, Retention
from keepalived.lease.events import VCenterAdded
from keepalived.lease.holds import Hold, Owner, OwnerKind
from keepalived.lease.model import Kind, SessionKey, State
from keepalived.observe.bus import EventBus
from keepalived.observe.eventlog import EventLog
from keepalived.observe.metrics import Metrics
from keepalived.settings import Reloaded
from keepalived.simulator.app import Simulator
from keepalived.vcenter.client import Client
from tests.support.engine import LoopClock, settings_of, simulator_in_loop, stop
from tests.support.memory_transport import MemoryTransport

LIFETIME = 300.0
NO_OWNER = {"owner": None}
"""The body of a request for a hold without an owner."""


class Disk(NullPersistence):
    """Persistence on a disk that can be full or slow."""

    def __init__(self) -> None:
        self.error: OSError | None = None
        self.written: list[SessionKey] = []
        self.is_ready = asyncio.Event()
        self.is_ready.set()

    async def put_hold(self, key: SessionKey, hold: Hold) -> None:
        await self._write()
        self.written.append(key)

    async def delete_hold(self, key: SessionKey, uid: int, owner: Owner) -> None:
        await self._write()

    async def _write(self) -> None:
        await self.is_ready.wait()
        if self.error is not None:
            raise self.error


@dataclass
class Answered:
    """A response as received by a caller."""

    status: int
    body: Any
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Control:
    """A control socket and its engine."""

    path: Path
    simulators: dict[str, Simulator]
    registry: Registry
    disk: Disk
    watcher: ProcessWatcher
    bus: EventBus
    clock: LoopClock
    reload: Callable[[], Coroutine[Any, Any, Reloaded]]
    limits: Limits = DEFAULT_LIMITS
    admin_gid: int | None = None
    server: ControlServer = field(init=False)

    def open(self, vcenter: str = "lab", kind: Kind = Kind.UPDATE) -> str:
        """Open a session on a server, and return its id."""
        return self.simulators[vcenter].open_session(kind=kind)

    async def start(self) -> None:
        """Start serving, like a daemon whose registry was restored from the store."""
        self.watcher = ProcessWatcher(self.limits.processes)
        self.server = ControlServer(
            self.registry,
            self.watcher,
            self.bus,
            self.clock,
            reload=lambda: self.reload(),
            admin_gid=self.admin_gid,
            limits=self.limits,
        )
        self.listener = listen_unix(self.path)
        self.path.chmod(0o666)  # in these tests other users may connect
        await self.server.restore_owners()
        await self.server.start(self.listener.socket)

    async def stop(self) -> None:
        """Stop serving; the registry keeps what the store would keep."""
        await self.server.stop()
        self.watcher.close()
        self.listener.close()

    def held_by_a_file(self) -> SessionKey:
        """Hold a session like the configuration does, and return its key."""
        key = SessionKey("lab", Kind.UPDATE, self.open())
        owner = Owner(OwnerKind.FILE, "/etc/clkeepalived/config.yaml")
        self.registry.hold(key, Hold(0, owner, self.clock.boot(), None))
        return key

    async def until(self, condition: Callable[[], object], seconds: float = 120.0) -> None:
        """Wait until a condition holds."""
        async with asyncio.timeout(seconds):
            while not condition():  # noqa: ASYNC110 - no event signals it
                await asyncio.sleep(0.005)

    def holds(self, session_id: str, vcenter: str = "lab") -> tuple[Hold, ...]:
        """Return the holds of a session."""
        session = self.registry.find(SessionKey(vcenter, Kind.UPDATE, session_id))
        return () if session is None else session.holds

    def state(self, session_id: str, vcenter: str = "lab") -> State:
        """Return the state of a known session."""
        session = self.registry.find(SessionKey(vcenter, Kind.UPDATE, session_id))
        assert session is not None
        return session.state

    async def curl(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        prefix: Sequence[str] = (),
        **user: Any,
    ) -> Answered:
        """Send a request as another user, by curl, which every user may run."""
        command = [
            *prefix,
            "curl",
            "--silent",
            "--show-error",
            "--max-time",
            "120",
            "--request",
            method,
        ]
        command += ["--unix-socket", str(self.path), "--write-out", "\n%{http_code}"]
        if body is not None:
            command += ["--data", json.dumps(body)]
        process = await asyncio.create_subprocess_exec(
            *command,
            f"http://localhost{path}",
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd="/",
            **user,
        )
        output, errors = await process.communicate()
        assert process.returncode == 0, errors
        text, _, status = output.decode().rpartition("\n")
        return Answered(int(status), json.loads(text))


class Caller:
    """A client of the daemon's own user, with a persistent connection."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.http = session

    async def send(self, method: str, path: str | URL, body: object = None, **how: Any) -> Answered:
        """Send a request, and read the whole answer."""
        async with self.http.request(method, path, json=body, **how) as response:
            return Answered(
                response.status, await response.json(content_type=None), dict(response.headers)
            )

    async def get(self, path: str) -> Answered:
        return await self.send("GET", path)

    async def put(self, path: str, body: object) -> Answered:
        return await self.send("PUT", path, body)

    async def patch(self, path: str, body: object) -> Answered:
        return await self.send("PATCH", path, body)

    async def post(self, path: str) -> Answered:
        return await self.send("POST", path)

    async def delete(self, path: str) -> Answered:
        return await self.send("DELETE", path)


class Stream:
    """An NDJSON stream, read line by line."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response
        self.status = response.status

    async def line(self) -> Any:
        """Return the next line, None at the end."""
        async with asyncio.timeout(120):
            raw = await self.response.content.readline()
        return json.loads(raw) if raw else None

    async def until(self, event: str) -> Any:
        """Read up to an event, and return it."""
        while (line := await self.line()) is not None:
            if line.get("event") == event:
                return line
        raise AssertionError(f"the stream ended without {event}")


@contextmanager
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """Run a process for holds that last as long as it."""
    with subprocess.Popen(["sleep", "60"]) as child:
        try:
            yield child
        finally:
            child.kill()


@asynccontextmanager
async def caller_at(socket: Path) -> AsyncIterator[Caller]:
    """Connect to the control socket at a path."""
    connector = aiohttp.UnixConnector(str(socket))
    unhurried = aiohttp.ClientTimeout(total=None)  # a timeout would count on the fake clock
    async with aiohttp.ClientSession(
        "http://localhost", connector=connector, timeout=unhurried
    ) as session:
        yield Caller(session)


def caller(control: Control) -> AbstractAsyncContextManager[Caller]:
    """Connect to a control socket."""
    return caller_at(control.path)


@asynccontextmanager
async def stream(
    control: Control, method: str, path: str, body: object = None
) -> AsyncIterator[Stream]:
    """Open a stream on its own connection, which is closed at the end of the block."""
    async with caller(control) as own, own.http.request(method, path, json=body) as response:
        try:
            yield Stream(response)
        finally:
            response.close()


@asynccontextmanager
async def running_control(
    directory: Path,
    *,
    vcenters: tuple[str, ...] = ("lab",),
    limits: Limits = DEFAULT_LIMITS,
    admin_gid: int | None = None,
    lifetime: float = LIFETIME,
) -> AsyncIterator[Control]:
    """Run a control socket with an engine and simulated libraries while the block runs."""
    clock = LoopClock()
    bus = EventBus(Metrics(version="test", max_sessions=10, clock=clock), EventLog())
    disk = Disk()
    registry = Registry(bus, clock, Retention(), disk)
    simulators = {name: simulator_in_loop(session_timeout=lifetime) for name in vcenters}

    async def reload() -> Reloaded:
        return Reloaded(applied=True)

    control = Control(
        directory / "control.sock",
        simulators,
        registry,
        disk,
        ProcessWatcher(1),
        bus,
        clock,
        reload,
        limits,
        admin_gid,
    )
    async with AsyncExitStack() as stack:
        for name, simulator in simulators.items():
            settings = settings_of(simulator, "http://vcenter.test")
            client = Client(name, settings, MemoryTransport(simulator.handle), clock)
            keeper = Keeper(
                name, client, RenewalPolicy(lifetime), registry, bus, clock, lambda: 0.5
            )
            bus.notify(VCenterAdded(name))
            registry.attach(keeper)
            stack.push_async_callback(keeper.close)
            stack.push_async_callback(stop, asyncio.create_task(keeper.run()))
        await control.start()
        stack.push_async_callback(control.stop)
        yield control


async def held(control: Control, me: Caller) -> tuple[str, str]:
    """Open and hold a session; return its id and its path."""
    session_id = control.open()
    path = f"/v1/sessions/lab/{session_id}"
    await me.put(path, NO_OWNER)
    return session_id, path
