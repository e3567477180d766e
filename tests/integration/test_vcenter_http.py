"""The transport over real sockets: what it sends, what it never sends, and how it fails."""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from keepalived.host.clock import SystemClock
from keepalived.lease.answers import Outcome
from keepalived.lease.model import Kind
from keepalived.settings import VCenterSettings
from keepalived.vcenter.client import Client
from keepalived.vcenter.http import HttpTransport
from keepalived.vcenter.transport import (
    ConnectFailed,
    Reply,
    StaleConnection,
    TimedOut,
    TransportError,
)
from keepalived.vcenter.wire import BODY_MOST
from tests.support.peers import NO_CONTENT, Scripted, answer, listening, read_request

LOGGED_IN = answer(b'"T0KEN-0123456789"', "201 Created")
TOKEN = {"vmware-api-session-id": "T0KEN-0123456789"}


class Names(AbstractResolver):
    """Knows every name as this machine, until it fails."""

    fails = False

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        if self.fails:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return [
            ResolveResult(
                hostname=host,
                host="127.0.0.1",
                port=port,
                family=socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
        ]

    async def close(self) -> None:
        pass


@asynccontextmanager
async def transport_to(
    port: int, *, host: str = "127.0.0.1", resolver: AbstractResolver | None = None
) -> AsyncIterator[HttpTransport]:
    settings = VCenterSettings.model_validate({"url": f"http://{host}:{port}"})
    transport = HttpTransport(settings, resolver=resolver)
    try:
        yield transport
    finally:
        await transport.close()


@asynccontextmanager
async def client_to(port: int) -> AsyncIterator[Client]:
    settings = VCenterSettings.model_validate(
        {"url": f"http://127.0.0.1:{port}", "username": "somebody", "password_env": "HOME"}
    )
    client = Client("lab", settings, HttpTransport(settings), SystemClock())
    try:
        yield client
    finally:
        await client.close(timeout=1.0)


async def post(transport: HttpTransport, path: str = "/x", timeout: float = 5.0) -> Reply:
    return await transport.send("POST", path, TOKEN, b"{}", timeout)


async def failure(transport: HttpTransport, timeout: float = 5.0) -> TransportError:
    with pytest.raises(TransportError) as caught:
        await post(transport, timeout=timeout)
    assert "T0KEN" not in str(caught.value)
    return caught.value


# What is sent


async def test_requests_and_replies() -> None:
    server = Scripted([answer(b"body", "418 I'm a teapot", "Retry-After: 7", "X-Odd: ä")])
    async with listening(server) as port, transport_to(port) as transport:
        reply = await post(transport, "/a/b?~action=keep-alive&c=d:e")
    assert (reply.status, reply.body) == (418, b"body")
    assert reply.headers.get("retry-after") == "7"
    (request,) = server.requests
    assert request.startswith("POST /a/b?~action=keep-alive&c=d:e HTTP/1.1\r\n")
    fields = dict(line.split(": ", 1) for line in request.lower().splitlines()[1:] if line)
    assert fields["vmware-api-session-id"] == "t0ken-0123456789"
    assert fields["content-length"] == "2"
    assert fields["user-agent"].startswith("clkeepalived/")
    assert fields["accept"] == "application/json"


async def test_a_path_is_sent_as_it_stands() -> None:
    """Else an id of dots and slashes would reach another endpoint, with the token."""
    server = Scripted([NO_CONTENT])
    path = "/api/content/library/item/update-session/../../../../session/%2e%2e?action=x"
    async with listening(server) as port, transport_to(port) as transport:
        await post(transport, path)
    assert server.requests[0].split(" ")[1] == path


async def test_a_clients_id_of_dots_and_slashes_is_not_sent_at_all() -> None:
    server = Scripted([LOGGED_IN, NO_CONTENT])
    async with listening(server) as port, client_to(port) as client:
        answered = await client.cancel(Kind.UPDATE, "../../session", timeout=5.0)
        assert answered.outcome is Outcome.FAILED
        assert server.requests == []


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "307 Temporary", "308 Permanent"])
async def test_a_token_never_follows_a_redirect(status: str) -> None:
    elsewhere = Scripted([NO_CONTENT])
    async with listening(elsewhere) as there:
        moved = answer(b"", status, f"Location: http://127.0.0.1:{there}/stolen")
        async with listening(Scripted([LOGGED_IN, moved])) as port, client_to(port) as client:
            renewed = await client.keep_alive(Kind.UPDATE, "a", None, timeout=5.0)
    assert renewed.outcome is Outcome.REDIRECTED
    assert "redirected to 127.0.0.1, where no token is sent" in renewed.detail
    assert elsewhere.requests == []


async def test_cookies_are_never_sent_back() -> None:
    cookie = "Set-Cookie: vmware-api-session-id=C00KIE; Path=/"
    server = Scripted([answer(b"", "200 OK", cookie)])
    async with listening(server) as port, transport_to(port) as transport:
        await post(transport)
        await post(transport)
    assert not any("cookie" in request.lower() for request in server.requests)


