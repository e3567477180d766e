"""When attempts are made, to the millisecond, on the fake clock against the simulator.

Every random draw is 0.5: the spread renewal is due after 0.35 lifetimes, the steady ones after
0.5, and retry delays stand as the rule says.
"""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import replace

import pytest

from keepalived.keeper.policy import RenewalPolicy
from keepalived.lease.model import Kind, SessionKey, State
from keepalived.lease.progress import Progress
from keepalived.lease.session import RequestKind
from keepalived.simulator.faults import Effect, Fail, Hang, Latency, Lifetime, Refuse, Reset
from keepalived.simulator.wire import Request, Response
from tests.support.engine import NAME, LoopClock, running_engine, simulator_in_loop

pytestmark = pytest.mark.looptime

MINIMAL = RenewalPolicy(follow_ups=())


async def test_first_renewal_at_once_then_spread_then_steady() -> None:
    async with running_engine(simulator_in_loop(session_timeout=301.0)) as engine:
        key = engine.open()
        await asyncio.sleep(600)
        assert engine.attempts(key) == [0.0, 105.0, 255.0, 405.0, 555.0]
        assert engine.state(key) is State.ACTIVE


async def test_the_spread_and_the_steady_renewals_stay_within_their_bounds() -> None:
    draws = iter([0.999, 0.0, 0.999, 0.0] * 100)
    async with running_engine(
        simulator_in_loop(session_timeout=301.0), policy=MINIMAL, draw=lambda: next(draws)
    ) as engine:
        key = engine.open()
        await asyncio.sleep(1200)
        sent = engine.attempts(key)
        gaps = [after - before for before, after in itertools.pairwise(sent)]
        assert 60 <= gaps[0] <= 150
        assert all(135 <= gap <= 165 for gap in gaps[1:])
        assert len(gaps) > 5


async def test_a_session_that_comes_while_others_sleep_is_renewed_at_once() -> None:
    async with running_engine(simulator_in_loop(session_timeout=301.0)) as engine:
        engine.open()
        await asyncio.sleep(33)
        late = engine.open()
        await asyncio.sleep(1)
        assert engine.attempts(late) == [33.0]


async def test_what_is_looked_at_in_each_round() -> None:
    async with running_engine(simulator_in_loop(session_timeout=301.0)) as engine:
        key = engine.open()
        await asyncio.sleep(300)
        assert engine.attempts(key, "update_session.get") == [0.0, 105.0, 255.0]
        assert engine.attempts(key, "*file*") == [0.0, 105.0, 255.0]
        assert engine.attempts(route="*item.get") == [0.0]


async def test_minimal_observation_gets_the_session_once() -> None:
    async with running_engine(simulator_in_loop(session_timeout=301.0), policy=MINIMAL) as engine:
        key = engine.open()
        await asyncio.sleep(300)
        assert engine.attempts(key, "update_session.get") == [0.0]
        assert engine.attempts(key, "*file*") == []


async def test_progress_goes_out_once_and_only_rises() -> None:
    simulator = simulator_in_loop(session_timeout=301.0)
    async with running_engine(simulator, policy=MINIMAL) as engine:
        key = engine.open(Progress(percent=10))
        for percent in (10, 30, 20):
            await asyncio.sleep(150)
            engine.hold(key, Progress(percent=percent))
        await asyncio.sleep(300)
        sent = [
            entry.client_progress
            for entry in simulator.ledger.requests("*.keep_alive", session_id=key.id)
        ]
        assert [value for value in sent if value is not None] == [10, 30]


@pytest.mark.parametrize("status", [403, 409, 500])
async def test_a_session_that_fails_alone_is_retried_with_back_off(status: int) -> None:
    simulator = simulator_in_loop(session_timeout=301.0)
    async with running_engine(simulator, policy=MINIMAL) as engine:
        key = engine.open()
        await asyncio.sleep(1)
        simulator.faults.add(Fail(status), session_id=key.id, count=5)
        await asyncio.sleep(150)
        assert engine.attempts(key) == [0.0, 105.0, 106.0, 108.0, 112.0, 120.0, 135.0]


