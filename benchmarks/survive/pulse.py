"""Detect stalls of the machine: measure how late a frequent task wakes up at worst."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

_BEAT_SECONDS = 0.05


class Pulse:
    """Wakes up at short intervals; `latest` is the greatest delay in seconds."""

    def __init__(self) -> None:
        self.latest = 0.0

    async def beat(self) -> None:
        """Wake up until cancelled."""
        now = asyncio.get_running_loop().time
        while True:
            expected = now() + _BEAT_SECONDS
            await asyncio.sleep(_BEAT_SECONDS)
            self.latest = max(self.latest, now() - expected)


@asynccontextmanager
async def felt() -> AsyncIterator[Pulse]:
    """Measure while the block runs."""
    pulse = Pulse()
    beating = asyncio.create_task(pulse.beat(), name="pulse")
    try:
        yield pulse
    finally:
        beating.cancel()
        with suppress(asyncio.CancelledError):
            await beating
