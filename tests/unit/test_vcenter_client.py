"""The client against the simulated library: every operation, dialect and representation."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from keepalived.lease.answers import Answer, FileInfo, Outcome
from keepalived.lease.model import Kind
from keepalived.settings import Representation
from keepalived.simulator.faults import Fail, Hang, Refuse, Reset, Skew, Truncate, UnknownRoute
from keepalived.simulator.resources import SourceType
from keepalived.simulator.routes import ServedDialect
from keepalived.simulator.wire import Request, Response
from keepalived.vcenter.client import DETECTION_COOLDOWN
from tests.support.vcenter import TIMEOUT, Bench, HandleRequest, client_of

pytestmark = pytest.mark.looptime

LOGIN, WHO, LOGOUT = "session.create", "session.get", "session.delete"
KEEP_ALIVE, GET, LIST = "update_session.keep_alive", "update_session.get", "update_session.list"
WAYS: list[dict[str, Any]] = [
    {"dialect": "api"},
    *({"dialect": "rest", "representation": each} for each in Representation),
]


async def renew(bench: Bench, session_id: str, progress: int | None = None) -> Answer[None]:
    return await bench.client.keep_alive(Kind.UPDATE, session_id, progress, timeout=TIMEOUT)


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("settings", WAYS, ids=lambda way: "-".join(way.values()))
async def test_every_operation(settings: dict[str, Any], kind: Kind) -> None:
    bench = Bench(settings=settings)
    client, simulator = bench.client, bench.simulator
    session = simulator.open_session(kind=kind)

    assert (await client.keep_alive(kind, session, 10, timeout=TIMEOUT)).outcome is Outcome.OK
    (entry,) = simulator.ledger.requests(f"{kind}_session.keep_alive")
    assert (entry.client_progress, entry.session_id, entry.dialect) == (
        10,
        session,
        settings["dialect"],
    )
    assert (await client.keep_alive(kind, session, None, timeout=TIMEOUT)).outcome is Outcome.OK
    again = await client.keep_alive(kind, session, 10, timeout=TIMEOUT)
    assert again.outcome is Outcome.INVALID_ARGUMENT
    other = Kind.DOWNLOAD if kind is Kind.UPDATE else Kind.UPDATE
    wrong = await client.keep_alive(other, session, None, timeout=TIMEOUT)
    assert wrong.outcome is Outcome.NOT_FOUND

    info = (await client.get(kind, session, timeout=TIMEOUT)).value
    assert info is not None
    assert (info.id, info.state, info.client_progress) == (session, "ACTIVE", 10)
    assert info.lifetime_left == 300.0
    listed = await client.list(kind, timeout=TIMEOUT)
    assert listed.value == (session,)
    files = await client.files(kind, session, timeout=TIMEOUT)
    assert (files.outcome, files.value) == (Outcome.OK, ())
    item = (await client.item(info.item_id or "", timeout=TIMEOUT)).value
    assert item is not None
    assert (item.id, item.name, item.library) == (info.item_id, "image.ova", "library")

    assert (await client.cancel(kind, session, timeout=TIMEOUT)).outcome is Outcome.OK
    late = await client.keep_alive(kind, session, None, timeout=TIMEOUT)
    assert late.outcome is Outcome.NOT_ALLOWED
    told = (await client.get(kind, session, timeout=TIMEOUT)).value
    assert told is not None
    assert told.state == "CANCELED"
    assert (await client.who_am_i(timeout=TIMEOUT)).outcome is Outcome.OK
    await client.close(timeout=TIMEOUT)
    assert bench.count(LOGIN) == bench.count(LOGOUT) == 1


@pytest.mark.parametrize("dialect", ["api", "rest"])
async def test_the_files_of_a_session(dialect: str) -> None:
    bench = Bench(settings={"dialect": dialect})
    session = bench.simulator.open_session()
    bench.simulator.library.transfers.add(session, "disk.vmdk", SourceType.PUSH)
    answer = await bench.client.files(Kind.UPDATE, session, timeout=TIMEOUT)
    assert answer.value == (FileInfo("disk.vmdk", "PUSH", "WAITING_FOR_TRANSFER"),)


async def test_the_librarys_name_is_asked_for_once() -> None:
    bench = Bench()
    bench.simulator.open_session()
    (item,) = bench.simulator.library.catalog.items(None, None)
    for _ in range(3):
        assert (await bench.client.item(item.id, timeout=TIMEOUT)).value is not None
    assert bench.count("library.get") == 1


async def test_an_item_whose_library_cannot_be_read() -> None:
    bench = Bench()
    bench.simulator.open_session()
    (item,) = bench.simulator.library.catalog.items(None, None)
    bench.simulator.faults.add(Fail(403), route="library.get")
    answer = await bench.client.item(item.id, timeout=TIMEOUT)
    assert answer.value is not None
    assert (answer.value.name, answer.value.library) == ("image.ova", None)


@pytest.mark.parametrize(
    "bad", ["", ".", "..", "../../session", "a/b", "a?b", "a%2fb", "a\nb", "id:" + "x" * 300]
)
async def test_ids_that_could_lead_elsewhere_are_not_sent(bad: str) -> None:
    bench = Bench()
    client = bench.client
    answers: list[Answer[Any]] = [
        await client.keep_alive(Kind.UPDATE, bad, 1, timeout=TIMEOUT),
        await client.get(Kind.UPDATE, bad, timeout=TIMEOUT),
        await client.files(Kind.UPDATE, bad, timeout=TIMEOUT),
        await client.cancel(Kind.UPDATE, bad, timeout=TIMEOUT),
    ]
    if len(bad) < 300:
        answers.append(await client.item(bad, timeout=TIMEOUT))
    assert {each.outcome for each in answers} == {Outcome.FAILED}
    assert all("id" in each.detail for each in answers)
    assert bench.requests == []


# Which dialect


@pytest.mark.parametrize(
    ("spoken", "found"),
    [(ServedDialect, "api"), ([ServedDialect.API], "api"), ([ServedDialect.REST], "rest")],
)
async def test_the_dialect_is_found_at_login(spoken: list[ServedDialect], found: str) -> None:
    bench = Bench(dialects=spoken)
    assert (await renew(bench, bench.simulator.open_session())).outcome is Outcome.OK
    assert bench.simulator.ledger.requests(KEEP_ALIVE)[0].dialect == found


@pytest.mark.parametrize(
    ("configured", "spoken"),
    [("api", ServedDialect.REST), ("rest", ServedDialect.API), ("auto", None)],
)
async def test_a_server_that_does_not_speak_it(
    configured: str, spoken: ServedDialect | None
) -> None:
    bench = Bench(settings={"dialect": configured}, dialects=[spoken] if spoken else [])
    answer = await renew(bench, "a")
    assert answer.outcome is Outcome.FAILED
    assert answer.detail.startswith("no login at /")
    assert answer.detail.endswith(": not a vCenter, or the wrong dialect")


def is_api_content(entry: Any) -> bool:
    return entry.dialect == "api" and not entry.route.startswith("session.")


async def test_an_unproven_404_is_followed_to_the_other_dialect() -> None:
    """As on releases that know /api, but not yet for the Content Library."""
    bench = Bench()
    bench.simulator.faults.add(UnknownRoute(), predicate=is_api_content)
    session = bench.simulator.open_session()
    assert (await renew(bench, session)).outcome is Outcome.OK
    assert bench.routes() == [LOGIN, KEEP_ALIVE, LIST, LOGOUT, LOGIN, KEEP_ALIVE]
    assert (await renew(bench, session)).outcome is Outcome.OK
    assert bench.routes()[6:] == [KEEP_ALIVE]
    assert bench.simulator.ledger.requests(KEEP_ALIVE)[-1].dialect == "rest"


@pytest.mark.parametrize("dialect", ["auto", "api", "rest"])
async def test_an_unproven_404_is_proven_by_a_list(dialect: str) -> None:
    bench = Bench(settings={"dialect": dialect})
    assert (await renew(bench, "never-was")).outcome is Outcome.NOT_FOUND
    assert bench.routes() == [LOGIN, KEEP_ALIVE, LIST]
    assert (await renew(bench, "nor-this")).outcome is Outcome.NOT_FOUND
    assert bench.routes()[3:] == [KEEP_ALIVE]


async def test_a_404_in_the_other_dialect_is_proven_by_a_list_there() -> None:
    bench = Bench()
    bench.simulator.faults.add(UnknownRoute(), predicate=is_api_content)
    assert (await renew(bench, "never-was")).outcome is Outcome.NOT_FOUND
    assert bench.routes() == [LOGIN, KEEP_ALIVE, LIST, LOGOUT, LOGIN, KEEP_ALIVE, LIST]


async def test_a_list_that_fails_proves_nothing() -> None:
    bench = Bench()
    bench.simulator.faults.add(Fail(503), route=LIST, count=1)
    assert (await renew(bench, "never-was")).outcome is Outcome.UNAVAILABLE
    assert (await renew(bench, "never-was")).outcome is Outcome.NOT_FOUND
    assert bench.count(LIST) == 2


@pytest.mark.parametrize("dialect", ["auto", "api", "rest"])
async def test_no_content_library_anywhere(dialect: str) -> None:
    bench = Bench(settings={"dialect": dialect})
    bench.simulator.faults.add(UnknownRoute(), route="*_session.*")
    session = bench.simulator.open_session()
    answer = await renew(bench, session)
    assert answer.outcome is Outcome.FAILED
    assert answer.detail == ("there is no Content Library at this url in any allowed dialect")
    logins = bench.count(LOGIN)
    assert logins == (2 if dialect == "auto" else 1)
    # It is not looked for by everybody who comes.
    before = len(bench.routes())
    for _ in range(10):
        assert (await renew(bench, session)).outcome is Outcome.FAILED
    assert len(bench.routes()) == before + 10
    await asyncio.sleep(DETECTION_COOLDOWN)
    await renew(bench, session)
    assert bench.count(LIST) == 2 * logins
    bench.simulator.faults.clear()
    assert (await renew(bench, session)).outcome is Outcome.OK


async def test_a_proven_route_that_is_gone_is_no_proof_about_a_session() -> None:
    """As while the service restarts, or after an upgrade that dropped /rest."""
    bench = Bench()
    session = bench.simulator.open_session()
    assert (await renew(bench, session)).outcome is Outcome.OK
    bench.simulator.faults.add(UnknownRoute(), route="*_session.*", seconds=10)
    assert (await renew(bench, session)).outcome is Outcome.FAILED
    assert (await bench.client.get(Kind.UPDATE, session, timeout=TIMEOUT)).outcome is Outcome.FAILED


async def test_a_plain_404_is_about_the_session_only_beside_a_list_that_succeeds() -> None:
    answers = {"POST /api/session": Response(201, {}, b'"T"')}

    async def plain(request: Request) -> Response:
        found = answers.get(f"{request.method} {request.target}")
        return found or Response(404, {}, b"404 page not found\n")

    client = client_of(plain, dialect="api")
    first = await client.keep_alive(Kind.UPDATE, "a", None, timeout=TIMEOUT)
    assert first.outcome is Outcome.FAILED
    session = "/api/content/library/item/update-session"
    answers[f"POST {session}/a?action=keep-alive"] = Response(204)
    assert (await client.keep_alive(Kind.UPDATE, "a", None, timeout=TIMEOUT)).outcome is Outcome.OK
    # Whoever says so, it may be a proxy whose service is away.
    away = await client.keep_alive(Kind.UPDATE, "b", None, timeout=TIMEOUT)
    assert away.outcome is Outcome.FAILED
    answers[f"GET {session}"] = Response(200, {}, b"[]")
    await asyncio.sleep(20)
    gone = await client.keep_alive(Kind.UPDATE, "b", None, timeout=TIMEOUT)
    assert (gone.outcome, gone.detail) == (Outcome.NOT_FOUND, "HTTP 404")


# What goes wrong


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (403, Outcome.FORBIDDEN),
        (409, Outcome.FAILED),
        (429, Outcome.UNAVAILABLE),
        (500, Outcome.FAILED),
        (502, Outcome.UNAVAILABLE),
        (503, Outcome.UNAVAILABLE),
        (504, Outcome.UNAVAILABLE),
    ],
)
async def test_failures_with_a_status(status: int, outcome: Outcome) -> None:
    bench = Bench()
    bench.simulator.faults.add(Fail(status, retry_after=7), route=KEEP_ALIVE)
    answer = await renew(bench, bench.simulator.open_session())
    assert (answer.outcome, answer.status, answer.retry_after) == (outcome, status, 7.0)
    assert answer.detail.startswith(f"HTTP {status}")


@pytest.mark.parametrize(
    ("effect", "outcome"),
    [
        (Hang(), Outcome.TIMED_OUT),
        (Reset(), Outcome.UNREACHABLE),
        (Refuse(), Outcome.UNREACHABLE),
    ],
)
async def test_failures_without_a_status(effect: Any, outcome: Outcome) -> None:
    bench = Bench()
    session = bench.simulator.open_session()
    await renew(bench, session)
    bench.simulator.faults.add(effect)
    before = bench.clock.boot()
    answer = await renew(bench, session)
    assert (answer.outcome, answer.status, answer.sent_at) == (outcome, None, before)
    expected = TIMEOUT if outcome is Outcome.TIMED_OUT else 0.0
    assert answer.received_at - answer.sent_at == pytest.approx(expected)


async def test_a_truncated_answer() -> None:
    bench = Bench()
    session = bench.simulator.open_session()
    await renew(bench, session)
    bench.simulator.faults.add(Truncate(), route=GET)
    answer = await bench.client.get(Kind.UPDATE, session, timeout=TIMEOUT)
    assert answer.outcome is Outcome.UNREACHABLE


@pytest.mark.parametrize("seconds", [-3600.0, 3600.0])
async def test_a_skewed_server_teaches_the_same_lifetime(seconds: float) -> None:
    bench = Bench(session_timeout=120.0)
    bench.simulator.faults.add(Skew(seconds))
    session = bench.simulator.open_session()
    await renew(bench, session)
    answer = await bench.client.get(Kind.UPDATE, session, timeout=TIMEOUT)
    assert answer.value is not None
    assert answer.value.lifetime_left == pytest.approx(120.0, abs=1.0)


async def test_answers_are_timed_by_the_request_that_got_them() -> None:
    bench = Bench(token_max_age=60.0)
    session = bench.simulator.open_session()
    await renew(bench, session)
    bench.clock.jump(1000.0)
    answer = await renew(bench, session)
    assert answer.sent_at == answer.received_at == 1000.0


def answering(body: bytes, *, dialect: str = "api") -> HandleRequest:
    async def handle(request: Request) -> Response:
        if request.method == "POST" and request.target.endswith("/session"):
            return Response(200, {}, b'"T"' if dialect == "api" else b'{"value":"T"}')
        return Response(200, {"date": "nonsense", "retry-after": "\ud800"}, body)

    return handle


@pytest.mark.parametrize("dialect", ["api", "rest"])
@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"<html>", b"\xff", b"7", b'"text"', b"{}", b'{"value":{}}', b'{"value":7}'),
        *(b"[" * 100_000, b"9" * 5000, b"NaN", b'{"state":[],"value":{"state":{}}}'),
        *(
            b'[{"name":[]}]',
            b'{"value":[{"bytes_transferred":-1}]}',
            b'{"id":{},"value":{"id":[]}}',
        ),
    ],
)
async def test_garbage_counts_against_the_vcenter(body: bytes, dialect: str) -> None:
    client = client_of(answering(body, dialect=dialect), dialect=dialect)
    session = await client.get(Kind.UPDATE, "a", timeout=TIMEOUT)
    assert (session.outcome, session.value, session.status) == (Outcome.UNAVAILABLE, None, 200)
    assert session.detail.startswith("the answer cannot be read: ")
    answers: list[Answer[Any]] = [
        await client.files(Kind.UPDATE, "a", timeout=TIMEOUT),
        await client.list(Kind.UPDATE, timeout=TIMEOUT),
        await client.item("i", timeout=TIMEOUT),
    ]
    assert all((each.outcome is Outcome.OK) == (each.value is not None) for each in answers)


async def test_a_redirect_is_a_configuration_error() -> None:
    asked = []

    async def moved(request: Request) -> Response:
        asked.append(request.target)
        return Response(302, {"location": "https://elsewhere.test/api/session"})

    answer = await client_of(moved).who_am_i(timeout=TIMEOUT)
    assert answer.outcome is Outcome.REDIRECTED
    assert answer.detail == (
        "HTTP 302: redirected to elsewhere.test, which is not followed; correct the url"
    )
    assert asked == ["/api/session"]
