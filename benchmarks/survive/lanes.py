"""A lane: one contender, its own simulated vCenter, and the uploads whose sessions it keeps.

The contenders of a row run concurrently, each in its lane, so none affects another's vCenter.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field

import trustme

from benchmarks.survive.contenders import Contender
from benchmarks.survive.uploads import Upload
from keepalived.lease import timing
from keepalived.simulator.app import Simulator
from keepalived.simulator.faults import Effect

DOMAIN = "survive.test"
LOOPBACK = "127.0.0.1"
LINK_NEAR = "10.77.0.1"
LINK_FAR = "10.77.0.2"

_LOOK_SECONDS = 0.01
_ABOUT = 0.02
_LATEST_DUE = 0.55
"""Renewals fall due at 0.45 to 0.55 lifetimes."""


def bridgeable(lifetime: float) -> float:
    """Return the longest outage in seconds that the daemon's schedule guarantees to bridge.

    In the worst case the outage begins when a renewal is due as late as possible. It may then last
    for the rest of the lifetime, minus one interval between two attempts.
    """
    return lifetime * (1 - _LATEST_DUE) - timing.floor(lifetime)


def new_authority(tls: ssl.SSLContext) -> bytes:
    """Give a server a new certificate from a new authority; return the authority's, as PEM."""
    authority = trustme.CA()
    authority.issue_cert(f"*.{DOMAIN}", LOOPBACK, LINK_NEAR).configure_cert(tls)
    return authority.cert_pem.bytes()


@dataclass
class Lane:
    """The target of a fault. `lifetime` is in seconds."""

    contender: Contender
    simulator: Simulator
    tls: ssl.SSLContext
    lifetime: float
    uploads: list[Upload] = field(default_factory=list)

    async def meet(self, effect: Effect) -> None:
        """Apply `effect` to the next keep-alive, and wait for it, for one lifetime at most.

        A fault that begins then begins at the worst moment for this contender.
        """
        faults = self.simulator.faults
        fault = faults.add(effect, route="*.keep_alive", count=1)
        await self._wait(lambda: fault not in list(faults))
        faults.remove(fault)

    async def slack_comes_to(self, share: float) -> None:
        """Wait until the least remaining share of a lifetime, over all sessions, is about `share`.

        Waits for one lifetime at most: a contender that renews more often never gets there.
        """
        await self._wait(lambda: share - _ABOUT <= self._least_slack() / self.lifetime <= share)

    def _least_slack(self) -> float:
        ledger, now = self.simulator.ledger, self.simulator.clock.now()
        records = [ledger.session(each.session_id) for each in self.uploads]
        active = [each.last_activity for each in records if each.ended is None]
        return min(
            (self.lifetime - (now - at) for at in active if at is not None), default=self.lifetime
        )

    async def _wait(self, condition: Callable[[], bool]) -> None:
        try:
            async with asyncio.timeout(self.lifetime):
                while not condition():  # noqa: ASYNC110 - no event signals it
                    await asyncio.sleep(_LOOK_SECONDS)
        except TimeoutError:
            return
