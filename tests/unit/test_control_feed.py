"""The feed: events for whoever listens, and losses for whoever does not keep up."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest

from keepalived.lease.answers import Outcome
from keepalived.lease.model import Kind, SessionKey
from keepalived.observe.eventlog import EventLog
from keepalived.observe.feed import Event, Feed
from keepalived.observe.metrics import Metrics
from keepalived.observe.reporter import Reporter

KEY = SessionKey("lab", Kind.UPDATE, "session-1")
WALL = 1_700_000_000.0


@dataclass
class StoppedClock:
    def boot(self) -> float:
        return 100.0

    def wall(self) -> float:
        return WALL


@pytest.fixture
def feed() -> Feed:
    clock = StoppedClock()
    reporter = Reporter(EventLog(), Metrics(version="test", max_sessions=1, clock=clock))
    reporter.declare_vcenter("lab", session_timeout=300.0)
    return Feed(reporter, clock)


def everything(_event: Event) -> bool:
    return True


async def test_each_listener_hears_what_it_wants(feed: Feed) -> None:
    with (
        feed.subscribe(everything) as all_ears,
        feed.subscribe(lambda event: event.key == KEY) as choosy,
    ):
        feed.vcenter_up("lab", 12.0)
        feed.renewed(KEY, first=True, slack=None, progress=5)

        first, second = await all_ears.next(), await all_ears.next()
        only = await choosy.next()

    assert first == Event("vcenter_up", WALL, vcenter="lab", facts={"down_seconds": 12.0})
    assert second is not None
    assert second == only
    assert second.facts == {"first": True, "slack": None, "progress": 5}


async def test_whoever_is_gone_hears_nothing(feed: Feed) -> None:
    with feed.subscribe(everything) as subscription:
        feed.vcenter_up("lab", 1.0)
    feed.vcenter_up("lab", 2.0)

    event = await subscription.next()
    assert event is not None
    assert event.facts == {"down_seconds": 1.0}
    assert await subscription.next() is None


async def test_closing_wakes_whoever_waits(feed: Feed) -> None:
    with feed.subscribe(everything) as subscription:
        waiting = asyncio.create_task(subscription.next())
        await asyncio.sleep(0)
        subscription.close()

        assert await waiting is None


async def test_a_slow_listener_is_told_how_many_events_it_missed_and_where(feed: Feed) -> None:
    with feed.subscribe(everything, size=2) as subscription:
        for seconds in range(5):
            feed.vcenter_up("lab", seconds)
        first = await subscription.next()
        feed.vcenter_up("lab", 5)
        heard = [first, await subscription.next(), await subscription.next()]
        heard.append(await subscription.next())
        feed.vcenter_up("lab", 6)
        heard.append(await subscription.next())

    said = [(event.name, dict(event.facts)) for event in heard if event is not None]
    assert said == [
        ("vcenter_up", {"down_seconds": 0}),
        ("vcenter_up", {"down_seconds": 1}),
        ("events_lost", {"count": 3}),
        ("vcenter_up", {"down_seconds": 5}),
        ("vcenter_up", {"down_seconds": 6}),
    ]


async def test_losses_at_the_end_are_told_as_well(feed: Feed) -> None:
    with feed.subscribe(everything, size=1) as subscription:
        for seconds in range(3):
            feed.vcenter_up("lab", seconds)
        await subscription.next()

        lost = await subscription.next()

    assert lost is not None
    assert (lost.name, lost.facts) == ("events_lost", {"count": 2})


async def test_what_is_only_counted_is_no_news(feed: Feed) -> None:
    with feed.subscribe(everything) as subscription:
        feed.keep_alive_answered(KEY, Outcome.OK, 0.1)
        feed.attempt_started("lab", 0.0)
        feed.hold_taken(KEY, "file")
        feed.hold_released(KEY, "file")
        subscription.close()

        assert await subscription.next() is None


def test_changes_of_holds_are_for_one_pair_of_ears(feed: Feed) -> None:
    heard: list[SessionKey] = []
    feed.holds_changed = heard.append

    feed.hold_taken(KEY, "file")
    feed.hold_released(KEY, "file")

    assert heard == [KEY, KEY]
