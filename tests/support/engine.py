"""Run the engine on the simulator, in one event loop on the fake clock, without HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from keepalived.keeper.keeper import Keeper
from keepalived.keeper.policy import RenewalPolicy
from keepalived.keeper.ports import Persistence
from keepalived.keeper.registry import Registry, Retention
from keepalived.lease.events import LoginTried, VCenterAdded
from keepalived.lease.holds import Hold, Owner, OwnerKind
from keepalived.lease.model import Kind, SessionKey, State
from keepalived.lease.progress import UNKNOWN, Progress
from keepalived.observe.bus import EventBus
from keepalived.observe.eventlog import EventLog
from keepalived.observe.metrics import Metrics
from keepalived.settings import VCenterSettings
from keepalived.simulator.app import Simulator
from keepalived.simulator.wire import Request, Response
from keepalived.validation import Secret, validate
from keepalived.vcenter.client import Client
from keepalived.vcenter.direct import DirectTransport
from tests.support.memory_transport import MemoryTransport

NAME = "lab"
EPOCH = 1_800_000_000.0
OWNER = Owner(OwnerKind.FILE, "sessions.yaml")


class LoopClock:
    """The event loop's time, which looptime fakes, as boot time and as wall time."""

    def __init__(self) -> None:
        self._jumped = 0.0

    def boot(self) -> float:
        return asyncio.get_running_loop().time() + self._jumped

    def wall(self) -> float:
        return EPOCH + self.boot()

    def jump(self, seconds: float) -> None:
        """Simulate a suspend: the boot-time clock moves on, the loop's timers do not."""
        self._jumped += seconds


def settings_of(simulator: Simulator, url: str, password: str = "") -> VCenterSettings:
    """Return vCenter settings for the simulator."""
    return validate(
        VCenterSettings,
        {
            "url": url,
            "username": simulator.username,
            # In memory, as a password from GOVC_URL is.
            "password": Secret(password or simulator.password),
        },
    )


def simulator_in_loop(**options: Any) -> Simulator:
    """Return a simulator whose clock is the running loop's."""
    loop = asyncio.get_running_loop()
    return Simulator(clock=loop.time, epoch=EPOCH, **options)


@dataclass
class Engine:
    """A keeper running on the simulator."""

    simulator: Simulator
    clock: LoopClock
    registry: Registry
    keeper: Keeper
    metrics: Metrics
    work: asyncio.Task[None]
    build: Callable[[Registry, RenewalPolicy], Keeper]

    def open(self, progress: Progress = UNKNOWN, *, kind: Kind = Kind.UPDATE) -> SessionKey:
        """Open a session on the server and hold it."""
        key = SessionKey(NAME, kind, self.simulator.open_session(kind=kind))
        self.hold(key, progress)
        return key

    def hold(self, key: SessionKey, progress: Progress = UNKNOWN) -> None:
        self.registry.hold(key, Hold(0, OWNER, self.clock.boot(), None, progress))

    def release(self, key: SessionKey) -> None:
        self.registry.release(key, 0, OWNER)

    def state(self, key: SessionKey) -> State:
        session = self.registry.find(key)
        assert session is not None
        return session.state

    def attempts(self, key: SessionKey | None = None, route: str = "*.keep_alive") -> list[float]:
        """Return when requests were sent, in seconds since the engine was started."""
        entries = self.simulator.ledger.requests(route, session_id=key.id if key else None)
        return [round(entry.time, 3) for entry in entries]

    @asynccontextmanager
    async def replaced_keeper(self, policy: RenewalPolicy) -> AsyncIterator[None]:
        """Replace the keeper by another one, as a reload does."""
        await stop(self.work)
        await self.keeper.close()
        self.keeper = self.build(self.registry, policy)
        self.registry.attach(self.keeper)
        self.work = asyncio.create_task(self.keeper.run())
        yield


async def stop(work: asyncio.Task[None]) -> None:
    """Cancel a task and wait for its end."""
    work.cancel()
    await asyncio.wait([work])


@asynccontextmanager
async def running_engine(
    simulator: Simulator,
    *,
    clock: LoopClock | None = None,
    policy: RenewalPolicy | None = None,
    draw: Callable[[], float] = lambda: 0.5,
    url: str | None = None,
    persistence: Persistence | None = None,
    handle: Callable[[Request], Awaitable[Response]] | None = None,
) -> AsyncIterator[Engine]:
    """Run a keeper on the simulator while the block runs; every random draw is the middle.

    In memory, or over HTTP if the simulator's `url` is given. `handle` may intercept requests.
    """
    clock = clock or LoopClock()
    metrics = Metrics(version="test", max_sessions=100, clock=clock)
    bus = EventBus(metrics, EventLog())
    registry = Registry(bus, clock, Retention(), persistence)
    settings = settings_of(simulator, url or "http://vcenter.test")

    def build(registry: Registry, policy: RenewalPolicy) -> Keeper:
        client = Client(
            NAME,
            settings,
            DirectTransport(settings) if url else MemoryTransport(handle or simulator.handle),
            clock,
            on_login=lambda outcome: bus.notify(LoginTried(NAME, outcome)),
        )
        return Keeper(NAME, client, policy, registry, bus, clock, draw)

    keeper = build(registry, policy or RenewalPolicy())
    bus.notify(VCenterAdded(NAME))
    registry.attach(keeper)
    work = asyncio.create_task(keeper.run())
    engine = Engine(simulator, clock, registry, keeper, metrics, work, build)
    try:
        yield engine
    finally:
        await stop(engine.work)
        await engine.keeper.close()
