"""Days of operation in seconds: the engine and the simulator under a seeded storm of faults.

`make test` runs one small storm. `make storm SEEDS=20` runs more, and the large ones; the name of a
test that fails ends with its seed, and `make storm FIRST=…` starts from there.
"""

from __future__ import annotations

import asyncio
import os
import random
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from keepalived.keeper.policy import RenewalPolicy
from keepalived.lease.model import Kind, SessionKey, State
from keepalived.lease.session import RequestKind
from keepalived.simulator.faults import Fail, Refuse
from keepalived.simulator.server import serve
from tests.support.engine import NAME, Engine, running_engine, simulator_in_loop
from tests.support.fault_storm import LIFETIME, fault_storm

FIRST = int(os.environ.get("STORM_FIRST_SEED", "1"))
SEEDS = range(FIRST, FIRST + int(os.environ.get("STORM_SEEDS", "1")))
LONG_OUTAGE = 7200.0
FAILING = "always-500"


def ordinary_requests(sessions: int, hours: float, looks: int) -> float:
    """How many requests the same time takes without faults."""
    return sessions * hours * 3600 / (LIFETIME / 2) * (1 + looks)


def assert_all_alive(engine: Engine) -> None:
    lost = [each for each in engine.registry if each.state is not State.ACTIVE]
    assert [each for each in lost if each.key.id != FAILING] == []


def open_failing_session(engine: Engine) -> None:
    """Hold a session whose keep-alives always answer 500."""
    engine.simulator.faults.add(Fail(500), session_id=FAILING, route="*.keep_alive")
    engine.simulator.open_session(session_id=FAILING)
    engine.hold(SessionKey(NAME, Kind.UPDATE, FAILING))


def stormy(seed: int, **how: Any) -> AbstractAsyncContextManager[Engine]:
    """Run an engine whose chances are those of the seed."""
    simulator = simulator_in_loop(ledger_limit=0)
    return running_engine(simulator, draw=random.Random(seed).random, **how)


async def outlive(
    engine: Engine, seed: int, hours: float, sessions: int, looks: int = 2
) -> list[SessionKey]:
    """Hold so many sessions through a storm, a failing one among them; return the others."""
    open_failing_session(engine)
    held = [engine.open() for _ in range(sessions - 1)]
    await asyncio.sleep(1)
    await fault_storm(engine.simulator, seed, hours, sessions)
    assert_all_alive(engine)
    ledger = engine.simulator.ledger
    assert ledger.most_concurrent() == 1
    assert ledger.total < 2 * ordinary_requests(sessions, hours, looks)
    return held


@pytest.mark.looptime(end=7 * 3600)
@pytest.mark.parametrize("seed", SEEDS)
async def test_ten_sessions_outlive_four_hours_of_storm_and_end_with_the_server(
    seed: int,
) -> None:
    async with stormy(seed) as engine:
        held = await outlive(engine, seed, hours=4.0, sessions=10)

        # An outage ends nothing, even where the server has lost the sessions meanwhile.
        engine.simulator.faults.add(Refuse(), seconds=3600)
        await asyncio.sleep(3599)
        assert_all_alive(engine)
        await asyncio.sleep(60)
        assert {engine.state(key) for key in held} == {State.EXPIRED}


@pytest.mark.extended
@pytest.mark.timeout(3000)
@pytest.mark.looptime(end=75 * 3600)
@pytest.mark.parametrize("seed", SEEDS)
async def test_fifty_sessions_outlive_three_days_of_storm(seed: int) -> None:
    async with stormy(seed, policy=RenewalPolicy(follow_ups=(RequestKind.GET,))) as engine:
        before = await outlive(engine, seed, hours=24.0, sessions=50, looks=1)

        engine.simulator.faults.add(Refuse(), seconds=LONG_OUTAGE)
        await asyncio.sleep(LONG_OUTAGE - 1)
        # The server has lost them all by now, but nobody has said so: the outage ends nothing.
        assert_all_alive(engine)
        await asyncio.sleep(60)
        assert {engine.state(key) for key in before} == {State.EXPIRED}

        for _ in before:
            engine.open()
        await asyncio.sleep(1)
        await fault_storm(engine.simulator, seed + 1_000_000, 46.0, 50)
        assert sum(each.state is State.ACTIVE for each in engine.registry) >= 49
        assert not any(each.state.is_failure and each.key not in before for each in engine.registry)
        assert engine.simulator.ledger.most_concurrent() == 1
        assert engine.simulator.ledger.total < 2 * ordinary_requests(50, 72.0, looks=1)


@pytest.mark.extended
@pytest.mark.timeout(3000)
@pytest.mark.looptime(end=3 * 3600)
@pytest.mark.parametrize("seed", SEEDS)
async def test_five_hundred_sessions_outlive_two_hours_of_storm(seed: int) -> None:
    async with stormy(seed) as engine:
        await outlive(engine, seed, hours=2.0, sessions=500)


@pytest.mark.extended
@pytest.mark.timeout(3000)
@pytest.mark.looptime(end=2 * 3600)
@pytest.mark.parametrize("seed", SEEDS)
async def test_fifty_sessions_outlive_an_hour_of_storm_over_http(seed: int) -> None:
    simulator = simulator_in_loop()
    draw = random.Random(seed).random
    async with (
        serve(simulator) as url,
        running_engine(simulator, draw=draw, url=url) as engine,
    ):
        await outlive(engine, seed, hours=1.0, sessions=50)
