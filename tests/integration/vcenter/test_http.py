"""The transport over real sockets: what it sends, what it never sends, and how it fails."""

from __future__ import annotations

import asyncio
import gzip
import time
import zlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from keepalived.lease.answers import Outcome
from keepalived.lease.model import Kind
from keepalived.vcenter import bodies
from keepalived.vcenter.bodies import BODY_MOST
from keepalived.vcenter.failures import NO_ANSWER
from keepalived.vcenter.transport import (
    AnswerTooLong,
    ConnectFailed,
    Reply,
    StaleConnection,
    TimedOut,
    TransportError,
)
from tests.support.peers import NO_CONTENT, Scripted, answer, read_request
from tests.support.transports import LOGGED_IN, Lane, failure, post
from tests.support.turns import turns

# What is sent


async def test_requests_and_replies(lane: Lane) -> None:
    server = Scripted([answer(b"body", "418 I'm a teapot", "Retry-After: 7", "X-Odd: ä")])
    async with lane.listening(server) as port, lane.transport(port) as transport:
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


async def test_a_path_is_sent_as_it_stands(lane: Lane) -> None:
    """Else an id of dots and slashes would reach another endpoint, with the token."""
    server = Scripted([NO_CONTENT])
    path = "/api/content/library/item/update-session/../../../../session/%2e%2e?action=x"
    async with lane.listening(server) as port, lane.transport(port) as transport:
        await post(transport, path)
    assert server.requests[0].split(" ")[1] == path


async def test_a_clients_id_of_dots_and_slashes_is_not_sent_at_all(lane: Lane) -> None:
    server = Scripted([LOGGED_IN, NO_CONTENT])
    async with lane.listening(server) as port, lane.client(port) as client:
        answered = await client.cancel(Kind.UPDATE, "../../session", timeout=5.0)
        assert answered.outcome is Outcome.FAILED
        assert server.requests == []


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "307 Temporary", "308 Permanent"])
async def test_a_token_never_follows_a_redirect(lane: Lane, status: str) -> None:
    elsewhere = Scripted([NO_CONTENT])
    async with lane.listening(elsewhere) as there:
        moved = answer(b"", status, f"Location: http://127.0.0.1:{there}/stolen")
        async with (
            lane.listening(Scripted([LOGGED_IN, moved])) as port,
            lane.client(port) as client,
        ):
            renewed = await client.keep_alive(Kind.UPDATE, "a", None, timeout=5.0)
    assert renewed.outcome is Outcome.REDIRECTED
    assert "redirected to 127.0.0.1, which is not followed" in renewed.detail
    assert elsewhere.requests == []


async def test_cookies_are_never_sent_back(lane: Lane) -> None:
    cookie = "Set-Cookie: vmware-api-session-id=C00KIE; Path=/"
    server = Scripted([answer(b"", "200 OK", cookie)])
    async with lane.listening(server) as port, lane.transport(port) as transport:
        await post(transport)
        await post(transport)
    assert not any("cookie" in request.lower() for request in server.requests)


async def test_netrc_is_never_used(
    lane: Lane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / ".netrc"
    netrc.write_text("default login uploader password from-netrc\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HOME", str(tmp_path))
    server = Scripted([NO_CONTENT])
    async with lane.listening(server) as port, lane.transport(port) as transport:
        await post(transport)
    assert "authorization" not in server.requests[0].lower()


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/x", {"vmware-api-session-id": "T0KEN\r\nx-more: 1"}),
        ("/x", {"vmware-api-session-id": "T0KEN\n"}),
        ("/x HTTP/1.1\r\n\r\nDELETE /y", {}),
        ("/x HTTP/1.1", {}),
    ],
)
async def test_one_request_never_becomes_two(
    lane: Lane, path: str, headers: dict[str, str]
) -> None:
    server = Scripted([NO_CONTENT])
    async with lane.listening(server) as port, lane.transport(port) as transport:
        with pytest.raises(ConnectFailed) as caught:
            await transport.send("POST", path, headers, b"{}", 5.0)
        assert "T0KEN" not in str(caught.value)
        assert (await post(transport)).status == 204
    assert len(server.requests) == 1


async def test_a_body_is_announced_and_none_is_not(lane: Lane) -> None:
    server = Scripted([NO_CONTENT])
    async with lane.listening(server) as port, lane.transport(port) as transport:
        await transport.send("GET", "/x", {}, b"", 5.0)
        await transport.send("DELETE", "/x", {}, b"", 5.0)
    read, deleted = (request.lower() for request in server.requests)
    assert "content-length" not in read
    assert "content-length: 0\r\n" in deleted


