"""Errors of requests have one form; excessive requests are refused."""

from __future__ import annotations

import asyncio
import json
import socket
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from yarl import URL

from keepalived.control.limits import DEFAULT_LIMITS
from keepalived.lease.events import VCenterUp
from keepalived.settings import Reloaded
from tests.support.control import Caller, Control, running_control, stream
from tests.support.programs import needs

SESSION = "/v1/sessions/lab/session-1"


def complaints(body: Any) -> dict[str, str]:
    return {error["field"]: error["message"] for error in body["errors"]}


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({}, 400, "body.owner"),
        ({"owner": {}}, 400, "body.owner"),
        ({"owner": "me"}, 400, "body.owner"),
        ({"owner": {"pid": "123"}}, 400, "body.owner.pid"),
        ({"owner": {"pid": 0}}, 400, "body.owner.pid"),
        ({"owner": {"pid": True}}, 400, "body.owner.pid"),
        ({"owner": {"ttl": "soon"}}, 400, "body.owner.ttl"),
        ({"owner": {"ttl": "0s"}}, 400, "body.owner.ttl"),
        ({"owner": {"ttl": -1}}, 400, "body.owner.ttl"),
        ({"owner": {"ttl": "9999d"}}, 422, "body.owner.ttl"),
        ({"owner": {"ttl": "1m", "pid": 1}}, 400, "body.owner.ttl"),
        ({"owner": {"connection": False}}, 400, "body.owner.connection"),
        ({"owner": None, "progress": 101}, 400, "body.progress"),
        ({"owner": None, "progress": "40"}, 400, "body.progress"),
        ({"owner": None, "bytes_done": -1}, 400, "body.bytes_done"),
        ({"owner": None, "bytes_done": 2**63}, 400, "body.bytes_done"),
        ({"owner": None, "unknown": 1}, 400, "body.unknown"),
        ({"owner": None, "note": "\x1b[2J"}, 400, "body.note"),
        ({"owner": None, "note": "x" * 501}, 400, "body.note"),
        ({"owner": None, "progress": 1, "bytes_done": 1}, 422, "body"),
        ({"owner": None, "bytes_done": 2, "bytes_total": 1}, 422, "body"),
        ({"owner": {"ttl": "1m"}, "max_lifetime": "1h"}, 422, "body"),
    ],
)
async def test_a_body_that_cannot_be_meant_is_refused_by_the_part(
    control: Control, me: Caller, body: object, status: int, field: str
) -> None:
    refused = await me.put(SESSION, body)

    assert refused.status == status
    assert refused.headers["Content-Type"] == "application/problem+json"
    assert field in complaints(refused.body)
    assert len(control.registry) == 0


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"[]", b"null", b"\xff", b"[" * 10_000, b'{"owner":NaN}']
)
async def test_a_body_that_is_no_object_is_refused(me: Caller, raw: bytes) -> None:
    refused = await me.send("PUT", SESSION, data=raw)

    assert refused.status == 400
    assert refused.body["type"] == "urn:clkeepalived:problem:malformed-request"
    assert refused.body["instance"] == SESSION


@pytest.mark.parametrize("key", ["\x01" * 2000, "a b", "a" * 10_000, ""])
async def test_a_key_that_is_no_name_is_not_repeated(me: Caller, key: str) -> None:
    refused = await me.put(SESSION, {"owner": None, key: 1})
    assert refused.status == 400
    assert [each["field"] for each in refused.body["errors"]] == ["body"]
    assert len(json.dumps(refused.body)) < 1000


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/v1/sessions/lab/a%20b", "path.id"),
        ("/v1/sessions/lab/..%2Fx", "path.id"),
        ("/v1/sessions/lab/" + "x" * 256, "path.id"),
        ("/v1/sessions/la%2Fb/x", "path.vcenter"),
        (f"{SESSION}?kind=other", "query.kind"),
        (f"{SESSION}?knid=update", "query.knid"),
        (f"{SESSION}?kind=update&kind=download", "query.kind"),
        ("/v1/sessions?mine=1", "query.mine"),
        ("/v1/sessions?state=active", "query.state.0"),
    ],
)
async def test_a_path_or_a_query_that_cannot_be_meant_is_refused(
    me: Caller, path: str, field: str
) -> None:
    refused = await me.send("GET", URL(path, encoded=True))

    assert refused.status == 400
    assert list(complaints(refused.body)) == [field]


