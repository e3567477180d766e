"""All tests of this folder run on both event loops, and most over both transports."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
import uvloop

from tests.support.transports import WAYS, Lane


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Return what each test runs on in turn."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture(params=["http", "https"])
def scheme(request: pytest.FixtureRequest) -> str:
    """Whether connections are encrypted."""
    return str(request.param)


@pytest.fixture(params=WAYS)
def lane(request: pytest.FixtureRequest, scheme: str, certificate: Path) -> Lane:
    """A way to servers of this machine."""
    return Lane(request.param, certificate if scheme == "https" else None)
