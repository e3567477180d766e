"""Which successes are accepted, and what no text of an answer shows."""

from __future__ import annotations

import asyncio
import base64
import html
import json
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, quote_plus

import pytest

from keepalived.lease.answers import Answer, Outcome
from keepalived.lease.model import Kind
from keepalived.settings import VCenterSettings
from keepalived.simulator.wire import Request, Response
from keepalived.validation import Secret, validate
from keepalived.vcenter.client import Client
from keepalived.vcenter.hiding import Secrets
from keepalived.vcenter.login import LoginOutcome
from tests.support.engine import LoopClock
from tests.support.memory_transport import MemoryTransport

pytestmark = pytest.mark.looptime

TOKEN = "T0k3n-0f/S0meb0dy+x=="
PASSWORD = 'P4ss"w<ö>rd &+/ \\x'
PAGE = b"<!doctype html><title>Please log in</title>"
JSON = {"content-type": "application/json"}
HTML = {"content-type": "text/html; charset=utf-8"}

Handle = Callable[[Request], Response]


def client_of(handle: Handle, *, dialect: str = "api", user: str | None = "u") -> Client:
    """A client of a vCenter that logs everybody in and answers anything else by `handle`."""

    async def answer(request: Request) -> Response:
        is_login = request.method == "POST" and request.target.endswith("/session")
        if is_login:
            token: Any = TOKEN if dialect == "api" else {"value": TOKEN}
            return Response(201, JSON, json.dumps(token).encode())
        return handle(request)

    return client_with(answer, dialect=dialect, user=user)


def client_with(
    handle: Any, *, dialect: str = "api", user: str | None = "u", **more: Any
) -> Client:
    data: dict[str, Any] = {"url": "http://vc.test", "dialect": dialect}
    if user is not None:
        data |= {"username": user, "password": Secret(PASSWORD)}
    settings = validate(VCenterSettings, data)
    return Client("lab", settings, MemoryTransport(handle), LoopClock(), **more)


async def keep_alive(client: Client) -> Answer[None]:
    return await client.keep_alive(Kind.UPDATE, "a:b", None, timeout=5.0)


@pytest.mark.parametrize("dialect", ["api", "rest"])
@pytest.mark.parametrize("status", [200, 201, 202, 203, 204, 205, 206])
@pytest.mark.parametrize(
    "body", [b"", b" \r\n", b"null", b"{}", b'{"value":null}', b' { "value" : {} }\n']
)
async def test_nothing_is_a_success(status: int, body: bytes, dialect: str) -> None:
    client = client_of(lambda _: Response(status, HTML, body), dialect=dialect)
    assert (await keep_alive(client)).outcome is Outcome.OK
    cancelled = await client.cancel(Kind.UPDATE, "a:b", timeout=5.0)
    assert cancelled.outcome is Outcome.OK


@pytest.mark.parametrize("dialect", ["api", "rest"])
@pytest.mark.parametrize("status", [200, 202, 203, 204, 206])
@pytest.mark.parametrize(
    "body",
    [
        PAGE,
        b"OK",
        b'""',
        b"true",
        b"0",
        b"[]",
        b'"T"',
        b'{"status":"ok"}',
        b'{"value":[]}',
        b'{"value":null,"x":1}',
        b'{"value":{"value":null}}',
        b"\xff",
        b"[" * 100_000,
        b"{}" * 1000,
    ],
)
async def test_anything_else_counts_against_the_vcenter(
    status: int, body: bytes, dialect: str
) -> None:
    client = client_of(lambda _: Response(status, HTML, body), dialect=dialect)
    for answer in (await keep_alive(client), await client.cancel(Kind.UPDATE, "a", timeout=5.0)):
        assert answer.outcome is Outcome.UNAVAILABLE
        assert answer.outcome.is_vcenter_failure
    if status == 200:
        assert answer.detail.startswith("the answer cannot be read: ")
        assert answer.detail.endswith("(text/html); something answers in the vCenter's place")


