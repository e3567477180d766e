"""Servers and proxies that give false answers: no session is lost without a report."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from email.utils import formatdate
from typing import Any

import pytest
from structlog.testing import capture_logs

from keepalived.keeper.keeper import Keeper
from keepalived.keeper.policy import RenewalPolicy
from keepalived.lease.answers import Outcome
from keepalived.lease.holds import Hold, LentToken, Owner, OwnerKind
from keepalived.lease.model import State
from keepalived.lease.session import RequestKind
from keepalived.simulator.app import Simulator
from keepalived.simulator.wire import Request, Response
from tests.support.engine import Engine, running_engine, simulator_in_loop

pytestmark = pytest.mark.looptime

HTML = {"content-type": "text/html"}
PAGE = b"<html>Back soon</html>"
Handle = Callable[[Request], Awaitable[Response]]


@pytest.fixture(autouse=True)
def _all_levels() -> None:
    logging.getLogger("clkeepalived").setLevel(logging.DEBUG)


def is_keep_alive(request: Request) -> bool:
    return "keep-alive" in request.target


def is_get(request: Request, session_id: str) -> bool:
    return request.method == "GET" and request.target.endswith(session_id)


def swallowing(simulator: Simulator, status: int = 204) -> Handle:
    """A front end that answers keep-alives itself, and passes on anything else."""

    async def handle(request: Request) -> Response:
        return Response(status) if is_keep_alive(request) else await simulator.handle(request)

    return handle


def told(logs: list[Any], event: str) -> list[Any]:
    return [each for each in logs if each["event"] == event]


# -- a page instead of an answer


async def test_a_page_for_everything_is_an_outage_that_is_told_at_once() -> None:
    simulator = simulator_in_loop()
    is_front = False

    async def handle(request: Request) -> Response:
        return Response(200, HTML, PAGE) if is_front else await simulator.handle(request)

    with capture_logs() as logs:
        async with running_engine(simulator, handle=handle) as engine:
            key = engine.open()
            await asyncio.sleep(1)
            is_front = True
            await asyncio.sleep(200)
            (down,) = told(logs, "vcenter_down")
            assert down["outcome"] == "unavailable"
            assert "something answers in the vCenter's place" in down["detail"]
            assert told(logs, "renewed") == []
            is_front = False
            await asyncio.sleep(60)
            assert engine.state(key) is State.ACTIVE
            assert told(logs, "vcenter_up")
    assert told(logs, "session_ended") == []


async def test_a_renewal_without_effect_is_told_in_time_and_its_end_is_no_removal() -> None:
    simulator = simulator_in_loop()
    with capture_logs() as logs:
        async with running_engine(simulator, handle=swallowing(simulator)) as engine:
            key = engine.open()
            await asyncio.sleep(250)
            assert engine.state(key) is State.ACTIVE
            (event,) = told(logs, "renewal_without_effect")
            assert event["log_level"] == "warning"
            assert event["session_id"] == key.id
            await asyncio.sleep(100)
            assert engine.state(key) is State.EXPIRED
    (ended,) = told(logs, "session_ended")
    assert ended["reason"].startswith("its keep-alives were answered, but had no effect")


@pytest.mark.parametrize("lifetime", [10.0, 300.0, 1800.0, 3600.0])
@pytest.mark.parametrize(
    "follow_ups", [(RequestKind.GET, RequestKind.FILES), (RequestKind.GET,), ()]
)
async def test_renewals_with_effect_are_never_called_others(
    lifetime: float, follow_ups: tuple[RequestKind, ...]
) -> None:
    simulator = simulator_in_loop(session_timeout=lifetime)
    draws = itertools.cycle([0.0, 0.99, 0.5])
    with capture_logs() as logs:
        async with running_engine(
            simulator, policy=RenewalPolicy(follow_ups=follow_ups), draw=lambda: next(draws)
        ) as engine:
            key = engine.open()
            await asyncio.sleep(3000)
            assert engine.state(key) is State.ACTIVE
    assert told(logs, "renewal_without_effect") == []


@pytest.mark.parametrize("whole", [1, 60])
async def test_an_expiration_that_is_rounded_moves_all_the_same(whole: int) -> None:
    simulator = simulator_in_loop()

    async def handle(request: Request) -> Response:
        response = await simulator.handle(request)
        body = response.body.decode("latin-1")
        start = body.find('"expiration_time":"')
        if start >= 0:
            at = start + len('"expiration_time":"') + len("2027-01-15T08:")
            text = body[:at] + body[at : at + 2] + ":00" + body[at + 5 :]
            return replace(response, body=text.encode("latin-1")) if whole == 60 else response
        return response

    with capture_logs() as logs:
        async with running_engine(simulator, handle=handle) as engine:
            key = engine.open()
            await asyncio.sleep(2000)
            assert engine.state(key) is State.ACTIVE
    assert told(logs, "renewal_without_effect") == []


async def test_a_promise_of_more_than_a_lifetime_need_not_move_yet() -> None:
    simulator = simulator_in_loop(session_timeout=3600.0)
    with capture_logs() as logs:
        async with running_engine(simulator, handle=swallowing(simulator)) as engine:
            key = engine.open()
            await asyncio.sleep(3200)
            # Until then it has longer to live than a renewal has to give.
            assert told(logs, "renewal_without_effect") == []
            await asyncio.sleep(350)
            assert engine.state(key) is State.ACTIVE
            assert len(told(logs, "renewal_without_effect")) == 1


# -- lifetimes


async def test_a_server_whose_sessions_live_for_ten_seconds_is_believed() -> None:
    simulator = simulator_in_loop(session_timeout=10.0)
    with capture_logs() as logs:
        async with running_engine(simulator) as engine:
            key = engine.open()
            await asyncio.sleep(600)
            assert engine.state(key) is State.ACTIVE
            session = engine.registry.find(key)
            assert session is not None
            assert 9.0 <= session.lifetime < 10.0
            sent = engine.attempts(key)
            assert min(later - sooner for sooner, later in itertools.pairwise(sent)) >= 1.999
    (learned,) = told(logs, "lifetime_learned")
    assert learned["log_level"] == "warning"
    assert (learned["lifetime"], learned["configured"]) == (pytest.approx(9.0, abs=1), 300.0)
    assert "expire after 9 s" in learned["message"]
    assert "session_timeout is 5 m" in learned["message"]


@pytest.mark.parametrize("ahead", [285.0, 4000.0])
async def test_a_date_that_is_wrong_is_named_with_both_clocks(ahead: float) -> None:
    simulator = simulator_in_loop()

    async def handle(request: Request) -> Response:
        response = await simulator.handle(request)
        now = 1_800_000_000.0 + asyncio.get_running_loop().time() + ahead
        return replace(response, headers={**response.headers, "date": formatdate(now, usegmt=True)})

    with capture_logs() as logs:
        async with running_engine(simulator, handle=handle) as engine:
            key = engine.open()
            await asyncio.sleep(300)
            assert engine.state(key) is State.ACTIVE
            sent = engine.attempts(key)
            assert min(later - sooner for sooner, later in itertools.pairwise(sent)) >= 1.999
    (learned,) = told(logs, "lifetime_learned")
    assert learned["log_level"] == "warning"
    assert learned["clock_ahead"] == pytest.approx(ahead, abs=1.0)
    assert "ahead of this machine's clock" in learned["message"]


# -- lent tokens


def lend(engine: Engine, key: Any, token: str, uid: int) -> None:
    owner = Owner(OwnerKind.NONE)
    hold = Hold(uid, owner, engine.clock.boot(), None, token=LentToken(token))
    engine.registry.hold(key, hold)


def answering_token(simulator: Simulator, token: str, status: int) -> Handle:
    async def handle(request: Request) -> Response:
        if request.headers.get("vmware-api-session-id") == token:
            return Response(status)
        return await simulator.handle(request)

    return handle


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 503])
@pytest.mark.parametrize("others", ["credentials", "token"])
async def test_what_is_answered_to_a_lent_token_harms_nobody_else(status: int, others: str) -> None:
    simulator = simulator_in_loop()
    policy = RenewalPolicy(has_credentials=others == "credentials")
    with capture_logs() as logs:
        async with running_engine(
            simulator, policy=policy, handle=answering_token(simulator, "bad", status)
        ) as engine:
            key = engine.open()
            if others == "token":
                good = simulator.logins.log_in(simulator.username, simulator.password)
                lend(engine, key, good, uid=1000)
            await asyncio.sleep(1)
            lend(engine, key, "bad", uid=1001)
            await asyncio.sleep(3000)
            assert engine.state(key) is State.ACTIVE
            session = engine.registry.find(key)
            assert session is not None
            assert session.tries == 0
    assert told(logs, "session_overdue") == []
    assert told(logs, "vcenter_down") == []
    assert told(logs, "renewal_failed") == []


@pytest.mark.parametrize("status", [403, 404])
async def test_without_other_credentials_the_answer_stands(status: int) -> None:
    simulator = simulator_in_loop()
    policy = RenewalPolicy(has_credentials=False)

    async def handle(request: Request) -> Response:
        if request.target.endswith("update-session"):
            return Response(200, {}, b"[]")
        return Response(status, {}, b'{"error_type":"NOT_FOUND","messages":[]}')

    async with running_engine(simulator, policy=policy, handle=handle) as engine:
        key = engine.open()
        lend(engine, key, "only", uid=1000)
        engine.release(key)
        await asyncio.sleep(60)
        state = engine.state(key)
        assert state is (State.NOT_FOUND if status == 404 else State.PENDING)


async def test_a_session_that_is_gone_for_all_credentials_ends() -> None:
    simulator = simulator_in_loop()
    with capture_logs() as logs:
        async with running_engine(simulator) as engine:
            key = engine.open()
            good = simulator.logins.log_in(simulator.username, simulator.password)
            lend(engine, key, good, uid=1000)
            await asyncio.sleep(10)
            simulator.library.sessions.cancel(key.kind, key.id)
            await asyncio.sleep(200)
            assert engine.state(key) is State.CANCELED
    assert len(told(logs, "session_ended")) == 1


# -- slots


async def test_looks_that_hang_leave_slots_for_renewals() -> None:
    simulator = simulator_in_loop()

    async def handle(request: Request) -> Response:
        if request.method == "GET" and "/library/item/" in request.target:
            await asyncio.sleep(1000)
        return await simulator.handle(request)

    async with running_engine(
        simulator, policy=RenewalPolicy(max_in_flight=8), handle=handle
    ) as engine:
        keys = [engine.open() for _ in range(30)]
        await asyncio.sleep(1200)
        assert {engine.state(key) for key in keys} == {State.ACTIVE}


async def test_a_crowd_of_lists_delays_no_renewal() -> None:
    simulator = simulator_in_loop()

    async def handle(request: Request) -> Response:
        await asyncio.sleep(0.3)
        return await simulator.handle(request)

    with capture_logs() as logs:
        async with running_engine(simulator, handle=handle) as engine:
            keys = [engine.open() for _ in range(20)]
            await asyncio.sleep(20)

            async def ask(keeper: Keeper) -> None:
                while True:
                    answer = await keeper.aside(keeper.vcenter.list(keys[0].kind, timeout=10.0))
                    assert answer.outcome is Outcome.OK

            asking = [asyncio.create_task(ask(engine.keeper)) for _ in range(190)]
            await asyncio.sleep(900)
            assert not any(each.done() for each in asking)
            for each in asking:
                each.cancel()
            await asyncio.wait(asking)
            assert {engine.state(key) for key in keys} == {State.ACTIVE}
    assert told(logs, "session_at_risk") == []
    assert told(logs, "vcenter_down") == []
