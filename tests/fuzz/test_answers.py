"""Arbitrary answers of a vCenter, or of another server at its address."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keepalived.lease.answers import Answer, Outcome
from keepalived.lease.model import Kind
from keepalived.settings import VCenterSettings
from keepalived.simulator.wire import Request, Response
from keepalived.validation import validate
from keepalived.vcenter.classify import describe_error, outcome_of, read_refusal
from keepalived.vcenter.client import Client
from keepalived.vcenter.hiding import Secrets
from keepalived.vcenter.parsing import retry_after
from keepalived.vcenter.transport import Reply
from tests.fuzz.damage import EXAMPLES, SECRET, damaged, fuzzed, objects, values
from tests.support.engine import LoopClock
from tests.support.memory_transport import MemoryTransport

pytestmark = pytest.mark.timeout(300 + EXAMPLES)

TOKEN = "T0k3n-0f-S0meb0dy"
HIDDEN = (SECRET, TOKEN)
ECHO = "<echo>"
"""A placeholder for the request's secret, since some servers repeat the request."""

statuses = st.sampled_from([200, 202, 204, 206, 301, 400, 401, 403, 404, 409, 429, 500, 503]) | (
    st.integers(100, 999)
)
texts = st.text(max_size=12) | st.sampled_from([ECHO, "\x1b[31m", "NOT_FOUND"])
dates = st.sampled_from(
    ["Fri, 15 Jan 2027 08:00:00 GMT", "2027-01-15T08:05:00.000Z", "9999-12-31T23:59:59-23:59", "0"]
)
messages = objects({"id": texts, "default_message": texts, "args": st.lists(texts, max_size=2)})
refusals = objects(
    {
        "error_type": st.sampled_from(["NOT_FOUND", "INVALID_ARGUMENT"]) | texts,
        "type": st.just("com.vmware.vapi.std.errors.not_allowed_in_current_state") | texts,
        "messages": st.lists(messages, max_size=2),
        "value": objects({"messages": st.lists(messages, max_size=2)}),
    }
)
sessions = objects(
    {
        "id": texts,
        "state": st.sampled_from(["ACTIVE", "DONE", "ERROR"]) | texts,
        "library_item_id": texts,
        "library_item_content_version": st.integers(0, 9).map(str),
        "client_progress": st.integers(0, 100),
        "expiration_time": dates,
        "error_message": messages,
    }
)
files = st.lists(
    objects({"name": texts, "status": texts, "bytes_transferred": st.integers(), "size": values}),
    max_size=3,
)
said = sessions | refusals | files | st.lists(texts, max_size=3) | values
bodies = damaged(
    (said | st.fixed_dictionaries({"value": said})).map(lambda each: json.dumps(each).encode())
    | st.binary(max_size=40)
)
headers = st.dictionaries(
    st.sampled_from(["date", "retry-after", "location"]),
    dates
    | texts
    | st.sampled_from(
        ["5", "-1", "nan", "1e999", "http://[", f"https://x/{ECHO}", f"https://{ECHO}/"]
    ),
)
responses = st.builds(Response, statuses, headers, bodies)


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


def told(words: str) -> bool:
    """Whether a text contains a secret, ignoring case."""
    return any(secret.lower() in words.lower() for secret in HIDDEN)


def echoed(fields: Mapping[str, str], body: bytes, secret: str) -> tuple[dict[str, str], bytes]:
    """Return headers and body with the request's secret in place of the placeholder."""
    said = {name: value.replace(ECHO, secret) for name, value in fields.items()}
    return said, body.replace(ECHO.encode(), secret.encode())


@given(statuses, headers, bodies)
@fuzzed
def test_any_answer_has_a_class_and_words(status: int, fields: dict[str, str], body: bytes) -> None:
    reply = Reply(status, *echoed(fields, body, TOKEN))
    assert (outcome_of(reply) is Outcome.OK) is (200 <= status < 300)
    words = describe_error(reply, Secrets(HIDDEN))
    assert words.isprintable()
    assert words.startswith(f"HTTP {status}")
    assert not told(words)
    read_refusal(reply.body)
    seconds = retry_after(fields)
    assert seconds is None or 0 <= seconds < float("inf")


@given(st.lists(responses, min_size=1, max_size=6), st.booleans())
@fuzzed
def test_a_client_takes_any_answers_and_raises_nothing(
    runner: asyncio.Runner, answers: list[Response], is_lent: bool
) -> None:
    turns = iter(range(10_000))

    async def handle(request: Request) -> Response:
        turn = next(turns)
        if request.method == "POST" and request.target.endswith("/session") and turn == 0:
            return Response(201, {}, json.dumps(TOKEN).encode())
        answer = answers[turn % len(answers)]
        carried = request.headers.get("vmware-api-session-id", SECRET)
        return Response(answer.status, *echoed(answer.headers, answer.body, carried))

    async def ask() -> list[Answer[Any]]:
        environ = {"url": "http://vc.test", "username": "u", "password_env": "FUZZ_PASSWORD"}
        settings = validate(VCenterSettings, environ)
        client = Client("lab", settings, MemoryTransport(handle), LoopClock())
        how: dict[str, Any] = {"timeout": 5.0, "token": TOKEN if is_lent else None}
        return [
            await client.keep_alive(Kind.UPDATE, "a:b", 5, **how),
            await client.get(Kind.DOWNLOAD, "a:b", **how),
            await client.list(Kind.UPDATE, **how),
            await client.files(Kind.UPDATE, "a:b", **how),
            await client.item("item-1", **how),
            await client.cancel(Kind.UPDATE, "a:b", **how),
            await client.who_am_i(**how),
        ]

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FUZZ_PASSWORD", SECRET)
        answered = runner.run(ask())
    for answer in answered:
        assert answer.detail.isprintable()
        assert not told(answer.detail)
        assert answer.outcome is Outcome.OK or answer.value is None
