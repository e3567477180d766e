"""Runs work to its end even if the caller that requested it disconnects."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import structlog

log = structlog.get_logger("clkeepalived")

T = TypeVar("T")


class BackgroundTasks:
    """Tasks that outlive the requests that started them."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def spawn(self, work: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        """Run `work` in a new task, and return the task."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def spawn_unwatched(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Run `work` in a new task. A failure is logged as `errand_failed`."""
        self.spawn(work, name).add_done_callback(_report)

    async def run_shielded(self, work: Coroutine[Any, Any, T], name: str) -> T:
        """Return the result of `work`, which runs to its end even if the caller is cancelled."""
        return await asyncio.shield(self.spawn(work, name))

    async def all_done(self) -> None:
        """Wait until all tasks are done."""
        while self._tasks:
            await asyncio.wait(self._tasks)


def _report(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("errand_failed", errand=task.get_name(), exc_info=error)
