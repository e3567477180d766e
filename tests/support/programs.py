"""Start programs in tests, and skip tests whose program is missing (never in CI)."""

from __future__ import annotations

import asyncio
import os
import shutil
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest


def needs(program: str) -> pytest.MarkDecorator:
    """Skip a test, with a reason, if a program is not installed; never in CI."""
    missing = shutil.which(program) is None and "CI" not in os.environ
    return pytest.mark.skipif(missing, reason=f"{program} is not installed")


@asynccontextmanager
async def program(*words: Any, **how: Any) -> AsyncIterator[Process]:
    """Start a program; kill it at the end of the block if it still runs."""
    how = {"stdout": PIPE, "stderr": PIPE, **how}
    process = await asyncio.create_subprocess_exec(*words, **how)
    async with killed_at_last(process, process.communicate):
        yield process


@asynccontextmanager
async def killed_at_last(
    process: Process, until_over: Callable[[], Awaitable[object]]
) -> AsyncIterator[None]:
    """Kill a program at the end of the block if it still runs, and wait for its end."""
    try:
        yield
    finally:
        if process.returncode is None:
            process.kill()
        await until_over()
