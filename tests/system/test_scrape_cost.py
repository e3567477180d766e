"""The cost of a scrape while 100,000 sessions are renewed: under half a second, and no delays.

`benchmarks/scrape_cost.py` measures a daemon. Here the engine is in the test's own loop, and what
is measured is processor time, which stays the same whatever else the machine does.
"""

from __future__ import annotations

import asyncio
import random
import time

import pytest

from keepalived.keeper.policy import RenewalPolicy
from keepalived.lease.model import Kind, SessionKey
from keepalived.simulator.wire import Request, Response
from tests.support.engine import NAME, Engine, running_engine, simulator_in_loop
from tests.support.sessions import LIFETIME, a_session

pytestmark = pytest.mark.timeout(900)

HELD = 100_000
LONGEST_SCRAPE = 0.5
LONGEST_DELAY = 0.1


def hold(engine: Engine, count: int) -> None:
    """Give the engine sessions that were renewed at any time within the last half lifetime."""
    now = engine.clock.boot()
    draw = random.Random(1)
    for number in range(count):
        key = SessionKey(NAME, Kind.UPDATE, f"session-{number}")
        due = now + draw.uniform(0, LIFETIME / 2)
        held = a_session(key, due=due, deadline=due + LIFETIME / 2, library="isos", item="debian")
        engine.registry.commit(held, ())


def endanger(engine: Engine) -> None:
    """Give the engine a session that has little time left, and falls due later."""
    now = engine.clock.boot()
    key = SessionKey(NAME, Kind.UPDATE, "endangered")
    engine.registry.commit(a_session(key, due=now + 3600, deadline=now + 60), ())


def attempts(engine: Engine) -> float:
    found = engine.metrics.registry.get_sample_value("clkeepalived_schedule_lag_seconds_count")
    assert found is not None
    return found


async def scrape(engine: Engine) -> tuple[float, float]:
    """Make a scrape as the HTTP listener does; return its time, and the longest of its steps."""
    steps = engine.metrics.state.text(engine.registry.engine_view())
    taken: list[float] = []
    state = None
    while state is None:
        began = time.thread_time()
        try:
            next(steps)
        except StopIteration as end:
            state = end.value
        taken.append(time.thread_time() - began)
        await asyncio.sleep(0)
    longest = max(taken)  # what follows is in a thread

    def finish(state: str) -> float:
        began = time.thread_time()
        engine.metrics.scrape(state, "application/openmetrics-text", "gzip")
        return time.thread_time() - began

    return sum(taken) + await asyncio.to_thread(finish, state), longest


@pytest.mark.parametrize("is_one_at_risk", [False, True])
async def test_a_scrape_of_100_000_sessions_is_quick_and_lets_renewals_go_on(
    *, is_one_at_risk: bool
) -> None:
    simulator = simulator_in_loop()

    async def answer(request: Request) -> Response:
        if "keep-alive" in request.target:
            return Response(204)
        return await simulator.handle(request)

    async with running_engine(
        simulator, policy=RenewalPolicy(follow_ups=()), handle=answer
    ) as engine:
        engine.metrics.state.cap.size = 1000
        hold(engine, HELD)
        for _ in range(3):
            if is_one_at_risk:
                # Only then are all of them looked at.
                endanger(engine)
            before = attempts(engine)
            whole, longest = await scrape(engine)
            renewed = attempts(engine) - before
            print(f"{1000 * whole:.0f} ms, a step {1000 * longest:.1f} ms, {renewed:.0f} renewals")
            assert whole < LONGEST_SCRAPE
            assert longest < LONGEST_DELAY
            if is_one_at_risk:
                assert renewed > 10
            else:
                # Nothing is delayed by more than the work that comes in between.
                assert whole < LONGEST_DELAY
