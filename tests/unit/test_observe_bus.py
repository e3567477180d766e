"""The event bus: every listener gets every event, whatever the others do with it."""

from __future__ import annotations

from structlog.testing import capture_logs

from keepalived.lease.events import Event, SourceRecovered, VCenterAdded
from keepalived.observe.bus import EventBus


class Recorder:
    def __init__(self) -> None:
        self.heard: list[Event] = []

    def notify(self, event: Event) -> None:
        self.heard.append(event)


class Broken:
    def notify(self, event: Event) -> None:
        raise ValueError("a fault of its own")


def test_each_listener_gets_each_event_while_it_is_added() -> None:
    first, second = Recorder(), Recorder()
    bus = EventBus(first)
    early, late = VCenterAdded("lab"), SourceRecovered("a.yaml")
    bus.notify(early)
    bus.add(second)
    bus.notify(late)
    bus.remove(first)
    bus.notify(early)
    assert (first.heard, second.heard) == ([early, late], [late, early])


def test_a_listener_that_fails_is_logged_and_stops_nothing() -> None:
    recorder, event = Recorder(), VCenterAdded("lab")
    with capture_logs() as logs:
        EventBus(Broken(), recorder).notify(event)
    assert recorder.heard == [event]
    (line,) = logs
    assert (line["event"], line["kind"]) == ("event_not_handled", "VCenterAdded")
