"""A remedy for how pytest-asyncio and looptime get on."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True, scope="session")
def current_loop() -> Iterator[None]:
    """Let there be a current event loop, which is closed in the end.

    Before the first asynchronous test looptime asks for the current loop. Where there is none, one
    is made that nobody closes, and some later test fails for the warning about that.
    """
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield
    loop.close()
