"""Outages: when and how the vCenter is probed, what is renewed at their end, and their events.

Every draw is the middle: a session that was renewed is due again after 105 seconds, with 195 left.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from keepalived.keeper.policy import RenewalPolicy
from keepalived.lease import events
from keepalived.lease.answers import Outcome
from keepalived.lease.holds import LentToken
from keepalived.lease.session import Session
from tests.support.engine import NAME
from tests.support.scripted import BOOT, LINE, Reply, Scripted, Sent, as_usual, scripted
from tests.support.sessions import a_session

pytestmark = pytest.mark.looptime

MINIMAL = RenewalPolicy(follow_ups=(), max_in_flight=1)
AWAY = Reply(Outcome.UNREACHABLE, detail="refused")


def hold(engine: Scripted, count: int) -> None:
    for number in range(count):
        engine.hold(f"held-{number}")


async def test_three_failures_are_told_as_an_outage_and_so_is_its_end() -> None:
    async with scripted(MINIMAL) as engine:
        hold(engine, 3)
        await engine.until(100)
        engine.vcenter.reply = lambda sent: AWAY
        await engine.until(106.1)
        assert engine.told.of(events.VCenterDown) == [
            events.VCenterDown(NAME, Outcome.UNREACHABLE, "refused")
        ]
        assert engine.vcenter.times("who_am_i") == [106.0]
        engine.vcenter.reply = as_usual
        await engine.until(109)
        assert engine.vcenter.times("who_am_i") == [106.0, 108.0]
        assert engine.told.of(events.VCenterUp) == [events.VCenterUp(NAME, 3.0)]
        # Their own renewals have succeeded since: the next outage is probed as eagerly.
        await engine.until(200)
        engine.vcenter.reply = lambda sent: AWAY
        await engine.until(300)
        first, second = engine.vcenter.times("who_am_i")[2:4]
        assert second - first == 2.0


async def test_whoever_has_failed_is_renewed_at_the_end_of_an_outage_and_nobody_else() -> None:
    def reply(sent: Sent) -> Reply:
        return replace(AWAY, retry_after=90.0) if sent.of == "held-0" else AWAY

    async with scripted(MINIMAL) as engine:
        hold(engine, 3)
        await engine.until(50)
        later = engine.hold("later")
        await engine.until(100)
        engine.vcenter.reply = reply
        await engine.until(105.5)
        assert not engine.keeper.view().up
        engine.vcenter.reply = as_usual
        await engine.until(107)
        renewed = [(each.at, each.of) for each in engine.vcenter.of("keep_alive")]
        assert renewed[-3:] == [(106.0, "held-0"), (106.0, "held-1"), (106.0, "held-2")]
        assert engine.vcenter.times("keep_alive", later) == [50.0]
        await engine.until(160)
        assert engine.vcenter.times("keep_alive", later) == [50.0, 155.0]


@pytest.mark.parametrize(
    ("asked", "waits"),
    [
        (None, 1.0),
        (40.0, 40.0),
        # Up to half of what they have left.
        (4000.0, 97.5),
    ],
)
async def test_a_probe_waits_for_as_long_as_the_vcenter_asks_and_sessions_can_wait(
    asked: float | None, waits: float
) -> None:
    async with scripted(MINIMAL) as engine:
        hold(engine, 3)
        await engine.until(100)
        engine.vcenter.reply = lambda sent: Reply(Outcome.UNAVAILABLE, retry_after=asked)
        await engine.until(250)
        assert engine.vcenter.times("who_am_i")[0] == 105.0 + waits


async def test_what_is_overdue_or_was_never_renewed_does_not_hasten_probes() -> None:
    def restored(engine: Scripted) -> tuple[Session, ...]:
        lost = [at(engine, f"lost-{number}", -50.0) for number in range(3)]
        return (*lost, at(engine, "left", 40.0))

    async with scripted(MINIMAL, restored=restored) as engine:
        engine.hold("new")
        engine.vcenter.reply = lambda sent: replace(AWAY, retry_after=4000.0)
        await engine.until(100)
        # Half of the forty seconds that one has left, then half of the rest.
        assert engine.vcenter.times("who_am_i")[:2] == [20.0, 30.0]


def at(engine: Scripted, session_id: str, left: float, token: LentToken | None = None) -> Session:
    """Return a session that was known before, with so many seconds left."""
    now = engine.clock.boot()
    session = a_session(engine.key(session_id), deadline=now + left)
    return session._replace(holds=(replace(engine.a_hold(), token=token),))


@pytest.mark.parametrize(("configured", "timeouts"), [(None, [14.667, 10.0]), (7.0, [7.0, 7.0])])
async def test_a_probe_has_a_third_of_what_is_left_or_what_is_configured(
    configured: float | None, timeouts: list[float]
) -> None:
    def restored(engine: Scripted) -> tuple[Session, ...]:
        return tuple(at(engine, str(number), left) for number, left in enumerate([55, 70, 200]))

    policy = replace(MINIMAL, max_in_flight=3, request_timeout=configured)
    async with scripted(policy, restored=restored) as engine:
        engine.vcenter.reply = lambda sent: Reply(took=1000.0)
        await engine.until(100)
        probes = engine.vcenter.of("who_am_i")
        assert [round(each.timeout, 3) for each in probes[:2]] == timeouts


async def test_whoever_waits_for_a_renewal_hears_of_the_outage() -> None:
    async with scripted(MINIMAL) as engine:
        hold(engine, 3)
        key = engine.hold("asked-for")
        await engine.until(100)
        waiting = asyncio.create_task(engine.keeper.renew_now(key, 110.0))
        engine.vcenter.reply = lambda sent: AWAY
        answer = await waiting
        assert answer is not None
        assert answer.outcome is Outcome.UNREACHABLE
        assert engine.now() == 105.0
        again = await engine.keeper.renew_now(key)
        assert again is not None
        assert again.detail == "refused"
        assert engine.now() == 105.0


async def test_one_that_is_held_while_the_vcenter_is_down_waits_for_its_end() -> None:
    async with scripted(MINIMAL) as engine:
        engine.vcenter.reply = lambda sent: AWAY
        hold(engine, 5)
        await engine.until(0.5)
        key = engine.hold("new")
        await engine.until(0.9)
        assert engine.vcenter.times("keep_alive", key) == []
        # Nobody begins with one of those that wait either.
        assert len(engine.told.of(events.AttemptStarted)) == 3
        engine.vcenter.reply = as_usual
        await engine.until(2)
        assert engine.vcenter.times("keep_alive", key) == [1.0]


# -- refused credentials, and lent tokens that still work


def refusing(sent: Sent) -> Reply:
    """Refuse the vCenter's own credentials, and take every lent token."""
    refused = Reply(Outcome.LOGIN_REFUSED, detail="wrong password")
    return refused if sent.token is None else as_usual(sent)


