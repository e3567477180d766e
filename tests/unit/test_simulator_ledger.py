"""What the ledger proves: attempts, gaps, concurrency, rates, ends."""

from __future__ import annotations

import asyncio

import pytest

from keepalived.simulator.app import Simulator
from keepalived.simulator.faults import Latency
from keepalived.simulator.resources import SessionEvent
from tests.support.simulator import EPOCH, ITEM, Caller, Hands, api_caller


@pytest.fixture
def hands() -> Hands:
    return Hands()


def simulator_on(hands: Hands, limit: int | None = None) -> Simulator:
    return Simulator(clock=hands, epoch=EPOCH, ledger_limit=limit)


def path_of(session_id: str) -> str:
    return f"{ITEM}/update-session/{session_id}?action=keep-alive"


async def renew(api: Caller, hands: Hands, session_id: str, times: list[float]) -> None:
    for time in times:
        hands.time = time
        assert (await api.call("POST", path_of(session_id), {}))[0] == 204


async def test_every_request_is_taken_down(hands: Hands) -> None:
    simulator = simulator_on(hands)
    api = await api_caller(simulator)
    session_id = simulator.open_session()
    await api.call("POST", path_of(session_id), {"client_progress": 10})
    await api.call("GET", "/nowhere")
    api.token = ""
    hands.time += 1
    await api.call("POST", path_of(session_id), {})
    rows = [
        (e.time, e.method, e.route, e.session_id, e.client_progress, e.login, e.status)
        for e in simulator.ledger.entries
    ]
    login = f"{simulator.username}#1"
    keep_alive = "update_session.keep_alive"
    assert rows == [
        (1000.0, "POST", "session.create", None, None, "", 201),
        (1000.0, "POST", keep_alive, session_id, 10, login, 204),
        (1000.0, "GET", "", None, None, login, 404),
        (1001.0, "POST", keep_alive, session_id, None, "", 401),
    ]
    assert len(simulator.ledger.requests("*.keep_alive", login=login, status=204)) == 1
    assert simulator.ledger.count(keep_alive) == 2
    assert simulator.ledger.count(status=404) == 1


async def test_gaps_and_ends(hands: Hands) -> None:
    simulator = simulator_on(hands)
    api = await api_caller(simulator)
    kept, lost = simulator.open_session(), simulator.open_session()
    await renew(api, hands, kept, [1100.0, 1350.0, 1400.0, 1600.0])
    ledger = simulator.ledger
    assert ledger.attempts(kept) == 4
    assert ledger.longest_gap(kept) == 250
    assert ledger.longest_gap(lost) == 300
    assert ledger.session(lost).ended is SessionEvent.EXPIRED
    assert ledger.session(kept).ended is None
    assert ledger.attempts("never heard of") == 0
    assert {name for name, _ in ledger.sessions()} == {kept, lost}


async def test_a_refused_keep_alive_closes_no_gap(hands: Hands) -> None:
    simulator = simulator_on(hands)
    api = await api_caller(simulator)
    session_id = simulator.open_session()
    hands.time = 1150.0
    assert (await api.call("POST", path_of(session_id), {"client_progress": 101}))[0] == 400
    await renew(api, hands, session_id, [1200.0])
    assert simulator.ledger.longest_gap(session_id) == 200
    assert simulator.ledger.session(session_id).activities == 2


@pytest.mark.looptime
async def test_two_requests_on_one_session_at_once_are_seen() -> None:
    simulator = Simulator(clock=asyncio.get_running_loop().time)
    api = await api_caller(simulator)
    one, other = simulator.open_session(), simulator.open_session()
    simulator.faults.add(Latency(5), route="*.keep_alive")
    async with asyncio.TaskGroup() as group:
        for session_id in (one, other, one):
            group.create_task(api.call("POST", path_of(session_id), {}))
    await api.call("POST", path_of(other), {})
    ledger = simulator.ledger
    assert ledger.most_concurrent(one) == ledger.most_concurrent() == 2
    assert ledger.most_concurrent(other) == 1
    assert [entry.concurrent for entry in ledger.requests(session_id=one)] == [1, 2]


@pytest.mark.parametrize("limit", [0, 3])
async def test_a_bounded_ledger_still_counts(hands: Hands, limit: int) -> None:
    simulator = simulator_on(hands, limit)
    api = await api_caller(simulator)
    session_id = simulator.open_session()
    await renew(api, hands, session_id, [1000.0 + 10 * n for n in range(1, 11)])
    ledger = simulator.ledger
    assert len(ledger.requests()) == limit
    assert (ledger.total, ledger.attempts(session_id)) == (11, 10)
    assert ledger.count("update_session.keep_alive", status=204) == 10
    assert ledger.longest_gap(session_id) == 10
    assert ledger.requests_per_second() == 11 / 100


async def test_rates(hands: Hands) -> None:
    simulator = simulator_on(hands)
    assert simulator.ledger.requests_per_second() == 0
    api = await api_caller(simulator)
    assert simulator.ledger.requests_per_second() == 0
    session_id = simulator.open_session()
    await renew(api, hands, session_id, [1010.0, 1011.0, 1012.0, 1050.0])
    assert simulator.ledger.requests_per_second(1010, 1020) == 0.3
    assert simulator.ledger.requests_per_second(since=1050, until=1050) == 0
