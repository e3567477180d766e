"""Run an HTTP listener in this process, with an engine without sessions."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from keepalived.host.clock import SystemClock
from keepalived.keeper.registry import Registry, Retention
from keepalived.observe.binding import bind
from keepalived.observe.bus import EventBus
from keepalived.observe.eventlog import EventLog
from keepalived.observe.health import Health
from keepalived.observe.http import HttpListener
from keepalived.observe.metrics import Metrics


@asynccontextmanager
async def running_listener(**options: Any) -> AsyncIterator[tuple[str, int]]:
    """Serve on loopback while the block runs; yield host and port."""
    clock = SystemClock()
    metrics = Metrics(version="1", max_sessions=10, session_labels=True, clock=clock)
    listener = HttpListener(
        await bind("127.0.0.1:0"),
        metrics=metrics,
        engine=Registry(EventBus(metrics, EventLog()), clock, Retention(60.0, 60.0), None),
        health=Health(dict, []),
        clock=clock,
        **options,
    )
    address = await listener.start()
    try:
        yield address
    finally:
        await listener.stop()
