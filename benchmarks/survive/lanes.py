"""A lane: one contender, a simulated vCenter of its own, and the uploads whose sessions it keeps.

The contenders of a row run side by side, each in its lane: none can spoil another's vCenter.
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
    """Return the longest outage in seconds that the daemon's schedule promises to bridge.

    A renewal that falls due as late as possible meets it at its begin; what is left of the lifetime
    then, but for one wait between two attempts, is what there is.
    """
    return lifetime * (1 - _LATEST_DUE) - timing.floor(lifetime)


def new_authority(tls: ssl.SSLContext) -> bytes:
    """Give a server a new certificate by a new authority; return the authority's own, as PEM."""
    authority = trustme.CA()
    authority.issue_cert(f"*.{DOMAIN}", LOOPBACK, LINK_NEAR).configure_cert(tls)
    return authority.cert_pem.bytes()


@dataclass
class Lane:
    """What a fault strikes. `lifetime` is in seconds."""

    contender: Contender
    simulator: Simulator
    tls: ssl.SSLContext
    lifetime: float
    uploads: list[Upload] = field(default_factory=list)

    async def meet(self, effect: Effect) -> None:
        """Let `effect` hit the next keep-alive, and wait for it; for one lifetime at most.

        So whatever begins now begins at the worst moment for this contender.
        """
        faults = self.simulator.faults
        fault = faults.add(effect, route="*.keep_alive", count=1)
        await self._wait(lambda: fault not in list(faults))
        faults.remove(fault)

    async def slack_comes_to(self, share: float) -> None:
        """Wait until no session has less than about this share of its lifetime left, and one has.

        For one lifetime at most: who renews more often never comes there.
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
                while not condition():  # noqa: ASYNC110 - nothing tells when it comes to hold
                    await asyncio.sleep(_LOOK_SECONDS)
        except TimeoutError:
            return
