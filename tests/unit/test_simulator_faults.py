"""Faults on demand, on the fake clock."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncIterator
from email.utils import parsedate_to_datetime

import pytest

from keepalived.simulator import faults
from keepalived.simulator.app import Simulator
from keepalived.simulator.wire import Dropped, RefusedConnection, Request
from tests.support.simulator import EPOCH, ITEM, Caller, api_caller

pytestmark = pytest.mark.looptime


def now() -> float:
    return asyncio.get_running_loop().time()


@pytest.fixture
async def simulator() -> Simulator:
    return Simulator(clock=asyncio.get_running_loop().time, epoch=EPOCH)


@pytest.fixture
async def api(simulator: Simulator) -> Caller:
    return await api_caller(simulator)


def path_of(session_id: str) -> str:
    return f"{ITEM}/update-session/{session_id}?action=keep-alive"


@pytest.mark.parametrize(("act_first", "expires_at"), [(False, 305.0), (True, 300.0)])
async def test_latency_lies_before_or_after_the_act(
    simulator: Simulator, api: Caller, act_first: bool, expires_at: float
) -> None:
    session = simulator.library.open_session("uploader")
    simulator.faults.add(faults.Latency(5, act_first=act_first), route="update_session.*", count=1)
    start = now()
    assert await api.call("POST", path_of(session.id), {}) == (204, None)
    assert now() - start == 5
    assert session.expires_at - start == expires_at


async def test_latencies_add_up_and_a_failure_ends_it(simulator: Simulator, api: Caller) -> None:
    session = simulator.library.open_session("uploader")
    for effect in (
        faults.Latency(1),
        faults.Latency(2),
        faults.Fail(504, act_first=True),
        faults.Latency(4),
    ):
        simulator.faults.add(effect, session_id=session.id)
    start = now()
    status, _ = await api.call("POST", path_of(session.id), {"client_progress": 3})
    assert (status, now() - start) == (504, 3)
    assert session.client_progress == 3


async def test_a_hang_is_noted_while_it_lasts(simulator: Simulator, api: Caller) -> None:
    session_id = simulator.open_session()
    simulator.faults.add(faults.Hang(), method="POST")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(10_000):
            await api.call("POST", path_of(session_id), {})
    (entry,) = simulator.ledger.requests("update_session.keep_alive")
    assert (entry.status, entry.finished, entry.fault) == (None, now(), "hang")


async def test_a_restart_drops_what_waits(simulator: Simulator, api: Caller) -> None:
    simulator.faults.add(faults.Hang(act_first=True), count=1)
    waiting = asyncio.create_task(api.call("GET", "/session"))
    await asyncio.sleep(10)
    simulator.restart(lose_tokens=True, down_seconds=30)
    with pytest.raises(Dropped):
        await waiting
    with pytest.raises(RefusedConnection):
        await api.call("GET", "/session")
    await asyncio.sleep(30)
    assert (await api.call("GET", "/session"))[0] == 401


async def test_a_restart_breaks_off_an_upload(simulator: Simulator, api: Caller) -> None:
    session_id = simulator.open_session()
    spec = {"name": "disk", "source_type": "PUSH"}
    _, added = await api.call("POST", f"{ITEM}/update-session/{session_id}/file", spec)
    target = added["upload_endpoint"]["uri"].removeprefix(simulator.base_url)

    async def chunks() -> AsyncIterator[bytes]:
        yield b"x"
        simulator.restart()
        yield b"x"

    with pytest.raises(Dropped):
        await simulator.handle(Request("PUT", target), chunks())
    (file,) = simulator.library.transfers.files(session_id)
    assert (file.status, file.bytes_transferred) == ("ERROR", 1)
    assert (await simulator.handle(Request("PUT", target, {}, b"xyz"))).status == 200
    (entry, again) = simulator.ledger.requests("upload", session_id=session_id)
    assert (entry.status, again.status) == (None, 200)


@pytest.mark.parametrize("act_first", [False, True])
async def test_a_reset_may_come_after_the_act(
    simulator: Simulator, api: Caller, act_first: bool
) -> None:
    session = simulator.library.open_session("uploader")
    simulator.faults.add(faults.Reset(act_first=act_first), count=1)
    with pytest.raises(Dropped):
        await api.call("POST", path_of(session.id), {"client_progress": 9})
    assert session.client_progress == (9 if act_first else None)


async def test_an_outage_by_the_clock(simulator: Simulator, api: Caller) -> None:
    simulator.faults.add(faults.Refuse(), start=now() + 10, seconds=20)
    start = now()
    assert simulator.faults.refusal() == (False, start + 10)
    assert (await api.call("GET", "/session"))[0] == 200
    await asyncio.sleep(10)
    assert simulator.faults.refusal() == (True, start + 30)
    with pytest.raises(RefusedConnection):
        await api.call("GET", "/session")
    await asyncio.sleep(20)
    assert simulator.faults.refusal() == (False, math.inf)
    assert (await api.call("GET", "/session"))[0] == 200
    assert [entry.fault for entry in simulator.ledger.requests("session.get")] == ["", "refuse", ""]
    assert not simulator.faults


async def test_a_refusal_concerns_everybody(simulator: Simulator) -> None:
    with pytest.raises(ValueError, match="only the duration can be limited"):
        simulator.faults.add(faults.Refuse(), count=3)


@pytest.mark.parametrize(
    ("status", "error_type"),
    [
        (401, "UNAUTHENTICATED"),
        (403, "UNAUTHORIZED"),
        (409, "CONCURRENT_CHANGE"),
        (429, "SERVICE_UNAVAILABLE"),
        (500, "INTERNAL_SERVER_ERROR"),
        (502, "ERROR"),
        (503, "SERVICE_UNAVAILABLE"),
        (504, "TIMED_OUT"),
    ],
)
async def test_a_failure_has_its_vapi_error(
    simulator: Simulator, api: Caller, status: int, error_type: str
) -> None:
    simulator.faults.add(faults.Fail(status, retry_after=1.5), count=1)
    answer = await api.send("GET", "/session")
    assert (answer.status, answer.headers["retry-after"]) == (status, "1.5")
    assert json.loads(answer.body)["error_type"] == error_type
    simulator.faults.add(faults.Fail(status), count=1)
    assert "retry-after" not in (await api.send("GET", "/session")).headers


async def test_an_unknown_route(simulator: Simulator, api: Caller) -> None:
    session_id = simulator.open_session()
    simulator.faults.add(faults.UnknownRoute(), route="update_session.keep_alive", seconds=10)
    status, error = await api.call("POST", path_of(session_id), {})
    assert (status, error["messages"][0]["id"]) == (404, "com.vmware.vapi.rest.httpNotFound")
    await asyncio.sleep(10)
    assert (await api.call("POST", path_of(session_id), {}))[0] == 204


async def test_a_body_broken_off(simulator: Simulator, api: Caller) -> None:
    session_id = simulator.open_session()
    simulator.faults.add(faults.Truncate())
    answer = await api.send("GET", "/session")
    assert int(answer.headers["content-length"]) > len(answer.body) > 0
    with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
        json.loads(answer.body)
    assert (await api.send("POST", path_of(session_id), b"{}")).status == 204


@pytest.mark.parametrize(
    ("skew", "date", "expiration"),
    [
        (faults.Skew(-3600), -3600, "21:18:20"),
        (faults.Skew(3600, expiration_time=False), 3600, "22:18:20"),
        (faults.Skew(3600, date=False), 0, "23:18:20"),
    ],
)
async def test_a_skewed_wall_clock(
    simulator: Simulator, api: Caller, skew: faults.Skew, date: float, expiration: str
) -> None:
    session = simulator.library.open_session("uploader")
    await asyncio.sleep(round(session.created_at) - now())
    simulator.faults.add(skew)
    answer = await api.send("GET", f"{ITEM}/update-session/{session.id}")
    stamped = parsedate_to_datetime(answer.headers["date"]).timestamp()
    assert stamped == EPOCH + date
    assert json.loads(answer.body)["expiration_time"] == f"2023-11-14T{expiration}.000Z"


@pytest.mark.parametrize(("announced", "told"), [(True, 20), (False, 300)])
async def test_a_shortened_lifetime(
    simulator: Simulator, api: Caller, announced: bool, told: float
) -> None:
    session = simulator.library.open_session("uploader")
    other = simulator.library.open_session("uploader")
    simulator.faults.add(faults.Lifetime(20, announced=announced), session_id=session.id)
    for each in (session, other):
        assert (await api.call("POST", path_of(each.id), {}))[0] == 204
    assert session.expires_at - now() == 20
    assert session.announced_expiry - now() == told
    assert other.expires_at - now() == 300
    await asyncio.sleep(20)
    assert (await api.call("POST", path_of(session.id), {}))[0] == 404


async def test_a_created_session_can_be_short_lived(simulator: Simulator, api: Caller) -> None:
    item = simulator.library.catalog.create_item(
        simulator.library.catalog.create_library("l").id, "i"
    )
    simulator.faults.add(faults.Lifetime(20), route="*.create", count=1)
    _, session_id = await api.call("POST", f"{ITEM}/update-session", {"library_item_id": item.id})
    await asyncio.sleep(20)
    assert (await api.call("GET", f"{ITEM}/update-session/{session_id}"))[0] == 404


async def test_faults_hit_what_they_concern_and_as_often_as_they_should(
    simulator: Simulator, api: Caller
) -> None:
    session_id = simulator.open_session()
    simulator.faults.add(faults.Fail(500), route="update_session.keep_alive", count=2)
    by_progress = simulator.faults.add(
        faults.Fail(503), predicate=lambda entry: entry.client_progress == 50
    )
    path = path_of(session_id)
    statuses = [(await api.call("POST", path, {}))[0] for _ in range(3)]
    assert statuses == [500, 500, 204]
    assert (await api.call("GET", f"{ITEM}/update-session/{session_id}"))[0] == 200
    assert (await api.call("POST", path, {"client_progress": 50}))[0] == 503
    simulator.faults.remove(by_progress)
    simulator.faults.remove(by_progress)
    assert (await api.call("POST", path, {"client_progress": 50}))[0] == 204
    simulator.faults.add(faults.Fail(500))
    simulator.faults.clear()
    assert not simulator.faults


async def test_who_watches_is_told_of_every_change(simulator: Simulator) -> None:
    seen: list[list[faults.Fault]] = []
    simulator.faults.on_change.append(lambda: seen.append(list(simulator.faults)))
    fault = simulator.faults.add(faults.Refuse())
    simulator.faults.remove(fault)
    simulator.faults.clear()
    assert seen == [[fault], [], []]


async def test_a_fault_that_hits_every_third_request(simulator: Simulator, api: Caller) -> None:
    path = path_of(simulator.open_session())
    simulator.faults.add(faults.Fail(500), route="*.keep_alive", every=3, count=2)
    statuses = [(await api.call("POST", path, {}))[0] for _ in range(9)]
    assert statuses == [204, 204, 500, 204, 204, 500, 204, 204, 204]


async def test_requests_that_a_fault_does_not_concern_are_not_counted(
    simulator: Simulator, api: Caller
) -> None:
    path = path_of(simulator.open_session())
    simulator.faults.add(faults.Fail(500), route="*.keep_alive", every=2)
    assert (await api.call("POST", path, {}))[0] == 204
    await api.call("GET", "/session")
    assert (await api.call("POST", path, {}))[0] == 500


@pytest.mark.parametrize("every", [0, -1])
async def test_every_has_to_count(simulator: Simulator, every: int) -> None:
    with pytest.raises(ValueError, match="every has to be"):
        simulator.faults.add(faults.Fail(500), every=every)


async def test_refusing_every_other_connection_is_not_offered(simulator: Simulator) -> None:
    with pytest.raises(ValueError, match="only the duration can be limited"):
        simulator.faults.add(faults.Refuse(), every=2)