async def test_retry_after_is_honoured_up_to_half_the_slack() -> None:
    simulator = simulator_in_loop(session_timeout=301.0)
    async with running_engine(simulator, policy=MINIMAL) as engine:
        key = engine.open()
        await asyncio.sleep(1)
        simulator.faults.add(Fail(503, retry_after=40), session_id=key.id, count=1)
        await asyncio.sleep(200)
        assert engine.attempts(key) == [0.0, 105.0, 145.0]
        simulator.faults.add(Fail(429, retry_after=4000), session_id=key.id, count=1)
        await asyncio.sleep(200)
        # Due at 145 + 150 = 295, with a slack of 150 seconds.
        assert engine.attempts(key)[3:] == [295.0, 370.0]


@pytest.mark.parametrize(
    ("effect", "count", "then"),
    [
        (Reset(), 1, [106.0]),
        (Hang(), 2, [116.0, 148.0]),  # time-outs of 10 and 30 seconds, then delays of 1 and 2
    ],
)
async def test_a_request_without_an_answer_is_a_failed_attempt(
    effect: Effect, count: int, then: list[float]
) -> None:
    simulator = simulator_in_loop(session_timeout=301.0)
    async with running_engine(simulator, policy=MINIMAL) as engine:
        key = engine.open()
        await asyncio.sleep(1)
        simulator.faults.add(effect, session_id=key.id, count=count)
        await asyncio.sleep(150)
        assert engine.attempts(key) == [0.0, 105.0, *then]


@pytest.mark.parametrize("sessions", [1, 4])
async def test_answers_that_take_a_fifth_of_the_lifetime_cost_no_session(sessions: int) -> None:
    simulator = simulator_in_loop(session_timeout=301.0)
    simulator.faults.add(Latency(60))
    async with running_engine(simulator, policy=RenewalPolicy()) as engine:
        keys = [engine.open() for _ in range(sessions)]
        await asyncio.sleep(3600)
        assert {engine.state(key) for key in keys} == {State.ACTIVE}
        learned = simulator.clock.now() - 1800
        late = [entry for entry in simulator.ledger.entries if entry.time > learned]
        assert {entry.status for entry in late if entry.finished is not None} == {200, 204}


async def test_a_slow_vcenter_is_found_up_by_a_probe_that_waits_longer() -> None:
    simulator = simulator_in_loop(session_timeout=301.0)
    async with running_engine(simulator, policy=MINIMAL) as engine:
        keys = [engine.open() for _ in range(4)]
        await asyncio.sleep(1)
        simulator.faults.add(Latency(25))
        await asyncio.sleep(600)
        assert {engine.state(key) for key in keys} == {State.ACTIVE}
        assert engine.keeper.view().up


async def test_an_outage_is_probed_by_nobodys_request_and_everybody_is_renewed_at_its_end() -> None:
    simulator = simulator_in_loop(session_timeout=301.0)
    async with running_engine(simulator, policy=MINIMAL) as engine:
        keys = [engine.open() for _ in range(20)]
        await asyncio.sleep(100)
        simulator.faults.add(Fail(503), seconds=60)
        await asyncio.sleep(70)
        for key in keys:
            assert len([at for at in engine.attempts(key) if 105 < at < 160]) <= 1
            # Each was renewed within a second or so of the probe that found the vCenter again.
            assert engine.attempts(key)[-1] < 170
        probes = [at for at in engine.attempts(route="*session.get") if at > 100]
        assert probes
        await asyncio.sleep(150)
        assert all(engine.state(key) is State.ACTIVE for key in keys)
        assert engine.simulator.ledger.most_concurrent() == 1


async def test_after_an_outage_the_earliest_deadline_goes_first() -> None:
    simulator = simulator_in_loop(session_timeout=301.0)
    policy = RenewalPolicy(follow_ups=(), max_in_flight=1)
    async with running_engine(simulator, policy=policy) as engine:
        keys = []
        for _ in range(5):
            keys.append(engine.open())
            await asyncio.sleep(7)
        await asyncio.sleep(60)
        simulator.faults.add(Refuse(), seconds=120)
        await asyncio.sleep(150)
        order = [
            entry.session_id
            for entry in simulator.ledger.requests("*.keep_alive", status=204)
            if entry.time >= 215
        ]
        assert order[:5] == [key.id for key in keys]


async def test_an_outage_of_hours_ends_nothing_by_itself() -> None:
    simulator = simulator_in_loop(session_timeout=301.0)
    async with running_engine(simulator) as engine:
        key = engine.open()
        await asyncio.sleep(100)
        simulator.faults.add(Refuse(), seconds=7200)
        await asyncio.sleep(7190)
        assert engine.state(key) is State.ACTIVE
        await asyncio.sleep(60)
        assert engine.state(key) is State.EXPIRED