async def test_what_does_not_exist_says_where_to_look(me: Caller) -> None:
    missing = await me.get("/v2/sessions")
    method = await me.send("DELETE", "/v1/status")

    assert (missing.status, method.status) == (404, 405)
    assert "/openapi.json" in missing.body["detail"]
    assert method.headers["Allow"] == "GET"
    assert "use GET" in method.body["detail"]
    assert set(missing.body) == {"type", "title", "status", "detail", "instance"}


async def test_a_failure_of_ours_tells_the_log_and_not_the_caller(
    control: Control, me: Caller, capfd: pytest.CaptureFixture[str]
) -> None:
    async def reload() -> Reloaded:
        raise RuntimeError("a secret detail")

    control.reload = reload
    failed = await me.post("/v1/reload")

    assert failed.status == 500
    assert "secret" not in json.dumps(failed.body)
    assert "request_failed" in failed.body["detail"]
    assert "a secret detail" in "".join(capfd.readouterr())


async def test_a_configuration_that_is_refused_says_why(control: Control, me: Caller) -> None:
    async def reload() -> Reloaded:
        return Reloaded(applied=False, problems=("config.yaml:3: no such key",))

    control.reload = reload
    refused = await me.post("/v1/reload")

    assert refused.status == 422
    assert complaints(refused.body) == {"configuration": "config.yaml:3: no such key"}


@needs("curl")
async def test_curl_s_idea_of_a_content_type_does_not_matter(control: Control) -> None:
    answer = await control.curl("PUT", f"/v1/sessions/-/{control.open()}", {"owner": None})

    assert answer.status == 201


# -- limits


async def test_a_body_that_is_too_large_is_not_read(me: Caller) -> None:
    body = {"owner": None, "note": "x" * DEFAULT_LIMITS.body_bytes}

    refused = await me.put(SESSION, body)

    assert refused.status == 413
    assert str(DEFAULT_LIMITS.body_bytes) in refused.body["detail"]


async def test_a_head_that_is_too_large_is_not_read(me: Caller) -> None:
    long = await me.http.get("/v1/status", headers={"X-Long": "x" * 10_000})
    many = await me.http.get("/v1/status", headers={f"X-{n}": "x" for n in range(100)})

    assert (long.status, many.status) == (400, 400)


@pytest.mark.looptime
async def test_a_body_that_does_not_come_is_not_waited_for(control: Control) -> None:
    reader, writer = await asyncio.open_unix_connection(str(control.path))
    started = control.clock.boot()
    writer.write(f"PUT {SESSION} HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{{".encode())
    async with asyncio.timeout(2 * DEFAULT_LIMITS.body_seconds):
        assert (await reader.readline()).startswith(b"HTTP/1.1 408")
    assert control.clock.boot() - started >= DEFAULT_LIMITS.body_seconds
    writer.close()


@pytest.mark.looptime
@pytest.mark.parametrize("begun", [b"", b"GET /v1/status HTTP/1.1\r\nHost:"])
async def test_a_request_that_does_not_come_is_not_waited_for(
    control: Control, begun: bytes
) -> None:
    reader, writer = await asyncio.open_unix_connection(str(control.path))
    started = control.clock.boot()
    writer.write(begun)
    async with asyncio.timeout(2 * DEFAULT_LIMITS.request_seconds):
        assert await reader.read() == b""
    assert control.clock.boot() - started >= DEFAULT_LIMITS.request_seconds
    writer.close()


@pytest.mark.looptime
async def test_a_connection_that_is_kept_idle_is_closed(control: Control) -> None:
    reader, writer = await asyncio.open_unix_connection(str(control.path))
    writer.write(b"GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n")
    async with asyncio.timeout(3 * DEFAULT_LIMITS.request_seconds):
        assert (await reader.read()).startswith(b"HTTP/1.1 200")
    writer.close()