async def test_content_is_sent_as_it_comes(lane: Lane) -> None:
    first_piece, received = asyncio.Event(), bytearray()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        assert head.startswith("put ")
        assert "\r\ncontent-length: 8\r\n" in head
        assert "\r\nvmware-api-session-id: t0ken\r\n" in head
        received.extend(await reader.readexactly(4))
        first_piece.set()
        received.extend(await reader.readexactly(4))
        writer.write(answer(b"got it"))

    async def content() -> AsyncIterator[bytes]:
        yield b"more"
        await first_piece.wait()
        yield b"last"

    headers = {"vmware-api-session-id": "T0KEN"}
    scheme = "http" if lane.certificate is None else "https"
    async with lane.listening(serve) as port, lane.transport(port) as transport:
        url = f"{scheme}://127.0.0.1:{port}/put/%2e%2e/x"
        async with asyncio.timeout(60):
            reply = await transport.put(url, headers, content(), 8)
    assert (reply.status, reply.body, bytes(received)) == (200, b"got it", b"morelast")


async def test_content_that_a_server_does_not_take(lane: Lane) -> None:
    async def refuse(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")

    async def content() -> AsyncIterator[bytes]:
        while True:
            yield bytes(65536)
            await asyncio.sleep(0)

    scheme = "http" if lane.certificate is None else "https"
    async with lane.listening(refuse) as port, lane.transport(port) as transport:
        async with asyncio.timeout(60):
            with pytest.raises(ConnectFailed) as caught:
                await transport.put(
                    f"{scheme}://127.0.0.1:{port}/put/secret", {}, content(), 1 << 40
                )
    assert "secret" not in str(caught.value)


# Answers that are none


async def test_a_body_without_a_length_that_does_not_end(lane: Lane) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n[")
        await asyncio.Event().wait()

    async with lane.listening(serve) as port, lane.transport(port) as transport:
        assert isinstance(await failure(transport, timeout=0.2), TimedOut)


async def test_interim_answers_are_passed_over(lane: Lane) -> None:
    server = Scripted([b"HTTP/1.1 102 Processing\r\n\r\n" + answer(b"done")])
    async with lane.listening(server) as port, lane.transport(port) as transport:
        for _ in range(2):
            assert (await post(transport)).body == b"done"
        assert server.connections == 1


async def test_interim_answers_come_to_an_end(lane: Lane) -> None:
    server = Scripted([b"HTTP/1.1 102 Processing\r\n\r\n" * 11 + answer(b"done")])
    async with lane.listening(server) as port, lane.transport(port) as transport:
        if lane.way == "proxy":  # aiohttp passes over them until the time is over
            assert (await post(transport)).body == b"done"
        else:
            assert str(await failure(transport)) == "the answer is not HTTP"


@pytest.mark.parametrize(
    ("encoding", "compress"),
    [("gzip", gzip.compress), ("Deflate", zlib.compress)],
)
async def test_compressed_answers_are_read(
    lane: Lane, encoding: str, compress: Callable[[bytes], bytes]
) -> None:
    compressed = compress(b"plain" * 1000)
    server = Scripted([answer(compressed, "200 OK", f"Content-Encoding: {encoding}")])
    async with lane.listening(server) as port, lane.transport(port) as transport:
        assert (await post(transport)).body == b"plain" * 1000


async def test_an_answer_in_an_encoding_that_was_not_asked_for_is_left_as_it_is(lane: Lane) -> None:
    server = Scripted([answer(b"\x0b\x02\x80", "200 OK", "Content-Encoding: br")])
    async with lane.listening(server) as port, lane.transport(port) as transport:
        assert (await post(transport)).body == b"\x0b\x02\x80"
    assert "accept-encoding: gzip, deflate\r\n" in server.requests[0].lower()


async def test_a_compressed_answer_is_as_long_as_others_at_most_and_stops_nobody() -> None:
    async with turns() as taken:
        with pytest.raises(AnswerTooLong):
            await bodies.decompress(gzip.compress(bytes(BODY_MOST + 1)), "gzip")
    assert len(taken) >= BODY_MOST // bodies.LARGE_BODY


async def test_nobody_listens(lane: Lane) -> None:
    async with lane.listening(Scripted([])) as port:
        pass
    async with lane.transport(port) as transport:
        error = await failure(transport)
    refused = f"cannot connect to 127.0.0.1:{port}: Connection refused"
    # The proxy, which cannot connect either, says nothing.
    assert str(error) == (refused if lane.way == "direct" else NO_ANSWER)


@pytest.mark.parametrize("before", [b"", b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf"])
async def test_a_server_that_hangs(lane: Lane, before: bytes) -> None:
    async def hang(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(before)
        await asyncio.Event().wait()

    async with lane.listening(hang) as port, lane.transport(port) as transport:
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
        await asyncio.sleep(0)  # `drain` never waits on a TLS connection that has broken


async def test_an_answer_without_end(lane: Lane) -> None:
    async with lane.listening(endless) as port, lane.transport(port) as transport:
        error = await failure(transport)
    assert isinstance(error, AnswerTooLong)
    assert str(error) == f"the answer is longer than {BODY_MOST >> 20} MiB"


async def test_a_list_without_end_says_nothing_of_the_vcenter(lane: Lane) -> None:
    """A session may have more files than are read; its vCenter is none the worse for that."""
    async with lane.listening(endless) as port, lane.client(port) as client:
        listed = await client.list(Kind.UPDATE, timeout=30.0, token="t0ken")
        renewed = await client.keep_alive(Kind.UPDATE, "a", None, timeout=30.0, token="t0ken")
    assert listed.outcome is Outcome.FAILED
    assert renewed.outcome is Outcome.UNREACHABLE


async def test_long_answers_are_read_one_at_a_time(
    lane: Lane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "LARGE_BODY", 100_000)
    monkeypatch.setattr(bodies, "BODY_MOST", 100_000_000)
    size, step = 60_000_000, 1_000_000
    begun = halfway = 0
    all_have_begun, one_is_halfway, may_end = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def send(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal begun, halfway
        await read_request(reader)
        begun += 1
        if begun == 3:
            all_have_begun.set()
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size)
        for sent in range(0, size, step):
            if sent == size // 2:
                halfway += 1
                one_is_halfway.set()
                await may_end.wait()
            writer.write(b"x" * step)
            await writer.drain()

    async with lane.listening(send) as port, lane.transport(port) as transport:
        asking = [asyncio.create_task(post(transport, timeout=300.0)) for _ in range(3)]
        await all_have_begun.wait()
        await one_is_halfway.wait()
        # What is sent and not read fills the buffers on the way, and no more.
        await asyncio.sleep(0.2)
        assert halfway == 1
        may_end.set()
        for each in asking:
            assert len((await each).body) == size


_CUT_GZIP = answer(gzip.compress(b"plain" * 99, mtime=0)[:-4], "200 OK", "content-encoding: gzip")


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf", "in the middle of the answer"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", "answer"),
        (b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 4\r\n\r\nhalf", "answer"),
        (_CUT_GZIP, "in the middle of the answer"),
        (b"HTTP/1.1 200 OK\r\ncontent-", "instead of answering"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "the answer is not HTTP"),
        (b"\x15\x03\x01\x00\x02\x02\x46", "answer"),
        (b"HTTP/1.1 200 OK\r\n" + b"x: " + b"y" * 100_000 + b"\r\n\r\n", "more than 65536 bytes"),
        (b"HTTP/1.1 200 " + b"y" * 100_000 + b"\r\n\r\n", "more than 65536 bytes"),
        (b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 600 + b"\r\n", "more than 512 headers"),
    ],
)
async def test_answers_that_are_not_whole(lane: Lane, raw: bytes, words: str) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(raw)
        await writer.drain()

    async with lane.listening(serve) as port, lane.transport(port) as transport:
        error = await failure(transport)
    assert words in str(error)
    assert type(error) is ConnectFailed


async def test_long_headers_are_read(lane: Lane) -> None:
    long = [f"x-{number}: {'y' * 60_000}" for number in range(8)]
    many = [f"x-{number}: y" for number in range(400)]
    raw: list[Any] = [answer(b"", "200 OK", *long), answer(b"", "200 OK", *many)]
    async with lane.listening(Scripted(raw)) as port, lane.transport(port) as transport:
        assert (await post(transport)).headers["x-7"] == "y" * 60_000
        assert (await post(transport)).status == 200


async def test_a_client_answers_for_all_of_it(lane: Lane) -> None:
    """Nothing that a server does comes out of a client as an exception."""
    bodies: list[Any] = [b"SSH-2.0\r\n\r\n", answer(b"<html>"), answer(b"", "500 Oh"), None]
    for body in bodies:
        async with lane.listening(Scripted([body])) as port, lane.client(port) as client:
            for _ in range(2):
                got = await client.get(Kind.UPDATE, "a", timeout=2.0)
                assert got.outcome in (Outcome.FAILED, Outcome.UNREACHABLE, Outcome.UNAVAILABLE)
                assert got.detail


async def test_rubbish_ends_in_an_answer_or_a_failure(lane: Lane) -> None:
    """All that `make attack` answers, and a good answer after each."""
    # Imported here, as it takes a second.
    from benchmarks.attack.rubbish import TEXTS

    turns = iter([each for text in TEXTS.values() for each in (text, NO_CONTENT)])

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if await read_request(reader):
            writer.write(next(turns))
            await writer.drain()

    async with lane.listening(serve) as port, lane.transport(port) as transport:

        async def ask() -> Reply | TransportError:
            try:
                return await post(transport, timeout=60.0)
            except StaleConnection:
                return await ask()
            except TransportError as error:
                return error

        for name in TEXTS:
            rubbish = await ask()
            if isinstance(rubbish, TransportError):
                assert type(rubbish) in (ConnectFailed, AnswerTooLong), name
                assert str(rubbish).startswith("the "), name
            good = await ask()
            assert isinstance(good, Reply), name
            assert good.status == 204, name
