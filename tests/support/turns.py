"""Check that the event loop keeps running during other work."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


@asynccontextmanager
async def turns() -> AsyncIterator[list[None]]:
    """Yield a list that grows by one with each turn of the loop while the block runs."""
    taken: list[None] = []

    async def take() -> None:
        while True:
            taken.append(None)
            await asyncio.sleep(0)

    taking = asyncio.create_task(take())
    yield taken
    taking.cancel()
