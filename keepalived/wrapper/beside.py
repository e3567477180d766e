"""Endless work beside something that ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager


@asynccontextmanager
async def beside(**work: Coroutine[object, object, None]) -> AsyncIterator[None]:
    """Do this work, by name, for as long as the block runs; what it raises ends the block."""
    async with asyncio.TaskGroup() as tasks:
        started = [tasks.create_task(each, name=name) for name, each in work.items()]
        try:
            yield
        finally:
            for task in started:
                task.cancel()
