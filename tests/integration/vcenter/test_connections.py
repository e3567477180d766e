"""The transport's connections: which are used again, which are given up, and how many there are."""

from __future__ import annotations

import asyncio
import socket
import struct

import pytest

from keepalived.lease.answers import Outcome
from keepalived.lease.model import Kind
from keepalived.vcenter.transport import ConnectFailed, StaleConnection, TimedOut
from tests.support.peers import NO_CONTENT, Scripted, answer, read_request
from tests.support.transports import LOGGED_IN, Lane, failure, post


async def test_connections_are_used_again(lane: Lane) -> None:
    server = Scripted([NO_CONTENT])
    async with lane.listening(server) as port, lane.transport(port) as transport:
        for _ in range(10):
            await post(transport)
        assert server.connections == 1


# Connections that are closed


async def test_a_pooled_connection_that_was_closed_is_stale(lane: Lane) -> None:
    server = Scripted([NO_CONTENT, None, NO_CONTENT])
    async with lane.listening(server) as port, lane.transport(port) as transport:
        await post(transport)
        assert isinstance(await failure(transport), StaleConnection)
        assert (await post(transport)).status == 204


async def test_a_fresh_connection_that_is_closed_is_a_failure(lane: Lane) -> None:
    async with lane.listening(Scripted([None])) as port, lane.transport(port) as transport:
        for _ in range(2):
            error = await failure(transport)
            assert type(error) is ConnectFailed
            assert str(error) == "the server closed the connection instead of answering"


@pytest.mark.parametrize("answered_before", [0, 1])
async def test_a_connection_that_is_reset(lane: Lane, answered_before: int) -> None:
    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(answered_before):
            await read_request(reader)
            writer.write(NO_CONTENT)
        await read_request(reader)
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    async with lane.listening(reset) as port, lane.transport(port) as transport:
        for _ in range(answered_before):
            await post(transport)
        error = await failure(transport)
    assert isinstance(error, StaleConnection) == bool(answered_before)
    assert str(error) in (
        "Connection reset by peer",
        "the server closed the connection instead of answering",
    )


async def test_a_stale_connection_is_no_failure_of_the_request(lane: Lane) -> None:
    server = Scripted([LOGGED_IN, NO_CONTENT, None, NO_CONTENT])
    async with lane.listening(server) as port, lane.client(port) as client:
        for _ in range(2):
            renewed = await client.keep_alive(Kind.UPDATE, "a", None, timeout=5.0)
            assert renewed.outcome is Outcome.OK
    keep_alives = [each for each in server.requests if "keep-alive" in each.split("\r\n")[0]]
    assert len(keep_alives) == 3
    assert server.connections == 2


async def test_a_stale_connection_is_tried_once_more_only(lane: Lane) -> None:
    server = Scripted([LOGGED_IN, NO_CONTENT, None])
    async with lane.listening(server) as port, lane.client(port) as client:
        await client.keep_alive(Kind.UPDATE, "a", None, timeout=5.0)
        renewed = await client.keep_alive(Kind.UPDATE, "a", None, timeout=5.0)
        assert renewed.outcome is Outcome.UNREACHABLE
        keep_alives = [each for each in server.requests if "keep-alive" in each.split("\r\n")[0]]
        assert len(keep_alives) == 1 + 2


async def test_what_a_server_says_unasked_is_no_answer(lane: Lane) -> None:
    """As a proxy's 408 for a connection that was idle for long."""
    unasked = answer(b"", "408 Request Timeout")
    connections = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        while await read_request(reader):
            writer.write(NO_CONTENT + (unasked if connections == 1 else b""))

    async with lane.listening(serve) as port, lane.transport(port) as transport:
        for _ in range(3):
            assert (await post(transport)).status == 204
        assert connections == 2


async def test_a_connection_that_was_too_slow_is_not_used_again(lane: Lane) -> None:
    slow = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while request := await read_request(reader):
            if "/slow" in request:
                await slow.wait()
            writer.write(answer(request.split(" ")[1].encode()))

    async with lane.listening(serve) as port, lane.transport(port) as transport:
        await post(transport, "/quick")
        with pytest.raises(TimedOut):
            await post(transport, "/slow", timeout=0.2)
        slow.set()
        assert (await post(transport, "/quick")).body == b"/quick"


async def test_no_more_requests_at_once_than_there_is_leave_for(lane: Lane) -> None:
    at_once = most = 0
    all_slots_taken, go_on = asyncio.Event(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal at_once, most
        while await read_request(reader):
            at_once += 1
            most = max(most, at_once)
            if most == 8 + 2:
                all_slots_taken.set()
            await go_on.wait()
            at_once -= 1
            writer.write(NO_CONTENT)

    async with lane.listening(serve) as port, lane.transport(port) as transport:
        first = [asyncio.create_task(post(transport, timeout=60.0)) for _ in range(10)]
        await all_slots_taken.wait()
        late = [asyncio.create_task(post(transport, timeout=1.0)) for _ in range(30)]
        await asyncio.sleep(1.2)
        # To wait for a turn is our own affair: it counts neither as time nor as a failure.
        assert not any(each.done() for each in late)
        go_on.set()
        replies = await asyncio.gather(*first, *late)
        assert {reply.status for reply in replies} == {204}
        assert most == 8 + 2


async def test_connections_that_are_not_used_are_closed_in_time(
    lane: Lane,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("keepalived.vcenter.direct.IDLE_SECONDS", 0.2)
    monkeypatch.setattr("keepalived.vcenter.aiohttp_transport.IDLE_SECONDS", 0.2)
    over = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await read_request(reader):
            writer.write(NO_CONTENT)
        over.set()

    async with lane.listening(serve) as port, lane.transport(port) as transport:
        await post(transport)
        async with asyncio.timeout(120):
            await over.wait()
        assert (await post(transport)).status == 204


async def test_a_connection_that_the_server_gives_up_is_not_used_again(lane: Lane) -> None:
    closing = answer(b"", "200 OK", "Connection: close")
    older = NO_CONTENT.replace(b"1.1", b"1.0")
    kept = older.replace(b"\r\n\r\n", b"\r\nConnection: keep-alive\r\n\r\n")
    server = Scripted([closing, older, kept, kept, NO_CONTENT])
    async with lane.listening(server) as port, lane.transport(port) as transport:
        for connections in (1, 2, 3, 3, 3):
            await post(transport)
            assert server.connections == connections


async def test_a_request_that_is_cancelled_closes_its_connection(lane: Lane) -> None:
    asked, over = asyncio.Event(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await read_request(reader)
        if "/slow" in request:
            asked.set()
            await reader.read()
            over.set()
        else:
            writer.write(NO_CONTENT)

    async with lane.listening(serve) as port, lane.transport(port) as transport:
        for _ in range(12):  # more than there are slots
            asking = asyncio.create_task(post(transport, "/slow", timeout=60.0))
            await asked.wait()
            asking.cancel()
            async with asyncio.timeout(60):
                await over.wait()
            asked.clear()
            over.clear()
        assert (await post(transport)).status == 204


async def test_closing_ends_requests_under_way(lane: Lane) -> None:
    asked = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        asked.set()
        await reader.read()

    async with lane.listening(serve) as port, lane.transport(port) as transport:
        asking = asyncio.create_task(failure(transport, timeout=60.0))
        await asked.wait()
        await transport.close()
        assert type(await asking) is ConnectFailed