@pytest.mark.looptime
async def test_a_list_that_nobody_reads_is_given_up(control: Control, me: Caller) -> None:
    for _ in range(400):
        await me.put(f"/v1/sessions/lab/{control.open()}", {"owner": None})
    reader, writer = await asyncio.open_unix_connection(str(control.path), limit=1)
    request = b"GET /v1/sessions HTTP/1.1\r\nHost: x\r\n\r\n"
    writer.write(request)
    assert await reader.read(4) == b"HTTP"
    # Nothing more is read: what is left fills the buffers of both sides.
    async with asyncio.timeout(10 * DEFAULT_LIMITS.request_seconds):
        while not writer.is_closing():
            writer.write(request)
            with suppress(ConnectionError):
                await writer.drain()
            await asyncio.sleep(5)


# -- events


async def test_events_tell_of_one_vcenter_or_one_session(control: Control, me: Caller) -> None:
    first, second = control.open(), control.open()
    async with (
        stream(control, "GET", f"/v1/events?id={first}") as of_one,
        stream(control, "GET", "/v1/events?vcenter=-") as of_all,
        stream(control, "GET", "/v1/events?vcenter=elsewhere") as of_none,
    ):
        for each in (of_one, of_all, of_none):
            assert each.response.headers["Content-Type"] == "application/x-ndjson"
            assert (await each.line())["event"] == "stream_started"
        await me.put(f"/v1/sessions/lab/{second}", {"owner": None})
        await me.put(f"/v1/sessions/lab/{first}", {"owner": None})
        await me.delete(f"/v1/sessions/lab/{first}")

        ended = await of_all.until("session_ended")
        assert ended["id"] == first
        told = [await of_one.line()]
        while told[-1]["event"] != "session_ended":
            told.append(await of_one.line())
        assert {event["id"] for event in told} == {first}
        await control.stop()
        assert await of_none.line() is None


async def test_a_reader_that_is_behind_is_told_what_it_missed(tmp_path: Path) -> None:
    limits = replace(DEFAULT_LIMITS, events_waiting=3)
    async with (
        running_control(tmp_path, limits=limits) as control,
        stream(control, "GET", "/v1/events") as events,
    ):
        await events.line()
        for number in range(10):
            control.bus.notify(VCenterUp("lab", number))

        heard = [await events.line() for _ in range(4)]

    assert [line["event"] for line in heard] == ["vcenter_up"] * 3 + ["events_lost"]
    assert heard[-1]["count"] == 7


async def test_a_listener_who_leaves_in_mid_stream_is_no_failure(
    control: Control, caplog: pytest.LogCaptureFixture
) -> None:
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.setblocking(False)
        await loop.sock_connect(listener, str(control.path))
        await loop.sock_sendall(listener, b"GET /v1/events HTTP/1.1\r\nHost: x\r\n\r\n")
        async with asyncio.timeout(120):
            while b"stream_started" not in await loop.sock_recv(listener, 4096):
                pass
    # All of it before the daemon's loop turns, and can see that the connection is closed.
    for number in range(3):
        control.bus.notify(VCenterUp("lab", number))
    await asyncio.sleep(0.05)

    assert caplog.records == []


async def test_a_stop_ends_streams_and_lets_requests_finish(control: Control, me: Caller) -> None:
    session_id = control.open()
    control.disk.is_ready.clear()
    async with stream(control, "GET", "/v1/events") as events:
        await events.line()
        put = asyncio.create_task(me.put(f"/v1/sessions/lab/{session_id}", {"owner": None}))
        await control.until(lambda: control.holds(session_id))

        stopping = asyncio.create_task(control.stop())
        while await events.line() is not None:
            pass
        control.disk.is_ready.set()
        await stopping

    assert (await put).status == 201
    assert [key.id for key in control.disk.written] == [session_id]
    await control.server.stop()  # once more changes nothing
    await control.start()


@pytest.mark.parametrize("ttl", ["367d", "537580528.974d355.483s"])
async def test_a_duration_that_is_too_long_has_the_right_form(me: Caller, ttl: str) -> None:
    answer = await me.put("/v1/sessions/lab/815994e5", {"owner": {"ttl": ttl}})
    assert (answer.status, answer.body["detail"][:14]) == (422, "body.owner.ttl")
    assert "at most 366 days" in answer.body["detail"]