@pytest.mark.parametrize("body", [b"<html>404 Not Found</html>", b"404 page not found", b""])
async def test_a_proxy_that_says_404_for_a_service_that_is_away_ends_nothing(body: bytes) -> None:
    simulator = simulator_in_loop(session_timeout=301.0)
    is_away = False

    async def behind_a_proxy(request: Request) -> Response:
        if is_away and "/content/" in request.target:
            return Response(404, {}, body)
        return await simulator.handle(request)

    async with running_engine(simulator, policy=MINIMAL, handle=behind_a_proxy) as engine:
        key = engine.open()
        await asyncio.sleep(100)
        is_away = True
        await asyncio.sleep(60)
        is_away = False
        await asyncio.sleep(200)
        assert engine.state(key) is State.ACTIVE


async def test_a_crowd_of_new_sessions_is_renewed_before_anything_else_is_asked() -> None:
    simulator = simulator_in_loop(session_timeout=301.0)
    simulator.faults.add(Latency(1.0))
    async with running_engine(simulator) as engine:
        for _ in range(200):
            engine.open()
        await asyncio.sleep(21)
        assert len(engine.attempts()) >= 160
        follow_ups = engine.attempts(route="update_session.get")
        assert not [at for at in follow_ups if at < 19]


async def test_a_suspended_machine_renews_within_five_seconds_of_its_resumption() -> None:
    clock = LoopClock()
    async with running_engine(
        simulator_in_loop(session_timeout=301.0), clock=clock, policy=MINIMAL
    ) as engine:
        key = engine.open()
        await asyncio.sleep(20)
        clock.jump(200)
        await asyncio.sleep(6)
        assert len(engine.attempts(key)) == 2
        assert 20 <= engine.attempts(key)[-1] <= 25


async def test_a_shorter_lifetime_is_learned_and_kept_to() -> None:
    simulator = simulator_in_loop(session_timeout=301.0)
    async with running_engine(
        simulator, policy=RenewalPolicy(follow_ups=(RequestKind.GET,))
    ) as engine:
        simulator.faults.add(Lifetime(101))
        key = engine.open()
        await asyncio.sleep(200)
        assert engine.attempts(key) == [0.0, 35.0, 85.0, 135.0, 185.0]
        assert engine.state(key) is State.ACTIVE


async def test_a_slow_vcenter_never_gets_two_requests_for_one_session_at_once() -> None:
    simulator = simulator_in_loop(session_timeout=301.0)
    simulator.faults.add(Latency(9.0))
    async with running_engine(simulator) as engine:
        keys = [engine.open() for _ in range(30)]
        await asyncio.sleep(900)
        assert simulator.ledger.most_concurrent() == 1
        assert all(engine.state(key) is State.ACTIVE for key in keys)


async def test_a_session_that_always_fails_delays_no_other() -> None:
    simulator = simulator_in_loop(session_timeout=301.0)
    async with running_engine(
        simulator, policy=RenewalPolicy(follow_ups=(), max_in_flight=2)
    ) as engine:
        bad, good = engine.open(), engine.open()
        await asyncio.sleep(1)
        simulator.faults.add(Fail(500), session_id=bad.id)
        await asyncio.sleep(600)
        assert engine.attempts(good) == [0.0, 105.0, 255.0, 405.0, 555.0]
        assert engine.state(bad) is State.ACTIVE


async def test_releasing_stops_renewing_and_cancels_nothing() -> None:
    simulator = simulator_in_loop(session_timeout=301.0)
    async with running_engine(simulator, policy=MINIMAL) as engine:
        key = engine.open()
        await asyncio.sleep(110)
        engine.release(key)
        assert engine.state(key) is State.RELEASED
        await asyncio.sleep(150)
        assert engine.attempts(key) == [0.0, 105.0]
        assert simulator.ledger.requests("*.cancel") == []


async def test_an_id_that_was_never_valid_is_not_found() -> None:
    async with running_engine(simulator_in_loop(session_timeout=301.0)) as engine:
        key = SessionKey(NAME, Kind.UPDATE, "never-there")
        engine.hold(key)
        await asyncio.sleep(5)
        assert engine.state(key) is State.NOT_FOUND


