"""Assembles the engine: the registry, and a keeper and client for each vCenter.

`serve` runs one engine with all configured vCenters; `exec` and `hold()` run one with a single
vCenter for the duration of a block.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from keepalived.host.clock import Clock
from keepalived.keeper.keeper import Keeper
from keepalived.keeper.policy import RenewalPolicy
from keepalived.keeper.ports import Persistence
from keepalived.keeper.registry import Registry, Retention
from keepalived.lease.events import Listener, VCenterAdded, VCenterRemoved
from keepalived.lease.model import SessionKey
from keepalived.lease.session import RequestKind
from keepalived.settings import Observe, VCenterSettings
from keepalived.vcenter.client import Client
from keepalived.vcenter.connect import build_transport, connect
from keepalived.vcenter.transport import Transport

MakeTransport = Callable[[VCenterSettings], Transport]
Start = Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]]
"""Starts a task with a name, which runs until it is cancelled."""

_YEAR_SECONDS = 365 * 86400.0
_RENEWAL_SECONDS = 5.0
_FOLLOW_UPS = {
    Observe.FILES: (RequestKind.GET, RequestKind.FILES),
    Observe.STATE: (RequestKind.GET,),
    Observe.MINIMAL: (),
}


class Engine:
    """A registry of sessions, with a keeper for each added vCenter."""

    def __init__(
        self,
        listener: Listener,
        clock: Clock,
        retention: Retention,
        persistence: Persistence | None = None,
        *,
        make_transport: MakeTransport = build_transport,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self.registry = Registry(listener, clock, retention, persistence)
        self._listener = listener
        self._clock = clock
        self._make_transport = make_transport
        self._draw = draw
        self._running: dict[str, tuple[Keeper, asyncio.Task[None]]] = {}

    @property
    def tasks(self) -> tuple[asyncio.Task[None], ...]:
        """The tasks of all keepers."""
        return tuple(task for _, task in self._running.values())

    def add(
        self,
        name: str,
        settings: VCenterSettings,
        stall_timeout: float,
        start: Start,
        client: Client | None = None,
    ) -> Keeper:
        """Add a vCenter, with its client if it has one already, and start its keeper."""
        self._listener.notify(VCenterAdded(name))
        client = client or connect(
            name, settings, self._clock, self._make_transport(settings), self._listener
        )
        policy = RenewalPolicy(
            session_timeout=settings.session_timeout,
            request_timeout=settings.request_timeout,
            max_in_flight=settings.max_in_flight,
            follow_ups=_FOLLOW_UPS[settings.observe],
            stall_timeout=stall_timeout,
            has_credentials=settings.username is not None,
        )
        keeper = Keeper(
            name, client, policy, self.registry, self._listener, self._clock, self._draw
        )
        self.registry.attach(keeper)
        self._running[name] = keeper, start(keeper.run(), f"keeper {name}")
        return keeper

    async def stop(self, name: str) -> None:
        """Stop a vCenter's keeper and log out. Its sessions remain for another keeper."""
        keeper, task = self._running.pop(name)
        task.cancel()
        await asyncio.wait([task])
        await keeper.close()

    async def remove(self, name: str) -> None:
        """Remove a vCenter, and release its sessions."""
        self.registry.detach(name)
        await self.stop(name)
        self._listener.notify(VCenterRemoved(name))

    async def renew_all(self) -> None:
        """Renew all held sessions at once, within at most five seconds."""
        await self.renew(*[each.key for each in self.registry if not each.state.is_final])

    async def renew(self, *keys: SessionKey) -> None:
        """Renew some sessions at once, within at most five seconds."""
        try:
            async with asyncio.timeout(_RENEWAL_SECONDS):
                await asyncio.gather(*map(self.registry.renew_now, keys))
        except TimeoutError:
            pass  # The keeper continues, and reports failures as events.


@asynccontextmanager
async def one_vcenter(
    name: str,
    settings: VCenterSettings,
    listener: Listener,
    clock: Clock,
    *,
    stall_timeout: float,
    client: Client | None = None,
    make_transport: MakeTransport = build_transport,
) -> AsyncIterator[tuple[Engine, Keeper]]:
    """Run an engine with one vCenter until the block is left, then log out and close `client`.

    Ended sessions remain known until then. Files are always observed, regardless of the settings,
    because the results of a block depend on them.
    """
    retention = Retention(_YEAR_SECONDS, _YEAR_SECONDS)
    engine = Engine(listener, clock, retention, make_transport=make_transport)
    observing = settings.replace(observe=Observe.FILES)

    def start(work: Coroutine[Any, Any, None], task_name: str) -> asyncio.Task[None]:
        return asyncio.create_task(work, name=task_name)

    keeper = engine.add(name, observing, stall_timeout, start, client)
    sweeping = start(engine.registry.run_housekeeping(), "housekeeping")
    try:
        yield engine, keeper
    finally:
        sweeping.cancel()
        await asyncio.wait([sweeping])
        await engine.stop(name)
