"""An engine for one vCenter: a registry and a keeper, in this process and for a while only."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from keepalived.host.clock import Clock
from keepalived.keeper.keeper import Keeper, Manner
from keepalived.keeper.observer import Observer
from keepalived.keeper.registry import Registry, Retention
from keepalived.lease.model import SessionKey
from keepalived.settings import VCenterSettings
from keepalived.vcenter.client import Client
from keepalived.vcenter.http import build_transport
from keepalived.vcenter.transport import Transport

MakeTransport = Callable[[VCenterSettings], Transport]

_FOR_EVER = 365 * 86400.0
_RENEWAL_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Engine:
    """What keeps sessions while the block of `engine` runs."""

    registry: Registry
    keeper: Keeper

    async def renew_all(self) -> None:
        """Renew everything that is held, at once; bounded by five seconds."""
        held = [session.key for session in self.registry if not session.state.is_final]
        await self.renew(*held)

    async def renew(self, *keys: SessionKey) -> None:
        """Renew some sessions at once; bounded by five seconds."""
        try:
            async with asyncio.timeout(_RENEWAL_SECONDS):
                await asyncio.gather(*map(self.registry.renew_now, keys))
        except TimeoutError:
            pass  # The keeper tries on, and says so where it matters.


@asynccontextmanager
async def engine(
    name: str,
    settings: VCenterSettings,
    observer: Observer,
    clock: Clock,
    *,
    stall_timeout: float,
    make_transport: MakeTransport = build_transport,
) -> AsyncIterator[Engine]:
    """Keep sessions of one vCenter until the block is left; then log out where we logged in.

    What ended is remembered for as long as that: the last lines speak of it.
    """
    registry = Registry(observer, clock, Retention(ended=_FOR_EVER, failed=_FOR_EVER))
    client = Client(
        name,
        settings,
        make_transport(settings),
        clock,
        on_login=lambda outcome: observer.login(name, outcome),
    )
    manner = Manner(
        session_timeout=settings.session_timeout,
        request_timeout=settings.request_timeout,
        max_in_flight=settings.max_in_flight,
        stall_timeout=stall_timeout,
        has_credentials=settings.username is not None,
    )
    keeper = Keeper(name, client, manner, registry, observer, clock)
    registry.attach(keeper)
    work = [
        asyncio.create_task(keeper.run(), name="keeper"),
        asyncio.create_task(registry.keep_house(), name="housekeeping"),
    ]
    try:
        yield Engine(registry, keeper)
    finally:
        for task in work:
            task.cancel()
        await asyncio.wait(work)
        await keeper.close()
