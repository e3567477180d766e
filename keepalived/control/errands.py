"""Work that is finished whether or not whoever asked for it is still there."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import structlog

log = structlog.get_logger("clkeepalived")

T = TypeVar("T")


class Errands:
    """Tasks that outlive the requests that started them."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def start(self, work: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        """Run `work` on its own; if nobody is there to see it fail, the log says so."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def send(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Run `work` on its own, with nobody waiting for it."""
        self.start(work, name).add_done_callback(_report)

    async def finish(self, work: Coroutine[Any, Any, T], name: str) -> T:
        """Return what `work` returns. It goes on to its end even if we are cancelled."""
        return await asyncio.shield(self.start(work, name))

    async def all_done(self) -> None:
        """Wait until nothing is left to do."""
        while self._tasks:
            await asyncio.wait(self._tasks)


def _report(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("errand_failed", errand=task.get_name(), exc_info=error)
