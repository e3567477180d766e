"""Days of operation in seconds: the engine and the simulator under a seeded storm of faults.

`STORM_SEEDS=20 make storm` plays more storms than the three of an ordinary run; a storm that fails
names its seed, and `STORM_FIRST_SEED` starts from there.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from keepalived.keeper.keeper import Manner
from keepalived.lease.model import Kind, SessionKey, State
from keepalived.lease.session import Ask
from keepalived.simulator.app import Simulator
from keepalived.simulator.faults import Effect, Fail, Latency, Refuse, Reset, Skew
from tests.support.engine import NAME, Engine, running_engine, simulator_in_loop

FIRST = int(os.environ.get("STORM_FIRST_SEED", "1"))
SEEDS = range(FIRST, FIRST + int(os.environ.get("STORM_SEEDS", "3")))
LIFETIME = 300.0
LONG_OUTAGE = 7200.0
FAILING = "always-500"


@dataclass(frozen=True)
class Gust:
    """One disturbance: what happens to everybody, for how long, and the calm after it."""

    effect: Effect | None
    seconds: float
    calm: float


def gusts(seed: int) -> Iterator[Gust]:
    """Disturbances without end. Each of them alone leaves every session savable."""
    draw = random.Random(seed)
    while True:
        calm = draw.uniform(200, 1200)
        kind = draw.randrange(7)
        if kind == 0:
            yield Gust(Refuse(), draw.uniform(5, 120), calm)
        elif kind == 1:
            busy = Fail(503, retry_after=draw.choice([None, 5.0, 30.0]))
            yield Gust(busy, draw.uniform(5, 120), calm)
        elif kind == 2:
            yield Gust(Latency(draw.uniform(0.5, 8.0)), draw.uniform(30, 300), calm)
        elif kind == 3:
            yield Gust(Reset(act_first=draw.random() < 0.5), draw.uniform(1, 60), calm)
        elif kind == 4:
            yield Gust(Skew(draw.uniform(-3600, 3600)), draw.uniform(60, 600), calm)
        elif kind == 5:
            yield Gust(Fail(draw.choice([429, 502, 504])), draw.uniform(5, 90), calm)
        else:
            yield Gust(None, 0.0, calm)


async def weather(simulator: Simulator, seed: int, hours: float) -> None:
    """Let gusts pass over the simulator; a gust without effect makes it lose all tokens."""
    now = asyncio.get_running_loop().time
    end = now() + hours * 3600
    for gust in gusts(seed):
        if now() >= end:
            return
        if gust.effect is None:
            simulator.restart(lose_tokens=True, down_seconds=1.0)
        else:
            simulator.faults.add(gust.effect, seconds=gust.seconds)
        await asyncio.sleep(gust.seconds + gust.calm)


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


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.looptime(end=75 * 3600)
@pytest.mark.parametrize("seed", SEEDS)
async def test_fifty_sessions_outlive_three_days_of_storm(seed: int) -> None:
    simulator = simulator_in_loop(ledger_limit=0)
    draw = random.Random(seed).random
    async with running_engine(simulator, manner=Manner(looks=(Ask.GET,)), draw=draw) as engine:
        open_failing_session(engine)
        before = [engine.open() for _ in range(49)]
        await asyncio.sleep(1)
        await weather(simulator, seed, 24.0)
        assert_all_alive(engine)

        simulator.faults.add(Refuse(), seconds=LONG_OUTAGE)
        await asyncio.sleep(LONG_OUTAGE - 1)
        # The server has lost them all by now, but nobody has said so: the outage ends nothing.
        assert_all_alive(engine)
        await asyncio.sleep(60)
        assert {engine.state(key) for key in before} == {State.EXPIRED}

        for _ in before:
            engine.open()
        await asyncio.sleep(1)
        await weather(simulator, seed + 1_000_000, 46.0)
        assert sum(each.state is State.ACTIVE for each in engine.registry) >= 49
        assert not any(each.state.is_failure and each.key not in before for each in engine.registry)
        assert simulator.ledger.most_concurrent() == 1
        assert simulator.ledger.total < 2 * ordinary_requests(50, 72.0, looks=1)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.looptime(end=3 * 3600)
@pytest.mark.parametrize("seed", SEEDS)
async def test_five_hundred_sessions_outlive_two_hours_of_storm(seed: int) -> None:
    simulator = simulator_in_loop(ledger_limit=0)
    draw = random.Random(seed).random
    async with running_engine(simulator, draw=draw) as engine:
        for _ in range(499):
            engine.open()
        open_failing_session(engine)
        await asyncio.sleep(1)
        await weather(simulator, seed, 2.0)
        assert_all_alive(engine)
        assert simulator.ledger.most_concurrent() == 1
        assert simulator.ledger.total < 2 * ordinary_requests(500, 2.0, looks=2)
