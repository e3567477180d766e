"""Tasks that run as long as the program does."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


def start_endless(
    tasks: asyncio.TaskGroup, work: Coroutine[Any, Any, None], name: str
) -> asyncio.Task[None]:
    """Start a task of a group under its name; that it returns is as much an error as raising."""
    return tasks.create_task(_endless(work, name), name=name)


async def _endless(work: Coroutine[Any, Any, None], name: str) -> None:
    await work
    raise RuntimeError(f"the task {name!r} ended, and should not have")
