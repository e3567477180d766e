"""The event stream: entries for its readers, and losses for a reader that does not keep up."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest

from keepalived.control.event_stream import EventStream, StreamEntry
from keepalived.lease import events
from keepalived.lease.answers import Outcome
from keepalived.lease.holds import Hold, Owner, OwnerKind
from keepalived.lease.model import Kind, SessionKey, State

KEY = SessionKey("lab", Kind.UPDATE, "session-1")
WALL = 1_700_000_000.0


@dataclass
class StoppedClock:
    def boot(self) -> float:
        return 100.0

    def wall(self) -> float:
        return WALL


@pytest.fixture
def stream() -> EventStream:
    return EventStream(StoppedClock())


def everything(_entry: StreamEntry) -> bool:
    return True


async def test_each_listener_hears_what_it_wants(stream: EventStream) -> None:
    with (
        stream.subscribe(everything) as all_ears,
        stream.subscribe(lambda entry: entry.key == KEY) as choosy,
    ):
        stream.notify(events.VCenterUp("lab", 12.0))
        stream.notify(events.Renewed(KEY, True, None, 5))

        first, second = await all_ears.next(), await all_ears.next()
        only = await choosy.next()

    assert first == StreamEntry("vcenter_up", WALL, vcenter="lab", facts={"down_seconds": 12.0})
    assert second is not None
    assert second == only
    assert second.facts == {"first": True, "slack": None, "progress": 5}


async def test_whoever_is_gone_hears_nothing(stream: EventStream) -> None:
    with stream.subscribe(everything) as subscription:
        stream.notify(events.VCenterUp("lab", 1.0))
    stream.notify(events.VCenterUp("lab", 2.0))

    event = await subscription.next()
    assert event is not None
    assert event.facts == {"down_seconds": 1.0}
    assert await subscription.next() is None


async def test_closing_wakes_whoever_waits(stream: EventStream) -> None:
    with stream.subscribe(everything) as subscription:
        waiting = asyncio.create_task(subscription.next())
        await asyncio.sleep(0)
        subscription.close()

        assert await waiting is None


async def test_a_slow_reader_is_told_how_many_events_it_missed_and_where(
    stream: EventStream,
) -> None:
    with stream.subscribe(everything, size=2) as subscription:
        for seconds in range(5):
            stream.notify(events.VCenterUp("lab", seconds))
        first = await subscription.next()
        stream.notify(events.VCenterUp("lab", 5))
        heard = [first, await subscription.next(), await subscription.next()]
        heard.append(await subscription.next())
        stream.notify(events.VCenterUp("lab", 6))
        heard.append(await subscription.next())

    said = [(event.name, dict(event.facts)) for event in heard if event is not None]
    assert said == [
        ("vcenter_up", {"down_seconds": 0}),
        ("vcenter_up", {"down_seconds": 1}),
        ("events_lost", {"count": 3}),
        ("vcenter_up", {"down_seconds": 5}),
        ("vcenter_up", {"down_seconds": 6}),
    ]


async def test_losses_at_the_end_are_told_as_well(stream: EventStream) -> None:
    with stream.subscribe(everything, size=1) as subscription:
        for seconds in range(3):
            stream.notify(events.VCenterUp("lab", seconds))
        await subscription.next()

        lost = await subscription.next()

    assert lost is not None
    assert (lost.name, lost.facts) == ("events_lost", {"count": 2})


async def test_what_is_only_counted_is_no_news(stream: EventStream) -> None:
    hold = Hold(0, Owner(OwnerKind.NONE), 0.0, None)
    with stream.subscribe(everything) as subscription:
        stream.notify(events.KeepAliveAnswered(KEY, Outcome.OK, 0.1))
        stream.notify(events.AttemptStarted("lab", 0.0))
        stream.notify(events.HoldChanged(KEY, hold, hold))
        stream.notify(events.HoldReleased(KEY, hold, State.DONE))
        subscription.close()

        assert await subscription.next() is None