async def test_netrc_is_never_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / ".netrc"
    netrc.write_text("default login somebody password from-netrc\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HOME", str(tmp_path))
    server = Scripted([NO_CONTENT])
    async with listening(server) as port, transport_to(port) as transport:
        await post(transport)
    assert "authorization" not in server.requests[0].lower()


async def test_connections_are_used_again() -> None:
    server = Scripted([NO_CONTENT])
    async with listening(server) as port, transport_to(port) as transport:
        for _ in range(10):
            await post(transport)
        assert server.connections == 1


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/x", {"vmware-api-session-id": "T0KEN\r\nx-more: 1"}),
        ("/x", {"vmware-api-session-id": "T0KEN\n"}),
        ("/x HTTP/1.1\r\n\r\nDELETE /y", {}),
        ("/x HTTP/1.1", {}),
    ],
)
async def test_one_request_never_becomes_two(path: str, headers: dict[str, str]) -> None:
    server = Scripted([NO_CONTENT])
    async with listening(server) as port, transport_to(port) as transport:
        with pytest.raises(ConnectFailed) as caught:
            await transport.send("POST", path, headers, b"{}", 5.0)
        assert "T0KEN" not in str(caught.value)
        assert (await post(transport)).status == 204
    assert len(server.requests) == 1


async def test_a_body_is_announced_and_none_is_not() -> None:
    server = Scripted([NO_CONTENT])
    async with listening(server) as port, transport_to(port) as transport:
        await transport.send("GET", "/x", {}, b"", 5.0)
        await transport.send("DELETE", "/x", {}, b"", 5.0)
    read, deleted = (request.lower() for request in server.requests)
    assert "content-length" not in read
    assert "content-length: 0\r\n" in deleted


# Connections that are closed


async def test_a_pooled_connection_that_was_closed_is_stale() -> None:
    server = Scripted([NO_CONTENT, None, NO_CONTENT])
    async with listening(server) as port, transport_to(port) as transport:
        await post(transport)
        assert isinstance(await failure(transport), StaleConnection)
        assert (await post(transport)).status == 204


async def test_a_fresh_connection_that_is_closed_is_a_failure() -> None:
    async with listening(Scripted([None])) as port, transport_to(port) as transport:
        for _ in range(2):
            error = await failure(transport)
            assert type(error) is ConnectFailed
            assert str(error) == "the server closed the connection instead of answering"


@pytest.mark.parametrize("answered_before", [0, 1])
async def test_a_connection_that_is_reset(answered_before: int) -> None:
    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(answered_before):
            await read_request(reader)
            writer.write(NO_CONTENT)
        await read_request(reader)
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    async with listening(reset) as port, transport_to(port) as transport:
        for _ in range(answered_before):
            await post(transport)
        error = await failure(transport)
    assert isinstance(error, StaleConnection) == bool(answered_before)
    assert str(error) in (
        "Connection reset by peer",
        "the server closed the connection instead of answering",
    )


async def test_a_stale_connection_is_no_failure_of_the_request() -> None:
    server = Scripted([LOGGED_IN, NO_CONTENT, None, NO_CONTENT])
    async with listening(server) as port, client_to(port) as client:
        for _ in range(2):
            renewed = await client.keep_alive(Kind.UPDATE, "a", None, timeout=5.0)
            assert renewed.outcome is Outcome.OK
    keep_alives = [each for each in server.requests if "keep-alive" in each.split("\r\n")[0]]
    assert len(keep_alives) == 3
    assert server.connections == 2


async def test_a_stale_connection_is_tried_once_more_only() -> None:
    server = Scripted([LOGGED_IN, NO_CONTENT, None])
    async with listening(server) as port, client_to(port) as client:
        await client.keep_alive(Kind.UPDATE, "a", None, timeout=5.0)
        renewed = await client.keep_alive(Kind.UPDATE, "a", None, timeout=5.0)
        assert renewed.outcome is Outcome.UNREACHABLE
        keep_alives = [each for each in server.requests if "keep-alive" in each.split("\r\n")[0]]
        assert len(keep_alives) == 1 + 2


async def test_what_a_server_says_unasked_is_no_answer() -> None:
    """As a proxy's 408 for a connection that was idle for long."""
    unasked = answer(b"", "408 Request Timeout")
    connections = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        while await read_request(reader):
            writer.write(NO_CONTENT + (unasked if connections == 1 else b""))

    async with listening(serve) as port, transport_to(port) as transport:
        for _ in range(3):
            assert (await post(transport)).status == 204
        assert connections == 2


async def test_a_connection_that_was_too_slow_is_not_used_again() -> None:
    slow = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while request := await read_request(reader):
            if "/slow" in request:
                await slow.wait()
            writer.write(answer(request.split(" ")[1].encode()))

    async with listening(serve) as port, transport_to(port) as transport:
        await post(transport, "/quick")
        with pytest.raises(TimedOut):
            await post(transport, "/slow", timeout=0.2)
        slow.set()
        assert (await post(transport, "/quick")).body == b"/quick"


