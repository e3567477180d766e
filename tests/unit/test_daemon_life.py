"""The daemon's life cycle on the fake clock, in one event loop."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from keepalived.host.notify import Notifier
from keepalived.lease.holds import Hold, Owner, OwnerKind
from keepalived.lease.model import Kind, SessionKey
from keepalived.simulator.faults import Refuse
from tests.support.daemon_in_memory import MemoryDaemon, running
from tests.support.engine import simulator_in_loop
from tests.support.supervisor import supervising

UPLOADER = Owner(OwnerKind.NONE)


def take(life: MemoryDaemon) -> SessionKey:
    """Open a session and hold it."""
    key = SessionKey("lab", Kind.UPDATE, life.simulator.open_session())
    life.daemon.registry.hold(key, Hold(0, UPLOADER, life.clock.boot(), None))
    return key


@pytest.mark.looptime(end=4000)
async def test_it_ends_when_nothing_was_ever_held(tmp_path: Path) -> None:
    life = MemoryDaemon(simulator_in_loop(), tmp_path, exit_when_idle=60)
    assert 60 <= await life.ended_after() < 90


@pytest.mark.looptime(end=40_000)
async def test_it_ends_when_nothing_has_been_held_for_that_long(tmp_path: Path) -> None:
    async with running(simulator_in_loop(), tmp_path, exit_when_idle=60) as life:
        await asyncio.sleep(30)
        key = take(life)
        await asyncio.sleep(1000)
        assert not life.task.done()
        life.daemon.registry.release(key, 0, UPLOADER)
        assert 58 <= await life.ended_after() < 90


@pytest.mark.looptime(end=40_000)
async def test_an_outage_is_no_idleness(tmp_path: Path) -> None:
    async with running(simulator_in_loop(), tmp_path, exit_when_idle=60) as life:
        await asyncio.sleep(5)
        take(life)
        await asyncio.sleep(5)
        life.simulator.faults.add(Refuse())
        await asyncio.sleep(1000)
        assert not life.task.done()


@pytest.mark.looptime(end=40_000)
async def test_each_session_in_danger_is_named_while_nothing_is_sent_for_it(tmp_path: Path) -> None:
    async with running(simulator_in_loop(), tmp_path) as life:
        ids = {take(life).id for _ in range(5)}
        await life.until(lambda: len(life.logged("first_renewal")) == 5)
        life.simulator.faults.add(Refuse(), seconds=400)
        await life.until_logged("vcenter_down")
        for event in ("session_at_risk", "session_overdue"):
            await life.until(lambda: len(life.logged(event)) == 5)  # noqa: B023
        await asyncio.sleep(60)
        for event, least, most in (("session_at_risk", 110, 120), ("session_overdue", -5, 0)):
            lines = life.logged(event, level="warning")
            assert {line["session_id"] for line in lines} == ids
            assert len(lines) == 5
            assert all(least <= line["slack"] <= most for line in lines)


@pytest.mark.looptime(end=40_000)
async def test_it_stays_unless_told_otherwise(tmp_path: Path) -> None:
    async with running(simulator_in_loop(), tmp_path) as life:
        await asyncio.sleep(1000)
        assert not life.task.done()


@pytest.mark.looptime(end=4000)
async def test_systemd_hears_of_every_turn_of_its_life(tmp_path: Path) -> None:
    with supervising(tmp_path) as supervisor:
        notifier = Notifier(supervisor.address, 30.0)
        async with running(simulator_in_loop(), tmp_path, notifier=notifier) as life:
            life.simulator.faults.add(Refuse())  # whether vCenter answers is not the question
            await asyncio.sleep(3)
            assert supervisor.said("READY") == 1
            assert supervisor.said("WATCHDOG") >= 1
            life.daemon.reload()
            await asyncio.sleep(3)
            told = [next(iter(message)) for message in supervisor.read()]
            reload = told.index("RELOADING")
            assert "READY" in told[reload:]
            signs = supervisor.said("WATCHDOG")
            for _ in range(100):
                await asyncio.sleep(1)
                supervisor.read()
            assert signs + 5 <= supervisor.said("WATCHDOG") <= signs + 15
        assert "STOPPING" in supervisor.read()[-1]
