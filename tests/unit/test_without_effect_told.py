"""A renewal without effect is reported in the log, the stream, `exec` and the library."""

from __future__ import annotations

import logging

import pytest
from structlog.testing import capture_logs

from keepalived.cli.text import event as words_for
from keepalived.control.event_stream import EventStream
from keepalived.lease.events import RenewalWithoutEffect
from keepalived.lease.model import Kind, SessionKey
from keepalived.observe.bus import EventBus
from keepalived.observe.eventlog import EventLog
from keepalived.wrapper.console_listener import ConsoleListener
from tests.support.engine import LoopClock

pytestmark = pytest.mark.looptime

KEY = SessionKey("lab", Kind.UPDATE, "a:b")


async def test_log_and_stream_are_told() -> None:
    logging.getLogger("clkeepalived").setLevel(logging.DEBUG)
    stream = EventStream(LoopClock())
    bus = EventBus(EventLog(), stream)
    with capture_logs() as logs, stream.subscribe(lambda _: True) as subscription:
        bus.notify(RenewalWithoutEffect(KEY, 42.0))
        entry = await subscription.next()
    (line,) = logs
    assert (line["event"], line["left"]) == ("renewal_without_effect", 42.0)
    assert entry is not None
    assert (entry.name, entry.key, entry.facts) == ("renewal_without_effect", KEY, {"left": 42.0})
    said = {"event": entry.name, **entry.facts}
    assert words_for(said).startswith("renewed, but expiration_time does not move")


def test_whoever_watches_a_wrapped_command_is_warned() -> None:
    said: list[str] = []
    teller = ConsoleListener(said.append, lambda _: None, lambda _: None, lambda: None)
    teller.notify(RenewalWithoutEffect(KEY, 42.0))
    assert said == [
        "warning: a:b: keep-alives are answered, but have no effect on the server; it may expire "
        "in 42 s"
    ]
