"""Signs of life and the status line, on the fake clock, through a real datagram socket."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from keepalived.host.notify import Notifier
from keepalived.lease.model import State
from keepalived.observe.health import Health
from keepalived.observe.supervisor import SystemdNotifier, status_line
from keepalived.simulator.faults import Refuse
from tests.support.engine import running_engine, simulator_in_loop
from tests.support.supervisor import Supervisor, supervising


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    with supervising(tmp_path) as listening:
        yield listening


async def listen(supervisor: Supervisor, seconds: float) -> None:
    """Let time pass, and read meanwhile: a datagram socket keeps but a few messages."""
    for _ in range(int(seconds)):
        await asyncio.sleep(1)
        supervisor.read()


@pytest.mark.looptime(end=4000)
async def test_signs_of_life_stop_with_the_scheduler_and_come_back(supervisor: Supervisor) -> None:
    async with running_engine(simulator_in_loop()) as engine:
        silence = 0.0
        health = Health(lambda: {"lab": silence}, [])
        supervised = SystemdNotifier(
            Notifier(supervisor.address, 30.0), health, engine.registry.engine_view, engine.clock
        )
        giving = asyncio.create_task(supervised.send_watchdog_signals(30.0))
        await listen(supervisor, 299)
        assert supervisor.said("WATCHDOG") == 30
        silence = 16.0
        await listen(supervisor, 300)
        assert supervisor.said("WATCHDOG") == 30
        silence = 0.0
        await listen(supervisor, 31)
        assert supervisor.said("WATCHDOG") >= 33
        giving.cancel()


@pytest.mark.looptime(end=4000)
async def test_the_status_is_in_a_persons_words(supervisor: Supervisor) -> None:
    async with running_engine(simulator_in_loop()) as engine:
        supervised = SystemdNotifier(
            Notifier(supervisor.address),
            Health(dict, []),
            engine.registry.engine_view,
            engine.clock,
        )
        supervised.ready()
        assert supervisor.read() == [{"READY": "1", "STATUS": "0 sessions"}]
        telling = asyncio.create_task(supervised.update_status())
        key = engine.open()
        await listen(supervisor, 10)
        latest = supervisor.statuses()[-1]
        count, rest = latest.split(", next keep-alive in ")
        assert count == "1 session"
        assert 0 < int(rest.removesuffix(" s")) <= 150

        engine.simulator.faults.add(Refuse())
        await listen(supervisor, 300)
        assert "1 at risk" in " ".join(supervisor.statuses())
        assert f"{engine.keeper.name} does not answer" in supervisor.statuses()[-1]
        await listen(supervisor, 300)
        assert "1 overdue" in supervisor.statuses()[-1]
        assert "at risk" not in supervisor.statuses()[-1]
        assert engine.state(key) is State.ACTIVE
        telling.cancel()


@pytest.mark.looptime(end=4000)
async def test_what_has_not_changed_is_not_said_again(supervisor: Supervisor) -> None:
    async with running_engine(simulator_in_loop()) as engine:
        supervised = SystemdNotifier(
            Notifier(supervisor.address),
            Health(dict, []),
            engine.registry.engine_view,
            engine.clock,
        )
        telling = asyncio.create_task(supervised.update_status())
        await listen(supervisor, 600)
        assert supervisor.statuses() == ["0 sessions"]
        telling.cancel()


@pytest.mark.looptime(end=4000)
async def test_a_refused_configuration_stays_in_the_status_until_it_is_mended(
    supervisor: Supervisor,
) -> None:
    async with running_engine(simulator_in_loop()) as engine:
        supervised = SystemdNotifier(
            Notifier(supervisor.address),
            Health(dict, []),
            engine.registry.engine_view,
            engine.clock,
        )
        supervised.reloading()
        supervised.reloaded("refused")
        assert supervisor.read() == []  # a start that goes on is not ready for that
        supervised.ready()
        supervised.reloading()
        supervised.reloaded("refused")
        supervised.reloading()
        supervised.reloaded()
        supervised.stopping()
        told = [next(iter(message)) for message in supervisor.read()]
        assert told == ["READY", "RELOADING", "READY", "RELOADING", "READY", "STOPPING"]
        assert supervisor.read()[2]["STATUS"] == "0 sessions, refused"
        assert supervisor.read()[4]["STATUS"] == "0 sessions"
        assert status_line(engine.registry.engine_view()) == "0 sessions"