@pytest.mark.parametrize("body", [PAGE, b'{"status":"ok"}', b'"x"', b'{"value":{"status":"ok"}}'])
@pytest.mark.parametrize("dialect", ["api", "rest"])
async def test_what_is_read_has_its_form_too(body: bytes, dialect: str) -> None:
    client = client_of(lambda _: Response(200, HTML, body), dialect=dialect)
    answers: list[Answer[Any]] = [
        await client.get(Kind.UPDATE, "a", timeout=5.0),
        await client.list(Kind.UPDATE, timeout=5.0),
        await client.files(Kind.UPDATE, "a", timeout=5.0),
        await client.item("i", timeout=5.0),
        await client.who_am_i(timeout=5.0),
    ]
    # The last one has no token yet, but for the login that succeeded.
    assert {each.outcome for each in answers} == {Outcome.UNAVAILABLE}
    assert all(each.value is None for each in answers)


async def test_a_page_is_no_vcenter_where_there_are_no_credentials() -> None:
    client = client_of(lambda _: Response(200, HTML, PAGE), user=None)
    assert (await client.who_am_i(timeout=5.0)).outcome is Outcome.UNAVAILABLE


async def test_a_page_for_a_list_does_not_prove_that_a_session_is_gone() -> None:
    def front(request: Request) -> Response:
        is_list = request.target.endswith("update-session")
        return Response(200, HTML, PAGE) if is_list else Response(404, HTML, PAGE)

    answer = await keep_alive(client_of(front))
    assert answer.outcome is Outcome.UNAVAILABLE


def messages(words: str) -> bytes:
    said = {"id": "some.id", "default_message": words, "args": []}
    return json.dumps({"error_type": "UNAUTHENTICATED", "messages": [said]}).encode()


@pytest.mark.parametrize(
    ("fields", "body", "told"),
    [
        (JSON, messages("The account is locked."), ": The account is locked."),
        ({"content-type": "text/plain"}, b"account is locked\n", ": account is locked"),
        (JSON, messages(f"no: {PASSWORD}"), ": no: ***"),
        (HTML, PAGE, ""),
        ({}, b"", ""),
    ],
)
async def test_a_refused_login_tells_the_servers_words(
    fields: dict[str, str], body: bytes, told: str
) -> None:
    async def refuse(_: Request) -> Response:
        return Response(401, fields, body)

    answer = await client_with(refuse).who_am_i(timeout=5.0)
    assert answer.outcome is Outcome.LOGIN_REFUSED
    assert answer.detail == f"the credentials of u were refused{told}"


async def test_a_forbidden_page_is_no_refusal_of_credentials() -> None:
    async def proxy(_: Request) -> Response:
        return Response(403, HTML, PAGE)

    async def vcenter(_: Request) -> Response:
        return Response(403, JSON, messages("No."))

    assert (await client_with(proxy).who_am_i(timeout=5.0)).outcome is Outcome.UNAVAILABLE
    assert (await client_with(vcenter).who_am_i(timeout=5.0)).outcome is Outcome.LOGIN_REFUSED


async def test_credentials_that_have_just_worked_are_tried_again_soon_and_once() -> None:
    clock = LoopClock()
    tried: list[float] = []

    async def vcenter(request: Request) -> Response:
        if request.headers.get("authorization") is None:
            return Response(401, JSON, messages("Who?"))
        tried.append(clock.boot())
        return (
            Response(201, JSON, json.dumps(TOKEN).encode())
            if len(tried) == 1
            else (Response(401, JSON, messages("The directory is out of order.")))
        )

    logins: list[LoginOutcome] = []
    client = client_with(vcenter, on_login=logins.append)
    began = clock.boot()
    while clock.boot() - began < 200:
        await keep_alive(client)
        await asyncio.sleep(1)
    assert [round(each - began) for each in tried] == [0, 0, 10, 70, 130, 190]


def encodings(secret: str) -> list[str]:
    """A secret in the ways in which servers repeat what they were sent."""
    content = secret.encode()
    plain = json.dumps(secret)[1:-1]
    codes = [
        secret,
        secret.upper(),
        quote(secret),
        quote(secret, safe=""),
        quote_plus(secret),
        "".join(f"%{each:02x}" for each in content),
        plain,
        json.dumps(secret, ensure_ascii=False)[1:-1],
        json.dumps(plain)[1:-1],
        "".join(f"\\u{ord(each):04X}" for each in secret),
        html.escape(secret),
        "".join(f"&#{ord(each)};" for each in secret),
        "".join(f"&#x{ord(each):X};" for each in secret),
        content.hex(),
        content.hex().upper(),
        repr(content)[2:-1],
        html.escape(quote(secret)),
        quote(plain, safe=""),
    ]
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        for before in (b"", b"u", b"u:", b"usr"):
            for after in (b"", b"!", b"!!"):
                code = encode(before + content + after).decode()
                codes += [code, code.rstrip("="), quote(code, safe="")]
    return codes