async def test_where_credentials_are_refused_a_lent_token_says_that_the_vcenter_is_up() -> None:
    async with scripted(MINIMAL) as engine:
        engine.vcenter.reply = refusing
        hold(engine, 3)
        await engine.until(0.5)
        assert not engine.keeper.view().up
        lent = engine.hold("lent", token="lent")
        await engine.until(2)
        assert engine.keeper.view().up
        (probe,) = engine.vcenter.of("who_am_i")
        assert (probe.at, probe.timeout, probe.token) == (1.0, 10.0, "lent")
        assert engine.vcenter.times("keep_alive", lent) == [1.0]
        # Others are refused all the time, and that keeps nothing from being renewed.
        for at in range(10, 1000, 10):
            await engine.until(at)
            assert engine.keeper.view().up
        assert engine.vcenter.times("keep_alive", lent)[:3] == [1.0, 106.0, 256.0]
        assert len(engine.vcenter.of("who_am_i")) == 1


async def test_a_token_that_is_not_lent_any_more_speaks_for_a_lifetime() -> None:
    async with scripted(MINIMAL) as engine:
        lent = engine.hold("lent", token="lent")
        engine.vcenter.reply = refusing
        hold(engine, 3)
        await engine.until(1)
        engine.registry.release(lent, 1000, engine.find(lent).holds[0].owner)
        await engine.until(299)
        assert engine.keeper.view().up
        await engine.until(340)
        assert not engine.keeper.view().up


async def test_credentials_that_worked_until_now_are_no_lent_token() -> None:
    async with scripted(MINIMAL) as engine:
        hold(engine, 3)
        await engine.until(100)
        engine.vcenter.reply = refusing
        await engine.until(105.5)
        assert not engine.keeper.view().up


async def test_what_else_is_answered_to_a_lent_token_speaks_of_that_token_alone() -> None:
    def reply(sent: Sent) -> Reply:
        if sent.what == "who_am_i" and sent.token is None:
            return Reply()
        return Reply(Outcome.LOGIN_REFUSED if sent.token is None else Outcome.UNAUTHENTICATED)

    async with scripted(MINIMAL) as engine:
        engine.vcenter.reply = reply
        hold(engine, 3)
        await engine.until(0.5)
        engine.hold("lent", token="lent")
        await engine.until(1.5)
        probes = engine.vcenter.of("who_am_i")
        assert [(each.at, each.timeout, each.token) for each in probes] == [
            (1.0, 10.0, "lent"),
            (1.0, 10.0, None),
        ]
        assert len(engine.told.of(events.VCenterUp)) == 1


@pytest.mark.parametrize(
    ("proven", "asked_with"),
    [([False, True, False], "lent-1"), ([False, False, False], "lent-0")],
)
async def test_a_token_that_has_renewed_a_session_is_asked_with_before_another(
    proven: list[bool], asked_with: str
) -> None:
    def restored(engine: Scripted) -> tuple[Session, ...]:
        lent = [
            at(engine, f"b-{number}", 200.0, LentToken(f"lent-{number}", proven=is_proven))
            for number, is_proven in enumerate(proven)
        ]
        # These go first, and after them nothing is sent.
        return (*(at(engine, f"a-{number}", 100.0) for number in range(3)), *lent)

    async with scripted(MINIMAL, restored=restored) as engine:
        engine.vcenter.reply = refusing
        await engine.until(1.5)
        (probe,) = engine.vcenter.of("who_am_i")
        assert (probe.at, probe.token) == (1.0, asked_with)


async def test_without_a_lent_token_credentials_are_tried_again() -> None:
    async with scripted(MINIMAL) as engine:
        engine.vcenter.reply = refusing
        hold(engine, 3)
        engine.hold("line", owner=LINE)
        await engine.until(4)
        assert [each.token for each in engine.vcenter.of("who_am_i")] == [None, None]
        assert engine.told.of(events.VCenterDown) == [
            events.VCenterDown(NAME, Outcome.LOGIN_REFUSED, "wrong password")
        ]
        assert engine.keeper.view().down_since == BOOT
