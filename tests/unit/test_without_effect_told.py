"""Who hears of a renewal that had no effect: the log, the stream, `exec` and the library."""

from __future__ import annotations

import logging

import pytest
from structlog.testing import capture_logs

from keepalived.cli.words import event as words_for
from keepalived.lease.model import Kind, SessionKey
from keepalived.observe.eventlog import EventLog
from keepalived.observe.feed import Event, Feed
from keepalived.observe.metrics import Metrics
from keepalived.observe.reporter import Reporter
from keepalived.wrapper.teller import Teller
from tests.support.engine import LoopClock

pytestmark = pytest.mark.looptime

KEY = SessionKey("lab", Kind.UPDATE, "a:b")


async def test_log_and_stream_are_told() -> None:
    logging.getLogger("clkeepalived").setLevel(logging.DEBUG)
    clock = LoopClock()
    metrics = Metrics(version="test", max_sessions=1, clock=clock)
    feed = Feed(Reporter(EventLog(), metrics), clock)
    heard: list[Event] = []
    with capture_logs() as logs, feed.subscribe(lambda _: True) as subscription:
        feed.renewal_without_effect(KEY, 42.0)
        event = await subscription.next()
        assert event is not None
        heard.append(event)
    (line,) = logs
    assert (line["event"], line["left"]) == ("renewal_without_effect", 42.0)
    (event,) = heard
    assert (event.name, event.key, event.facts) == ("renewal_without_effect", KEY, {"left": 42.0})
    said = {"event": event.name, **event.facts}
    assert words_for(said).startswith("renewed, but its expiration stands still")


def test_whoever_watches_a_wrapped_command_is_warned() -> None:
    said: list[str] = []
    teller = Teller(said.append, lambda _: None, lambda _: None, lambda: None)
    teller.renewal_without_effect(KEY, 42.0)
    assert said == [
        "warning: a:b: keep-alives are answered, but have no effect on the server; it may expire "
        "in 42 s"
    ]