@pytest.mark.parametrize("secret", [TOKEN, PASSWORD, "b4l-uv0-5"])
def test_a_secret_is_hidden_in_every_encoding(secret: str) -> None:
    secrets = Secrets([secret])
    for code in encodings(secret):
        shown = secrets.hide(f"before {code} behind {code}.")
        assert shown.startswith("before ")
        assert "***" in shown
        assert code[2:-6] not in shown, code
        assert shown.count("***") == 2, code
    innocent = "image-%41.ova & co + \\u0041 — 100 % of aGVsbG8gd29ybGQ="
    assert secrets.hide(innocent) == innocent


@pytest.mark.parametrize(
    "unit", ["&", "%41", "%", "&amp", "\\u0041", "\\", "+", TOKEN[:-1], TOKEN, "a%4"]
)
def test_hiding_takes_time_in_proportion_to_the_text(unit: str) -> None:
    secrets = Secrets([TOKEN, PASSWORD])

    def seconds(size: int) -> float:
        text = (unit * size)[:size]
        begun = time.process_time()
        for _ in range(4):
            secrets.hide(text)
        return time.process_time() - begun

    short = min(seconds(4_000) for _ in range(3))
    long = min(seconds(16_000) for _ in range(3))
    assert long < 16 * short
    # What is longer than anybody reads is cut before.
    assert min(seconds(1_000_000) for _ in range(3)) < 16 * short


@pytest.mark.parametrize("secret", [TOKEN, PASSWORD, base64.b64encode(f"u:{PASSWORD}".encode())])
@pytest.mark.parametrize("dialect", ["api", "rest"])
async def test_no_text_of_a_success_shows_a_secret(secret: str | bytes, dialect: str) -> None:
    secret = secret if isinstance(secret, str) else secret.decode()
    for code in encodings(secret):
        said = {"id": "x", "default_message": f"it was {code}", "args": []}
        session = {"id": code, "state": "ERROR", "error_message": said, "library_item_id": code}
        file = {"name": f"{code}.ova", "status": "ERROR", "error_message": said}
        item = {"id": "i", "name": code, "content_version": code, "library_id": code}
        answers: dict[str, Any] = {"file": [file], "/a": session, "item/i": item, ":i": item}
        answers |= {"file?update_session_id=a": [file], "id:a": session, "update-session": [code]}

        def vcenter(request: Request, answers: dict[str, Any] = answers) -> Response:
            value = next(value for end, value in answers.items() if request.target.endswith(end))
            value = value if dialect == "api" else {"value": value}
            return Response(200, JSON, json.dumps(value).encode())

        client = client_of(vcenter, dialect=dialect)
        got: list[Answer[Any]] = [
            await client.get(Kind.UPDATE, "a", timeout=5.0),
            await client.files(Kind.UPDATE, "a", timeout=5.0),
            await client.item("i", timeout=5.0),
            await client.list(Kind.UPDATE, timeout=5.0),
        ]
        for answer in got:
            assert answer.outcome is Outcome.OK
            assert code[2:-6] not in str(answer.value), code
            assert "***" in str(answer.value)


async def test_a_secret_that_is_cut_is_not_shown_in_part() -> None:
    words = "x" * 990 + TOKEN
    said = {"id": "x", "default_message": words, "args": []}
    session = {"id": "a", "state": "ERROR", "error_message": said}
    client = client_of(lambda _: Response(200, JSON, json.dumps(session).encode()))
    info = (await client.get(Kind.UPDATE, "a", timeout=5.0)).value
    assert info is not None
    assert info.error_message == "x" * 990 + "***"
    long = Secrets([TOKEN]).hide(TOKEN * 10_000)
    assert TOKEN[:5] not in long