async def test_a_body_without_a_length_that_does_not_end() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n[")
        await asyncio.Event().wait()

    async with listening(serve) as port, transport_to(port) as transport:
        assert isinstance(await failure(transport, timeout=0.2), TimedOut)


async def test_interim_answers_are_passed_over() -> None:
    server = Scripted([b"HTTP/1.1 102 Processing\r\n\r\n" + answer(b"done")])
    async with listening(server) as port, transport_to(port) as transport:
        for _ in range(2):
            assert (await post(transport)).body == b"done"
        assert server.connections == 1


async def test_no_more_requests_at_once_than_there_is_leave_for() -> None:
    at_once = most = 0
    go_on = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal at_once, most
        while await read_request(reader):
            at_once += 1
            most = max(most, at_once)
            await go_on.wait()
            at_once -= 1
            writer.write(NO_CONTENT)

    async with listening(serve) as port, transport_to(port) as transport:
        first = [asyncio.create_task(post(transport)) for _ in range(10)]
        late = (post(transport, timeout=0.2) for _ in range(20))
        done = await asyncio.gather(*late, return_exceptions=True)
        # Waiting for a turn counts as well.
        assert {type(each) for each in done} == {TimedOut}
        go_on.set()
        replies = await asyncio.gather(*first, *(post(transport) for _ in range(30)))
        assert {reply.status for reply in replies} == {204}
        assert most == 8 + 2


async def test_connections_that_are_not_used_are_closed_in_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("keepalived.vcenter.wire.IDLE_SECONDS", 0.2)
    over = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await read_request(reader):
            writer.write(NO_CONTENT)
        over.set()

    async with listening(serve) as port, transport_to(port) as transport:
        await post(transport)
        async with asyncio.timeout(10.0):
            await over.wait()
        assert (await post(transport)).status == 204


# Names


async def test_the_last_good_addresses_serve_when_dns_fails() -> None:
    names = Names()
    closing = answer(b"", "200 OK", "Connection: close")
    server = Scripted([closing])
    async with (
        listening(server) as port,
        transport_to(port, host="vcsa.test", resolver=names) as transport,
    ):
        await post(transport)
        names.fails = True
        await post(transport)
        assert server.connections == 2
    async with transport_to(port, host="vcsa.test", resolver=names) as transport:
        assert str(await failure(transport)) == "the name vcsa.test cannot be resolved"


# Answers that are none


async def test_nobody_listens() -> None:
    async with listening(Scripted([])) as port:
        pass
    async with transport_to(port) as transport:
        error = await failure(transport)
    assert str(error) == f"cannot connect to 127.0.0.1:{port}: Connection refused"


@pytest.mark.parametrize("before", [b"", b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf"])
async def test_a_server_that_hangs(before: bytes) -> None:
    async def hang(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(before)
        await asyncio.Event().wait()

    async with listening(hang) as port, transport_to(port) as transport:
        started = time.monotonic()
        error = await failure(transport, timeout=0.2)
        assert time.monotonic() - started < 10.0
    assert isinstance(error, TimedOut)
    assert str(error) == "no answer within 0.2 s"


async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    part = b"x" * 1_000_000
    while True:
        writer.write(b"%x\r\n%b\r\n" % (len(part), part))
        await writer.drain()


async def test_an_answer_without_end() -> None:
    async with listening(endless) as port, transport_to(port) as transport:
        error = await failure(transport)
    assert str(error) == f"the answer is longer than {BODY_MOST} bytes"


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf", "in the middle of the answer"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", "answer"),
        (b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 4\r\n\r\nhalf", "answer"),
        (b"HTTP/1.1 200 OK\r\ncontent-", "instead of answering"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "the answer is not HTTP"),
        (b"\x15\x03\x01\x00\x02\x02\x46", "answer"),
        (b"HTTP/1.1 200 OK\r\n" + b"x: " + b"y" * 100_000 + b"\r\n\r\n", "the answer is not HTTP"),
    ],
)
async def test_answers_that_are_not_whole(raw: bytes, words: str) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(raw)
        await writer.drain()

    async with listening(serve) as port, transport_to(port) as transport:
        error = await failure(transport)
    assert words in str(error)
    assert type(error) is ConnectFailed


async def test_a_client_answers_for_all_of_it() -> None:
    """Nothing that a server does comes out of a client as an exception."""
    bodies: list[Any] = [b"SSH-2.0\r\n\r\n", answer(b"<html>"), answer(b"", "500 Oh"), None]
    for body in bodies:
        async with listening(Scripted([body])) as port, client_to(port) as client:
            for _ in range(2):
                got = await client.get(Kind.UPDATE, "a", timeout=2.0)
                assert got.outcome in (Outcome.FAILED, Outcome.UNREACHABLE)
                assert got.detail