async def test_a_hold_on_an_ended_session_starts_it_anew() -> None:
    async with running_engine(simulator_in_loop(session_timeout=301.0), policy=MINIMAL) as engine:
        key = engine.open()
        await asyncio.sleep(10)
        engine.release(key)
        await asyncio.sleep(10)
        engine.hold(key)
        await asyncio.sleep(1)
        assert engine.state(key) is State.ACTIVE
        assert engine.attempts(key) == [0.0, 20.0]


async def test_parting_renews_what_has_less_than_three_quarters_left() -> None:
    async with running_engine(simulator_in_loop(session_timeout=301.0), policy=MINIMAL) as engine:
        old = engine.open()
        await asyncio.sleep(60)
        young = engine.open()
        await asyncio.sleep(40)
        await engine.keeper.final_renewal()
        assert engine.attempts(old) == [0.0, 100.0]
        assert engine.attempts(young) == [60.0]


async def test_parting_is_bounded_when_nothing_answers() -> None:
    simulator = simulator_in_loop(session_timeout=301.0)
    # A request that may take longer than the parting: nothing else ends the wait.
    async with running_engine(simulator, policy=replace(MINIMAL, request_timeout=60.0)) as engine:
        key = engine.open()
        await asyncio.sleep(100)
        simulator.faults.add(Hang())
        before = engine.clock.boot()
        await engine.keeper.final_renewal()
        assert engine.clock.boot() - before == pytest.approx(10.0, abs=0.1)
        assert engine.attempts(key) == [0.0, 100.0]


async def test_parting_ends_with_the_last_answer() -> None:
    simulator = simulator_in_loop()
    async with running_engine(simulator, policy=MINIMAL) as engine:
        engine.open()
        await asyncio.sleep(100)
        simulator.faults.add(Latency(3.0))
        before = engine.clock.boot()
        await engine.keeper.final_renewal()
        assert engine.clock.boot() - before == pytest.approx(3.0, abs=0.1)


async def test_parting_does_not_wait_for_a_vcenter_that_is_down() -> None:
    simulator = simulator_in_loop()
    async with running_engine(simulator, policy=MINIMAL) as engine:
        engine.open()
        await asyncio.sleep(100)
        simulator.faults.add(Refuse())
        await asyncio.sleep(60)
        assert not engine.keeper.view().up
        before = engine.clock.boot()
        await engine.keeper.final_renewal()
        assert engine.clock.boot() == before


async def test_renewing_now_answers_with_the_outcome() -> None:
    simulator = simulator_in_loop(session_timeout=301.0)
    async with running_engine(simulator, policy=MINIMAL) as engine:
        key = engine.open()
        await asyncio.sleep(10)
        answer = await engine.keeper.renew_now(key)
        assert answer is not None
        assert answer.outcome == "ok"
        assert engine.attempts(key) == [0.0, 10.0]
        engine.release(key)
        assert await engine.keeper.renew_now(key) is None


@pytest.mark.parametrize(
    ("policy", "seconds", "attempts"),
    [
        (RenewalPolicy(follow_ups=(), max_in_flight=2), 250, [0.0, 105.0, 255.0]),
        # A shorter lifetime brings the next renewal forward.
        (RenewalPolicy(follow_ups=(), session_timeout=120.0), 131, [0.0, 60.0, 120.0, 180.0]),
    ],
)
async def test_a_reload_puts_another_keeper_in_place_and_keeps_the_schedule(
    policy: RenewalPolicy, seconds: float, attempts: list[float]
) -> None:
    async with running_engine(simulator_in_loop(session_timeout=301.0), policy=MINIMAL) as engine:
        key = engine.open()
        await asyncio.sleep(50)
        async with engine.replaced_keeper(policy):
            await asyncio.sleep(seconds)
            assert engine.attempts(key) == attempts


async def test_a_restart_renews_at_once() -> None:
    simulator = simulator_in_loop(session_timeout=301.0)
    async with running_engine(simulator, policy=MINIMAL) as engine:
        key = engine.open()
        await asyncio.sleep(100)
        await engine.keeper.final_renewal()
    await asyncio.sleep(20)
    async with running_engine(simulator, policy=MINIMAL) as engine:
        engine.hold(key)
        await asyncio.sleep(120)
        assert engine.attempts(key) == [0.0, 100.0, 120.0, 225.0]
