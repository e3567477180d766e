"""Whether the machine kept up: a task that should wake up often, and how late it did at worst."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

_BEAT_SECONDS = 0.05


class Pulse:
    """Beats while it is felt; `latest` is how many seconds too late a beat came at worst."""

    def __init__(self) -> None:
        self.latest = 0.0

    async def beat(self) -> None:
        """Beat until cancelled."""
        now = asyncio.get_running_loop().time
        while True:
            expected = now() + _BEAT_SECONDS
            await asyncio.sleep(_BEAT_SECONDS)
            self.latest = max(self.latest, now() - expected)


@asynccontextmanager
async def felt() -> AsyncIterator[Pulse]:
    """Feel the pulse while the block runs."""
    pulse = Pulse()
    beating = asyncio.create_task(pulse.beat(), name="pulse")
    try:
        yield pulse
    finally:
        beating.cancel()
        with suppress(asyncio.CancelledError):
            await beating
