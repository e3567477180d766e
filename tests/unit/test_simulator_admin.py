"""The admin endpoint: what it takes, and what it tells whoever mistypes."""

from __future__ import annotations

import pytest

from keepalived.simulator.app import Simulator
from tests.support.simulator import EPOCH, ITEM, Caller, Hands, api_caller


@pytest.fixture
def hands() -> Hands:
    return Hands()


@pytest.fixture
def simulator(hands: Hands) -> Simulator:
    return Simulator(clock=hands, epoch=EPOCH, with_admin=True)


@pytest.fixture
def admin(simulator: Simulator) -> Caller:
    return Caller(simulator, "/simulator")


@pytest.mark.parametrize(
    ("wanted", "shown"),
    [
        ({"effect": "latency", "by": 2, "act_first": True}, {"by": 2.0, "act_first": True}),
        ({"effect": "hang", "method": "GET"}, {"method": "GET", "every": 1}),
        ({"effect": "reset", "every": 3}, {"every": 3}),
        ({"effect": "fail", "status": 429, "retry_after": 3}, {"status": 429, "retry_after": 3}),
        ({"effect": "lifetime", "by": 20, "announced": False, "seconds": 60}, {"until": 1060.0}),
        ({"effect": "skew", "by": -5, "date": False}, {"by": -5.0, "date": False, "until": None}),
        ({"effect": "refuse", "seconds": 5}, {"until": 1005.0}),
        ({"effect": "unknown_route", "session_id": "a:b"}, {"session_id": "a:b"}),
    ],
)
async def test_faults_of_every_sort(
    admin: Caller, wanted: dict[str, object], shown: dict[str, object]
) -> None:
    status, added = await admin.call("POST", "/faults", wanted)
    assert status == 201
    assert added["effect"] == wanted["effect"]
    assert {name: added[name] for name in shown} == shown
    assert await admin.call("GET", "/faults") == (200, [added])
    assert await admin.call("DELETE", "/faults") == (200, {})
    assert await admin.call("GET", "/faults") == (200, [])


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ({}, "effect is one of latency, hang"),
        ({"effect": "slow"}, "effect is one of"),
        ({"effect": "latency"}, "seconds"),
        ({"effect": "latency", "by": "long"}, "long"),
        ({"effect": "fail", "status": 500, "colour": "red"}, "colour"),
        ({"effect": "refuse"}, "no request to remove it"),
        ({"effect": "refuse", "seconds": 5, "count": 1}, "only the duration can be limited"),
        ([], "not a JSON object"),
    ],
)
async def test_faults_that_make_no_sense(admin: Caller, wanted: object, words: str) -> None:
    status, answer = await admin.call("POST", "/faults", wanted)
    assert status == 400
    assert words in answer["error"]


@pytest.mark.parametrize("asked", ["GET /nothing", "DELETE /faults/7", "POST /ledger"])
async def test_what_it_does_not_know(admin: Caller, asked: str) -> None:
    status, answer = await admin.call(*asked.split())
    assert (status, list(answer)) == (404, ["error"])


async def test_a_time_that_it_does_not_understand(admin: Caller) -> None:
    status, answer = await admin.call("GET", "/ledger?since=yesterday")
    assert (status, list(answer)) == (400, ["error"])


async def test_the_ledger_from_a_time_on(admin: Caller, simulator: Simulator, hands: Hands) -> None:
    api = await api_caller(simulator)
    session_id = simulator.open_session()
    hands.time += 10
    await api.call("GET", f"{ITEM}/update-session/{session_id}")
    _, ledger = await admin.call("GET", "/ledger?since=1005")
    assert (ledger["now"], ledger["total"]) == (1010.0, 2)
    assert [entry["route"] for entry in ledger["requests"]] == ["update_session.get"]
    assert [event["event"] for event in ledger["events"]] == ["created"]
    assert simulator.password not in str(ledger)
    assert api.token not in str(ledger)


async def test_a_restart(admin: Caller, simulator: Simulator) -> None:
    api = await api_caller(simulator)
    assert (await admin.call("POST", "/restart", {"loose_tokens": True}))[0] == 400
    assert await admin.call("POST", "/restart") == (200, {})
    assert (await api.call("GET", "/session"))[0] == 200
    wanted = {"lose_tokens": True, "down_seconds": 5}
    assert await admin.call("POST", "/restart", wanted) == (200, {})
    assert simulator.faults.refusal() == (True, 1005.0)
