"""Starts tasks that must run until they are cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


def start_endless(
    tasks: asyncio.TaskGroup, work: Coroutine[Any, Any, None], name: str
) -> asyncio.Task[None]:
    """Start a named task in a group; it raises RuntimeError if `work` returns."""
    return tasks.create_task(_endless(work, name), name=name)


async def _endless(work: Coroutine[Any, Any, None], name: str) -> None:
    await work
    raise RuntimeError(f"the task {name!r} ended unexpectedly")
