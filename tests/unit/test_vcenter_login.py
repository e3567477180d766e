"""One token per vCenter: how it is shared, when it is replaced, and when no login is tried."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest

from keepalived.lease.answers import Outcome
from keepalived.lease.model import Kind
from keepalived.simulator.faults import Fail, Hang, Latency
from keepalived.simulator.ledger import LedgerEntry
from keepalived.simulator.routes import ServedDialect
from keepalived.simulator.wire import Request, Response
from keepalived.vcenter.login import LOGIN_BACKOFF, REFUSED_SECONDS, LoginOutcome
from tests.support.vcenter import TIMEOUT, Bench, client_of

pytestmark = pytest.mark.looptime

LOGIN, KEEP_ALIVE, LOGOUT = "session.create", "update_session.keep_alive", "session.delete"


async def renew(bench: Bench, session_id: str, timeout: float = TIMEOUT) -> Outcome:
    answer = await bench.client.keep_alive(Kind.UPDATE, session_id, None, timeout=timeout)
    return answer.outcome


def with_password_file(path: Path, password: str) -> dict[str, Any]:
    path.write_text(password + "\n")
    return {"settings": {"password": None, "password_file": path}}


async def test_twenty_that_wait_share_one_login() -> None:
    bench = Bench()
    bench.simulator.faults.add(Latency(1.0), route=LOGIN)
    ids = [bench.simulator.open_session() for _ in range(20)]
    outcomes = await asyncio.gather(*(renew(bench, each) for each in ids))
    assert set(outcomes) == {Outcome.OK}
    assert bench.routes() == [LOGIN] + [KEEP_ALIVE] * 20
    assert bench.logins == [LoginOutcome.OK]


async def test_who_stops_waiting_does_not_stop_the_login() -> None:
    bench = Bench()
    bench.simulator.faults.add(Latency(1.0), route=LOGIN)
    first = asyncio.create_task(renew(bench, bench.simulator.open_session()))
    await asyncio.sleep(0.5)
    second = asyncio.create_task(renew(bench, bench.simulator.open_session()))
    await asyncio.sleep(0.1)
    first.cancel()
    assert await second is Outcome.OK
    assert first.cancelled()
    assert bench.routes() == [LOGIN, KEEP_ALIVE]


async def test_twenty_with_a_token_that_has_expired_share_one_login() -> None:
    bench = Bench(token_idle_timeout=100.0)
    ids = [bench.simulator.open_session() for _ in range(20)]
    assert await renew(bench, ids[0]) is Outcome.OK
    await asyncio.sleep(101)
    assert set(await asyncio.gather(*(renew(bench, each) for each in ids))) == {Outcome.OK}
    assert bench.count(LOGIN) == 2


async def test_a_token_that_ends_absolutely_while_requests_are_in_flight() -> None:
    bench = Bench(token_max_age=100.0)
    ids = [bench.simulator.open_session() for _ in range(10)]
    await renew(bench, ids[0])
    # Sent before the end of the token, and looked at after it, each at a time of its own.
    for number, each in enumerate(ids):
        bench.simulator.faults.add(Latency(1.0 + number), session_id=each, count=1)
    await asyncio.sleep(99.5)
    assert set(await asyncio.gather(*(renew(bench, each, 20.0) for each in ids))) == {Outcome.OK}
    assert bench.count(LOGIN) == 2
    assert bench.count(KEEP_ALIVE) == 1 + 10 + 10


async def test_an_idle_token_is_used_again_until_it_is_refused() -> None:
    bench = Bench(token_idle_timeout=1800.0, session_timeout=7200.0)
    session = bench.simulator.open_session()
    for pause in (0.0, 1700.0, 1700.0, 1900.0):
        await asyncio.sleep(pause)
        assert await renew(bench, session) is Outcome.OK
    assert bench.count(LOGIN) == 2


async def test_no_login_loop_where_every_token_is_refused() -> None:
    bench = Bench()
    session = bench.simulator.open_session()

    def is_not_a_login(entry: LedgerEntry) -> bool:
        return entry.route != LOGIN

    bench.simulator.faults.add(Fail(401), predicate=is_not_a_login)
    for _ in range(60):
        assert await renew(bench, session) is Outcome.UNAUTHENTICATED
        await asyncio.sleep(1)
    # At first, and after 0, 1, 2, 4, 8, 16 and 32 seconds.
    early = bench.count(LOGIN)
    assert early <= 8
    for _ in range(600):
        await renew(bench, session)
        await asyncio.sleep(1)
    assert bench.count(LOGIN) - early <= 11


async def test_a_fresh_token_that_is_forgotten_is_replaced_at_once() -> None:
    bench = Bench()
    session = bench.simulator.open_session()
    bench.simulator.faults.add(Fail(401), route=KEEP_ALIVE, count=1)
    assert await renew(bench, session) is Outcome.OK
    assert bench.count(LOGIN) == 2


async def test_refused_credentials_are_tried_once_a_minute(tmp_path: Path) -> None:
    bench = Bench(**with_password_file(tmp_path / "password", "wrong"))
    session = bench.simulator.open_session()
    answers = []
    for _ in range(180):
        answers.append(await bench.client.keep_alive(Kind.UPDATE, session, None, timeout=TIMEOUT))
        await asyncio.sleep(1)
    assert {each.outcome for each in answers} == {Outcome.LOGIN_REFUSED}
    times = [entry.time for entry in bench.simulator.ledger.requests(LOGIN)]
    assert times == [0.0, REFUSED_SECONDS, 2 * REFUSED_SECONDS]
    assert bench.logins == [LoginOutcome.REFUSED] * 3
    assert answers[0].detail == (
        "the credentials of administrator@vsphere.local were refused: Invalid credentials."
    )
    assert answers[1].detail == answers[0].detail + " (not retried yet)"
    assert answers[1].sent_at == 1.0


async def test_a_changed_password_is_tried_at_once(tmp_path: Path) -> None:
    file = tmp_path / "password"
    bench = Bench(**with_password_file(file, "wrong"))
    session = bench.simulator.open_session()
    assert await renew(bench, session) is Outcome.LOGIN_REFUSED
    await asyncio.sleep(1)
    file.touch()  # Changed on disk, but not what it says.
    assert await renew(bench, session) is Outcome.LOGIN_REFUSED
    assert bench.count(LOGIN) == 1
    file.write_text(bench.simulator.password)
    assert await renew(bench, session) is Outcome.OK
    assert bench.count(LOGIN) == 2


async def test_a_login_that_is_forbidden_is_refused_as_well() -> None:
    bench = Bench()
    bench.simulator.faults.add(Fail(403), route=LOGIN)
    for _ in range(30):
        assert await renew(bench, "a") is Outcome.LOGIN_REFUSED
        await asyncio.sleep(1)
    assert bench.count(LOGIN) == 1


async def test_too_many_sessions_at_login() -> None:
    bench = Bench()
    bench.simulator.faults.add(Fail(503, retry_after=20), route=LOGIN, count=1)
    session = bench.simulator.open_session()
    answer = await bench.client.keep_alive(Kind.UPDATE, session, None, timeout=TIMEOUT)
    assert (answer.outcome, answer.status, answer.retry_after) == (Outcome.UNAVAILABLE, 503, 20.0)
    assert bench.routes() == [LOGIN]
    assert bench.logins == [LoginOutcome.FAILED]
    assert await renew(bench, session) is Outcome.OK


async def test_a_login_that_hangs_ends_in_time_for_all() -> None:
    bench = Bench()
    bench.simulator.faults.add(Hang(), route=LOGIN, seconds=60)
    started = bench.clock.boot()
    assert await asyncio.gather(*(renew(bench, "a", 3.0) for _ in range(5))) == (
        [Outcome.TIMED_OUT] * 5
    )
    assert bench.clock.boot() - started == pytest.approx(3.0)
    assert bench.count(LOGIN) == 1


@pytest.mark.parametrize("status", [400, 409, 500])
async def test_a_login_with_a_surprise_is_not_repeated_by_everybody(status: int) -> None:
    bench = Bench()
    bench.simulator.faults.add(Fail(status), route=LOGIN)
    session = bench.simulator.open_session()
    for _ in range(10):
        assert await renew(bench, session) is Outcome.FAILED
        await asyncio.sleep(1)
    times = [entry.time for entry in bench.simulator.ledger.requests(LOGIN)]
    assert times == [0.0, LOGIN_BACKOFF]
    bench.simulator.faults.clear()
    await asyncio.sleep(LOGIN_BACKOFF)
    assert await renew(bench, session) is Outcome.OK


@pytest.mark.parametrize("body", [b"", b"<html>", b"{}", b'""', b"7", b"null", b"[" * 100_000])
async def test_a_login_answered_by_something_else(body: bytes) -> None:
    async def web_server(_: Request) -> Response:
        return Response(200, {}, body)

    answer = await client_of(web_server).who_am_i(timeout=TIMEOUT)
    assert answer.outcome is Outcome.UNAVAILABLE
    assert answer.detail == "the answer to the login is not a vCenter's; check the url"


async def test_the_rest_login_asks_for_no_cookie() -> None:
    bench = Bench(dialects=[ServedDialect.REST])
    await bench.client.who_am_i(timeout=TIMEOUT)
    assert bench.requests[-1].target == "/rest/com/vmware/cis/session"
    assert bench.requests[-1].headers["vmware-use-header-authn"] == "true"


async def test_closing_logs_out() -> None:
    bench = Bench()
    other = bench.another()
    await other.who_am_i(timeout=TIMEOUT)
    await bench.client.who_am_i(timeout=TIMEOUT)
    await bench.client.close(timeout=TIMEOUT)
    assert bench.routes()[-1] == LOGOUT
    # Its own token alone: the other's is as good as before.
    assert (await other.who_am_i(timeout=TIMEOUT)).outcome is Outcome.OK
    assert bench.count(LOGIN) == 2


async def test_closing_without_a_token_asks_for_nothing() -> None:
    bench = Bench()
    await bench.client.close(timeout=TIMEOUT)
    assert bench.routes() == []


async def test_closing_in_the_middle_of_a_login() -> None:
    bench = Bench()
    bench.simulator.faults.add(Hang(), route=LOGIN)
    waiting = asyncio.create_task(bench.client.who_am_i(timeout=60))
    await asyncio.sleep(1)
    await bench.client.close(timeout=TIMEOUT)
    await asyncio.wait([waiting])
    assert waiting.cancelled()
    assert bench.clock.boot() == pytest.approx(1.0)


async def test_closing_is_bounded() -> None:
    bench = Bench()
    await bench.client.who_am_i(timeout=TIMEOUT)
    bench.simulator.faults.add(Hang(), route=LOGOUT)
    await bench.client.close(timeout=2.0)
    assert bench.clock.boot() == pytest.approx(2.0)


async def test_secrets_are_told_to_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """Not even where the server repeats them in its refusals."""
    caplog.set_level(logging.DEBUG)
    seen: list[str] = []

    async def parrot(request: Request) -> Response:
        seen.append(request.headers.get("authorization", "").removeprefix("Basic "))
        if request.target == "/api/session" and request.method == "POST":
            return Response(201, {}, b'"T0KEN"')
        said = f"No: {request.headers['vmware-api-session-id']}"
        return Response(500, {}, f'{{"messages":[{{"default_message":"{said}"}}]}}'.encode())

    client = client_of(parrot)
    answer = await client.keep_alive(Kind.UPDATE, "a", None, timeout=TIMEOUT)
    assert answer.detail == "HTTP 500: No: ***"

    async def worse_parrot(request: Request) -> Response:
        said = request.headers["authorization"]
        return Response(500, {}, f'{{"messages":[{{"default_message":"{said}"}}]}}'.encode())

    refused = await client_of(worse_parrot).who_am_i(timeout=TIMEOUT)
    assert refused.detail == "HTTP 500: Basic ***"
    told = [repr(client), repr(vars(client)), repr(vars(client._login)), repr(answer), caplog.text]
    assert not any(secret in text for text in told for secret in ("T0KEN", *filter(None, seen)))
